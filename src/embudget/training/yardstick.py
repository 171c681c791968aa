"""What the held-out loss compares: the first validation pairs in groups of fixed size, and what chance comes to.

A query is compared with the positives of its group. Where texts repeat, each is compared once and right answers are no
wrong ones (see `embudget.pairs.relevance`), so that a query may have fewer candidates than its group has pairs, and a
model that cannot tell texts apart a lower loss than log(candidates). That loss is *chance*: it stands in each record,
and a run no better than it has learned nothing.
"""

import logging
import math
from collections.abc import Sequence

from embudget.errors import PairsError
from embudget.pairs import Pairs
from embudget.pairs.relevance import Relevance, relevance_of

LOG = logging.getLogger(__name__)

FEW = 0.5
"""We warn where chance is as if there were fewer than this share of the candidates: assumption: half as many change the
loss by 0.7 nats, which is more than most settings do."""

_warned: set[tuple[str, int, int]] = set()


def groups_of(queries: Sequence[str], positives: Sequence[str], candidates: int) -> list[Relevance]:
    """Cut pairs into groups of ``candidates``; what any pair says is right is right in every group."""
    known = list(zip(queries, positives, strict=True))
    if len({text for pair in known for text in pair}) == 2 * len(known):
        known = []  # no text repeats, so no pair says anything of another's
    starts = range(0, len(queries), candidates)
    parts = [slice(start, start + candidates) for start in starts]
    return [relevance_of(queries[part], positives[part], known) for part in parts]


def chance_of(groups: Sequence[Relevance]) -> float:
    """The held-out loss of a model that cannot tell texts apart, nats; log(candidates) where no text repeats."""
    if all(group.is_plain for group in groups):
        return math.log(len(groups[0].query_R))
    return sum(group.chance for group in groups) / len(groups)


def check_yardstick(pairs: Pairs, count: int, candidates: int) -> None:
    """Refuse validation pairs that leave nothing to tell apart, and warn, once, of those that leave little.

    Args:
        pairs: whose validation split is measured on.
        count: its first so many pairs are.
        candidates: pairs of a group.

    Raises:
        PairsError: no query has a wrong answer.
    """
    asked = pairs.hash, count, candidates
    if asked in _warned:
        return
    table = pairs.head("validation", count)
    queries, positives = table["query"].to_pylist(), table["positive"].to_pylist()
    chance = chance_of(groups_of(queries, positives, candidates))
    distinct = len(set(positives))
    if chance == 0:
        raise PairsError(
            f"the validation pairs of {pairs.folder} must hold a query with a wrong answer, got {distinct} distinct "
            f"positives in {count}: a loss needs at least two texts to tell apart"
        )
    if chance < math.log(FEW * candidates):
        _warned.add(asked)
        LOG.warning(
            "the texts of the validation pairs repeat: %d of %d positives are distinct, so that chance is %.2f nats "
            "rather than ln %d = %.2f, and losses are not comparable with those over %d distinct candidates",
            distinct, count, chance, candidates, math.log(candidates), candidates,
        )  # fmt: skip
