"""Which pair goes into which split: the one that its source says, else the one that its group is given.

Where a source has splits of its own, they stay what they are, and only those that it lacks are made of its training
pairs. A text must not leak all the same: a training pair is left out if its query stands in a held-out pair of such a
split, on either side, or if its positive is a held-out query; a validation pair likewise for test. Equal positives are
no leak there, because the queries of a retrieval benchmark search the same documents in every split: what is measured
is queries that nobody trained on. The splits that embudget makes are stricter (`embudget.pairs.splitting`).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from embudget.errors import PairsError
from embudget.pairs.cleaning import Cleaned
from embudget.pairs.comparison import Row
from embudget.pairs.manifest import Together
from embudget.pairs.sources.files import Files
from embudget.pairs.splitting import SPLITS, Split, Texts, assign_groups, join_groups, labels
from embudget.pairs.text import text_key
from embudget.pairs.weights import Share, weigh

_HELD_OUT: tuple[Split, ...] = ("test", "validation")
"""In this order a text that is in both stays in the first."""
Own = dict[str, tuple[Split, ...]]
"""Source -> the splits that it comes with."""


class Partition(NamedTuple):
    """The pairs of each split, and how it came to them."""

    splits: dict[Split, list[Row]]
    together: Together
    own: Own


def partition(cleaned: Cleaned, seed: int, shares: Sequence[Share] = ()) -> Partition:
    """Put each pair into a split, weigh the training pairs, and leave out what leaks into a held-out split.

    Pairs and negatives that are left out are counted in ``cleaned``.

    Raises:
        PairsError: a split would be empty, or a weighed source would have no training pair.
    """
    rows = cleaned.rows
    texts = [Texts(row.group, text_key(row.query), text_key(row.positive)) for row in rows]
    own = _own_splits(rows)
    leaking = _leaking(rows, texts) if own else frozenset()
    free = [at for at, row in enumerate(rows) if row.split not in _HELD_OUT and at not in leaking]
    sets = join_groups([texts[at] for at in free])
    assigned = _assign([rows[at] for at in free], sets, own, seed)
    splits: dict[Split, list[Row]] = {split: [] for split in SPLITS}
    for at, row in enumerate(rows):
        if at in leaking:
            cleaned.dropped[row.source]["in a held-out split"] += 1
        elif row.split is None or row.split == "train":
            splits[assigned[sets[row.group]]].append(row)
        else:
            splits[row.split].append(row)
    _check(splits, cleaned, own, sets)
    sizes = Counter(sets[rows[at].group] for at in free)
    together = Together(largest=max(sizes.values()), labelled=sum(labels(texts).values()))
    splits["train"] = weigh(splits["train"], shares, cleaned.dropped)
    splits["train"] = _without_held_out(splits, cleaned)
    return Partition(splits, together, own)


def _own_splits(rows: Sequence[Row]) -> Own:
    found: defaultdict[str, set[Split]] = defaultdict(set)
    for row in rows:
        if row.split is not None:
            found[row.source].add(row.split)
    return {source: tuple(split for split in SPLITS if split in splits) for source, splits in found.items()}


def _leaking(rows: Sequence[Row], texts: Sequence[Texts]) -> frozenset[int]:
    """Find the pairs with a text of a later split of `_HELD_OUT`, or of a pair that trains, in an earlier one."""
    queries: set[str] = set()
    either: set[str] = set()
    leaking: set[int] = set()
    for split in (*_HELD_OUT, None):
        here = [at for at, row in enumerate(rows) if (row.split if row.split in _HELD_OUT else None) == split]
        leaks = [at for at in here if texts[at].query in either or texts[at].positive in queries]
        leaking.update(leaks)
        for at in set(here).difference(leaks):
            queries.add(texts[at].query)
            either.update(texts[at][1:])
    return frozenset(leaking)


def _assign(rows: Sequence[Row], sets: Mapping[str, str], own: Own, seed: int) -> dict[str, Split]:
    """Decide the split of each set of groups. It trains if a source of its pairs has the split that it would go to.

    Several sources of the user's give their shares each, though their groups have one namespace: of two tables with
    groups of different sizes, the one with the smaller would otherwise be held out whole.
    """
    may_go_to = {name: set(_HELD_OUT) for name in sets.values()}
    for row in rows:
        may_go_to[sets[row.group]].difference_update(own.get(row.source, ()))
    strata: dict[str, str] = {}
    for row in rows:
        strata.setdefault(sets[row.group], row.source if row.scope == Files.scope else row.scope)
    names = (sets[row.group] for row in rows if may_go_to[sets[row.group]])
    found = assign_groups(((strata[name], name) for name in names), seed)
    return {name: found[name] if found.get(name) in splits else "train" for name, splits in may_go_to.items()}


def _check(splits: Mapping[Split, Sequence[Row]], cleaned: Cleaned, own: Own, sets: Mapping[str, str]) -> None:
    empty = [split for split in SPLITS if not splits[split] and not (own and split == "test")]
    if not empty:
        return
    if "train" in empty and own:
        names = ", ".join(source for source, of_source in own.items() if "train" not in of_source)
        raise PairsError(
            f"there are no training pairs{_dropped(cleaned)}: {names} holds none; name a source that does, or let "
            "--resplit make new splits"
        )
    joined, index = "", ""
    if len(set(sets.values())) < len(sets):
        joined = ", joined by the texts that they share,"
        index = "split them yourself (embudget pairs index): "
    raise PairsError(
        f"too few pairs: {sum(map(len, splits.values()))} in {len(set(sets.values()))} group(s){joined} are left after "
        f"cleaning{_dropped(cleaned)}, which leaves nothing for {' and '.join(empty)}; {index}at least {len(SPLITS)} "
        "groups are needed"
    )


def _dropped(cleaned: Cleaned) -> str:
    """What most pairs were dropped for, if any were."""
    reasons = sum(cleaned.dropped.values(), Counter())
    parts = (f"{count:,} {reason}" for reason, count in reasons.most_common(2))
    return f" (dropped: {', '.join(parts)})" if reasons else ""


def _without_held_out(splits: Mapping[Split, Sequence[Row]], cleaned: Cleaned) -> list[Row]:
    """Leave out the negatives of training pairs that are held-out texts, but for positives that train as well."""
    train = list(splits["train"])
    if not any(row.negatives for row in train):
        return train
    held_out = {text_key(text) for split in _HELD_OUT for row in splits[split] for text in (row.query, row.positive)}
    held_out -= {text_key(row.positive) for row in train}
    for at, row in enumerate(train):
        kept = tuple(text for text in row.negatives if text_key(text) not in held_out)
        if len(kept) < len(row.negatives):
            cleaned.dropped_negatives[row.source]["held out"] += len(row.negatives) - len(kept)
            train[at] = row._replace(negatives=kept)
    return train
