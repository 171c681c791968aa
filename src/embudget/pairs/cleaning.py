"""Which pairs are fit to train on, with a count of what was dropped and why.

Every pair passes the rules of its source, in the order of `Reason`, and is counted under the first one that it breaks.
Documentation is normalised, cut and compared by its words (`embudget.pairs.documentation`); the user's own texts stay
as they are, and each pair stays once (`embudget.pairs.own_texts`). The first of equal pairs stays, so the order of the
sources matters.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from embudget.pairs.comparison import Compared, Comparison, Dropped, Reason, Row
from embudget.pairs.documentation import ByWords
from embudget.pairs.negatives import NegativeFlaw, true_negatives
from embudget.pairs.own_texts import ByTexts
from embudget.pairs.sources.base import Source
from embudget.pairs.splitting import order_key

Progress = Callable[[str, int], None]
"""Called with a stage and the number of pairs so far."""

_REPORT_EVERY = 2000  # pairs between two calls of progress


@dataclass
class Cleaned:
    """What cleaning kept, and for each source how many pairs were read and dropped."""

    rows: list[Row] = field(default_factory=list)
    read: Counter[str] = field(default_factory=Counter)
    dropped: Dropped = field(default_factory=dict)
    dropped_negatives: dict[str, Counter[NegativeFlaw]] = field(default_factory=dict)
    """Source -> how many hard negatives of its pairs were left out for each reason."""


def clean(
    sources: Sequence[Source],
    limit: int | None,
    seed: int,
    progress: Progress,
    *,
    near_duplicates: bool = True,
    one_per_query: bool = False,
) -> Cleaned:
    """Read all sources, in order of preference, and keep what passes the rules, up to ``limit`` pairs of each source.

    The seed changes the order of the rows, and so the subset that a limit keeps.

    Args:
        sources: what to read.
        limit: the most pairs of each source.
        seed: of the order.
        progress: called now and then.
        near_duplicates: whether pairs that nearly repeat an earlier one are dropped.
        one_per_query: whether only the first of the user's pairs with a query is kept.

    Raises:
        PairsError: a source cannot be read.
    """
    result = Cleaned(
        dropped={source.name: Counter() for source in sources},
        dropped_negatives={source.name: Counter() for source in sources},
    )
    documentation, own = ByWords(), ByTexts(one_per_query=one_per_query)
    kept: dict[Comparison, list[Compared]] = {documentation: [], own: []}
    with _no_garbage_collection():
        for source in sources:
            comparison = own if source.rules.own else documentation
            kept[comparison] += _read(source, comparison, result, progress)
    if near_duplicates:
        progress("near-duplicates", sum(map(len, kept.values())))
        kept = {comparison: comparison.without_near(pairs, result.dropped) for comparison, pairs in kept.items()}
    rows = [_with_true_negatives(pair, one, result) for one, pairs in kept.items() for pair in pairs]
    result.rows = _limited(rows, limit, seed, result)
    return result


def _with_true_negatives(pair: Compared, comparison: Comparison, result: Cleaned) -> Row:
    """Look at the negatives once all pairs are read, because a later one may have a negative as its positive."""
    row = pair.row
    if not row.negatives:
        return row
    keys = pair.query_key, pair.positive_key
    dropped = result.dropped_negatives[row.source]
    return row._replace(negatives=true_negatives(row.negatives, keys, comparison.key, comparison.is_positive, dropped))


def _read(source: Source, comparison: Comparison, result: Cleaned, progress: Progress) -> Iterator[Compared]:
    stage, dropped = f"reading {source.name}", result.dropped[source.name]
    for raw in source.read():
        result.read[source.name] += 1
        if result.read[source.name] % _REPORT_EVERY == 0:
            progress(stage, result.read[source.name])
        pair = comparison.prepare(raw, source)
        reason = comparison.flaw(pair, source)
        if reason is None:
            yield pair
        else:
            dropped[reason] += 1
    if source.unparsed:
        result.read[source.name] += source.unparsed
        dropped["not parsed"] += source.unparsed
    rows: dict[Reason, int] = {
        "bad row": source.unused.bad_rows,
        "below the threshold": source.unused.below_threshold,
    }
    for why, count in rows.items():
        if count:
            result.read[source.name] += count
            dropped[why] += count
    progress(stage, result.read[source.name])


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector, because reading makes many objects but no cycles.

    Its walks over all rows, again and again, took half of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _limited(rows: list[Row], limit: int | None, seed: int, result: Cleaned) -> list[Row]:
    """Shuffle the rows and keep at most ``limit`` of each source.

    The order does not depend on the limit, so a larger limit keeps all that a smaller one keeps.
    """
    rows = sorted(rows, key=lambda row: order_key(seed, row.query, row.positive))
    met: Counter[str] = Counter()
    kept: list[Row] = []
    for row in rows:
        met[row.source] += 1
        if limit is None or met[row.source] <= limit:
            kept.append(row)
        else:
            result.dropped[row.source]["over the limit"] += 1
    return kept
