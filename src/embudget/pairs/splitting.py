"""Which pairs are held out: whole groups go to train, validation or test, so that no service or package is in two.

Splitting by row would leak, because pairs of one service resemble each other. So would a text that is in two splits:
groups that share one are first joined (`join_groups`), except for labels.

A held-out loss is uncertain mainly by the groups it is measured on, so each held-out split should have many of them
(`GROUPS`), whatever their sizes. Within each scope (see `Source.scope`), groups are put in an order that depends on the
seed and their names. Test takes groups in this order until its 6 % of the scope's rows are full, then validation until
its 6 % are; the rest trains. Groups larger than a cap always train. The cap is the largest under which as many groups
as are wanted fit into the split: the larger it is, the less held-out groups differ from the others. In the demo it is
between the 58th and the 88th percentile of a source's groups (`docs/log.md`).

Where even groups at the lower quartile of sizes are too large for so many to fit, a split takes up to 10 % of the rows.
No more than a fifth of a scope's groups is wanted in either, so that three fifths train.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Literal, NamedTuple, get_args

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SHARES: dict[Split, float] = {"test": 0.06, "validation": 0.06}
"""Shares of each scope's rows that are held out, in the order in which they are filled."""
MOST_SHARE = 0.1
"""The share of a scope's rows that a held-out split grows to where fewer would be too few groups."""
GROUPS = 630
"""Groups wanted in each held-out split, in equal parts from each scope. The demo has three scopes, of which two are too
small for their part: it gets about 360, with which a loss over 4,096 pairs is known to 0.05 nats (`docs/log.md`)."""
GROUP_SHARE = 1 / 5
"""The most groups of a scope that are wanted in a held-out split."""
LABEL_PAIRS = 5
"""A positive of at most so many pairs is no label, however few pairs there are."""
LABEL_SHARE = 0.0004
"""Share of all pairs from which a positive counts as a label: some 150 such would fill the validation split, and a
held-out loss over few positives says little."""


def order_key(seed: int, *parts: str) -> bytes:
    """Give a place in a random order: sorting by it shuffles.

    Unlike a generator's draw it depends on nothing but its arguments, so an order is the same on every machine, with
    every version of numpy, and for every subset of the items.

    Example:
        >>> sorted(["a", "b", "c"], key=lambda name: order_key(0, name))
        ['a', 'c', 'b']
    """
    return hashlib.blake2b("\x1f".join((str(seed), *parts)).encode(), digest_size=16).digest()


class Texts(NamedTuple):
    """The group of a pair, and what its texts are compared by."""

    group: str
    query: str
    positive: str


def label_pairs(pairs: int) -> int:
    """Say how many of so many pairs a positive may have without being a label."""
    return max(LABEL_PAIRS, int(LABEL_SHARE * pairs))


def labels(pairs: Sequence[Texts]) -> dict[str, int]:
    """Find the positives that are labels, such as the 77 intents of 10,000 questions, and count their pairs."""
    most = label_pairs(len(pairs))
    counts = Counter(pair.positive for pair in pairs)
    return {positive: count for positive, count in counts.items() if count > most}


def join_groups(pairs: Sequence[Texts]) -> dict[str, str]:
    """Join the groups that share a text, on either side, because they have to stay in one split.

    Labels join nothing. Questions with the labels of the training split are what a classifier is asked, and if labels
    were held out whole, the held-out loss would be over a handful of positives. Their queries stay in one split like
    any other.

    Returns:
        Group -> the name of its set, which is the first of its groups' names in alphabetical order.
    """
    parents: dict[str, str] = {}
    homes: dict[str, str] = {}

    def root(group: str) -> str:
        while (parent := parents.setdefault(group, group)) != group:
            parents[group] = group = parents[parent]  # halves the way for the next time
        return group

    frequent = labels(pairs)
    for group, *texts in pairs:
        root(group)
        for text in texts if texts[1] not in frequent else texts[:1]:
            one, other = sorted((root(group), root(homes.setdefault(text, group))))
            parents[other] = one
    return {group: root(group) for group in parents}


def assign_groups(rows: Iterable[tuple[str, str]], seed: int) -> dict[str, Split]:
    """Decide the split of each group, from the scope (or the source, of the user's own) and the group of each row.

    A group's name is unique over all scopes. With fewer than three groups in a scope, all of them may train.
    """
    sizes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for scope, group in rows:
        sizes[scope][group] += 1
    wanted = math.ceil(GROUPS / max(1, len(sizes)))
    assigned: dict[str, Split] = {}
    for of_scope in sizes.values():
        assigned |= _assign(of_scope, wanted, seed)
    return assigned


def _assign(sizes: Counter[str], wanted: int, seed: int) -> dict[str, Split]:
    assigned: dict[str, Split] = dict.fromkeys(sizes, "train")
    wanted = max(1, min(wanted, int(GROUP_SHARE * len(sizes))))
    low = sorted(sizes.values())[len(sizes) // 4]
    free = sorted(sizes, key=lambda group: order_key(seed, group))
    for behind, (split, share) in zip((2, 1), SHARES.items(), strict=True):
        rows = sizes.total()
        room = max(round(share * rows), min(round(MOST_SHARE * rows), wanted * low))
        spare = len(free) - behind if len(sizes) >= len(SPLITS) else len(free)  # each split behind needs a group
        chosen = set(_fitting(free, sizes, room, wanted)[:spare])
        if not chosen and len(sizes) >= len(SPLITS):  # every group is too large: hold out more rather than nothing
            chosen = {min(free, key=lambda group: sizes[group])}
        assigned |= dict.fromkeys(chosen, split)
        free = [group for group in free if group not in chosen]
    return assigned


def _fitting(groups: Sequence[str], sizes: Mapping[str, int], room: int, wanted: int) -> list[str]:
    """Choose groups in their order that fit into ``room`` rows: ``wanted`` or more, under the largest cap that can.

    If so many fit under no cap, the smallest are chosen, which are the most that fit.
    """
    for cap in sorted({sizes[group] for group in groups if sizes[group] <= room}, reverse=True):
        first = list(islice((group for group in groups if sizes[group] <= cap), wanted))
        if len(first) < wanted:
            break  # and under a smaller cap there are fewer
        if sum(sizes[group] for group in first) <= room:
            return _filled((group for group in groups if sizes[group] <= cap), sizes, room, wanted)
    return _filled(sorted(groups, key=lambda group: sizes[group]), sizes, room, wanted)


def _filled(groups: Iterable[str], sizes: Mapping[str, int], room: int, wanted: int) -> list[str]:
    """Take the groups that fit into the room, one after the other, until there are enough and the next does not fit.

    Going on would fill the rest of the room with the very smallest groups.
    """
    chosen: list[str] = []
    for group in groups:
        if sizes[group] <= room:
            chosen.append(group)
            room -= sizes[group]
        elif len(chosen) >= wanted:
            break
    return chosen
