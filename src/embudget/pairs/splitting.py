"""Which pairs are held out: whole groups go to train, validation or test, so that no service or package is in two.

Splitting by row would leak, because pairs of one service resemble each other. So would a text that is in two splits:
groups that share one are first joined (`join_groups`), except for labels.

Within each scope (see `Source.scope`), groups are put in an order that depends on the seed and their names. In this
order each goes into the test split if it still fits into its 5 % of the scope's rows, else into the validation split if
it fits into its 4 %, else it trains. A group larger than a share therefore always trains, and where a few groups are
large, the small ones are held out.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SHARES: dict[Split, float] = {"test": 0.05, "validation": 0.04}
"""Shares of each scope's rows that are held out, in the order in which they are filled."""
LABEL_PAIRS = 5
"""A positive of at most so many pairs is no label, however few pairs there are."""
LABEL_SHARE = SHARES["validation"] / 100
"""Share of all pairs from which a positive counts as a label: fewer than 100 such would fill the validation split, and
a held-out loss over a handful of positives says nothing."""


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
    """Decide the split of each group, from the scope and the group of each row.

    A group's name is unique over all scopes. With fewer than three groups in a scope, all of them may train.
    """
    sizes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for scope, group in rows:
        sizes[scope][group] += 1
    assigned: dict[str, Split] = {}
    for of_scope in sizes.values():
        assigned |= _assign(of_scope, seed)
    return assigned


def _assign(sizes: Counter[str], seed: int) -> dict[str, Split]:
    assigned: dict[str, Split] = dict.fromkeys(sizes, "train")
    free = sorted(sizes, key=lambda group: order_key(seed, group))
    for behind, (split, share) in zip((2, 1), SHARES.items(), strict=True):
        room = round(share * sizes.total())
        spare = len(free) - behind if len(sizes) >= len(SPLITS) else len(free)  # each split behind needs a group
        chosen: set[str] = set()
        for group in free:
            if sizes[group] <= room and len(chosen) < spare:
                chosen.add(group)
                room -= sizes[group]
        if not chosen and len(sizes) >= len(SPLITS):  # every group is too large: hold out more rather than nothing
            chosen = {min(free, key=lambda group: sizes[group])}
        assigned |= dict.fromkeys(chosen, split)
        free = [group for group in free if group not in chosen]
    return assigned
