"""Which pairs of a held-out split are measured on: a few of many groups, in an order that mixes them.

Pairs of one group (a service, a package, a user) resemble each other, so a loss over the first pairs of a split, most
of which are from its few large groups, is uncertain however many pairs there are. So the pairs of a split are brought
in one order, of which any beginning is a sample of its size:

1. The pairs of a group are in an order that depends on their texts, and the groups of a source in one that depends on
   their names. A source's first pairs are one of each of its groups, then a second one of each that has two, up to
   `MOST` pairs of a group.
2. The sources take turns, until one has no more.
3. What a group has beyond its first `MOST` pairs comes behind all these, in the same way. A sample goes so far only
   where the groups are too few for it.

Neighbours in this order are of other groups and sources, so each query is compared with answers of other groups too.
The order depends on what the pairs say, neither on the files nor on the order of their rows. The split is read once, in
bounded memory.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from embudget.pairs.folder import Pairs
from embudget.pairs.splitting import Split, order_key

MOST = 10
"""Pairs of a group that are drawn before any group gives more."""
_MOST_SOURCES = 100
"""With more names than that in the column source they are no sources, and all pairs count as of one."""
_REMEMBERED = 4
_known: dict[tuple[str, Split, int], "list[Drawn]"] = {}


class Drawn(NamedTuple):
    """One pair of a sample."""

    query: str
    positive: str
    group: str
    """As source/group; of an indexed file without groups, the source and a number that is the pair's own."""


class _Candidate(NamedTuple):
    """A pair, after what it is ordered by within its source."""

    place: tuple[int, int]
    group_key: bytes
    pair_key: bytes
    pair: Drawn


def draw_evenly(pairs: Pairs, split: Split, count: int) -> list[Drawn]:
    """Draw pairs of a split, evenly over its sources and over the groups of each.

    No group gives more than ten, unless there are too few groups for ``count`` pairs.

    Returns:
        ``count`` pairs, or as many as there are. A larger sample begins with a smaller one.

    Raises:
        PairsError: a file can no longer be read, or a query or positive is null.

    Example:
        >>> [pair.group for pair in draw_evenly(load_pairs("pairs/"), "validation", 3)]
        ['aws-docs/s3', 'docstrings/scipy.stats', 'google-docs/drive']
    """
    asked = pairs.hash, split, count
    if asked not in _known:  # runs of one study ask again and again
        drawn = _drawn(pairs, split, count, by_source=True)
        if drawn is None:
            drawn = _drawn(pairs, split, count, by_source=False)
        assert drawn is not None, "one source is not too many"
        while len(_known) >= _REMEMBERED:
            del _known[next(iter(_known))]
        _known[asked] = drawn
    return _known[asked]


def _drawn(pairs: Pairs, split: Split, count: int, *, by_source: bool) -> list[Drawn] | None:
    """Read the split and keep of each source what may be among its first ``count``; None with too many sources."""
    kept: defaultdict[str, list[_Candidate]] = defaultdict(list)
    for table in pairs.batches(split):
        for row in table.to_pylist():
            one = drawn_from(row, indexed=pairs.info.indexed)
            found = _Candidate((0, 0), order_key(0, one.group), order_key(0, one.query, one.positive), one)
            kept[(row["source"] or "") if by_source else ""].append(found)
        if len(kept) > _MOST_SOURCES:
            return None
        for source, candidates in kept.items():
            kept[source] = _ordered(candidates)[:count]
    by_first = sorted(kept.values(), key=lambda of_source: (of_source[0].group_key, of_source[0].pair_key))
    turns = (
        (found.place[0], turn, place, found.pair)
        for place, of_source in enumerate(by_first)
        for found, turn in zip(of_source, _turns(of_source), strict=True)
    )
    return [pair for *_, pair in sorted(turns, key=lambda one: one[:3])[:count]]


def drawn_from(row: dict[str, str | None], *, indexed: bool) -> Drawn:
    """Take a row of a split, whose group may be missing or, in an indexed file, of one source alone."""
    query, positive, source = row["query"] or "", row["positive"] or "", row["source"] or ""
    own = row["group"] or order_key(0, query, positive).hex()  # without a group, each pair is one
    return Drawn(query, positive, f"{source}/{own}" if indexed and source else own)  # a built group has its scope


def _ordered(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Order the pairs of a source; a pair that is not among the first so many never gets there by further pairs."""
    met: Counter[bytes] = Counter()
    placed = []
    for one in sorted(candidates, key=lambda one: (one.group_key, one.pair_key)):
        placed.append(one._replace(place=divmod(met[one.group_key], MOST)))
        met[one.group_key] += 1
    return sorted(placed, key=lambda one: (one.place, one.group_key))


def _turns(of_source: Sequence[_Candidate]) -> Iterator[int]:
    """Count the pairs of a source anew in each round of up to `MOST` pairs a group."""
    met: Counter[int] = Counter()
    for one in of_source:
        yield met[one.place[0]]
        met[one.place[0]] += 1
