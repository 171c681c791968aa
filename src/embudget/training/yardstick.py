"""What the held-out loss is measured on: which validation pairs, in blocks of how many, and what chance comes to.

A run of `yardstick: groups` is measured on pairs drawn evenly over sources and groups (`embudget.pairs.sample`), one
of `yardstick: first`, as records from before had it, on the first ones of the split. A query is compared with the
positives of its *block*, ``eval_candidates`` pairs in a row. If the pairs are no multiple of that, the last block
begins earlier and only its new pairs count, so that every query has as many candidates.

Where texts repeat, each is compared once and right answers are no wrong ones (see `embudget.pairs.relevance`), so that
a query may have fewer candidates than its block has pairs, and a model that cannot tell texts apart a lower loss than
log(candidates). That loss is *chance*: it stands in each record, and a run no better than it has learned nothing.
"""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from embudget.errors import PairsError
from embudget.pairs import Pairs
from embudget.pairs.relevance import Relevance, relevance_of
from embudget.pairs.sample import Drawn, draw_evenly, drawn_from
from embudget.records import RunConfig, Yardstick
from embudget.records.config import candidates_problem, eval_counts

LOG = logging.getLogger(__name__)

FEW = 0.5
"""We warn where chance is as if there were fewer than this share of the candidates: assumption: half as many change the
loss by 0.7 nats, which is more than most settings do."""
ENOUGH_PAIRS, ENOUGH_GROUPS = 1024, 150
"""With fewer held-out pairs or groups we warn: the error of these is 0.08 nats, and most choices differ by less."""
SPREAD = (0.6, 2.1)
"""Standard deviation of the loss, nats, of groups around the mean of all and of pairs around that of their group, as
micro-1m has it on the demo after 3e11 FLOP (`docs/log.md`)."""
MOST_LISTED = 512
"""Groups that a record lists. Of more, each listed one stands for several, which leaves the standard error as it is."""

_checked: set[tuple[str, int, int, Yardstick]] = set()


class Block(NamedTuple):
    """Pairs that are compared with each other."""

    relevance: Relevance
    """Which texts are right and wrong answers, over all its pairs."""
    pairs: slice
    """Which of the held-out pairs they are."""
    new: int
    """The first of its pairs that no earlier block has; those from here on count."""

    @property
    def counted(self) -> int:
        """Pairs of it that count."""
        return len(self.relevance.query_R) - self.new

    @property
    def chance(self) -> float:
        """The mean loss of its counted pairs by a model that cannot tell texts apart, nats."""
        if self.relevance.is_plain:
            return math.log(len(self.relevance.query_R))
        return float(self.relevance.chance_R[self.new :].mean())


def held_out_pairs(pairs: Pairs, count: int, yardstick: Yardstick) -> list[Drawn]:
    """Take the ``count`` validation pairs that a run is measured on, and the group of each."""
    if yardstick == "groups":
        return draw_evenly(pairs, "validation", count)
    rows = pairs.head("validation", count).to_pylist()
    return [drawn_from(row, indexed=pairs.info.indexed) for row in rows]


def listed_groups(drawn: Sequence[Drawn]) -> list[str]:
    """Name the group of each pair as a record lists it: itself, or, of many groups, one that stands for several.

    Whole groups of a source are put together by turns. Since they do not depend on each other, neither do those that
    are listed, and the standard error is as large by them.
    """
    names = dict.fromkeys(pair.group for pair in drawn)
    if len(names) <= MOST_LISTED:
        return [pair.group for pair in drawn]
    sources = {name: name.partition("/")[0] if "/" in name else "" for name in names}
    if len(set(sources.values())) > MOST_LISTED:
        sources = dict.fromkeys(names, "")
    each, met = MOST_LISTED // len(set(sources.values())), Counter[str]()
    listed = {}
    for name, source in sources.items():
        listed[name] = f"{source or 'groups'}/{met[source] % each}"
        met[source] += 1
    return [listed[pair.group] for pair in drawn]


def blocks_of(queries: Sequence[str], positives: Sequence[str], candidates: int) -> list[Block]:
    """Cut pairs into blocks of ``candidates``; what any pair says is right is right in every block."""
    count = len(queries)
    known = list(zip(queries, positives, strict=True))
    if len({text for pair in known for text in pair}) == 2 * len(known):
        known = []  # no text repeats, so no pair says anything of another's
    blocks = []
    for first in range(0, count, candidates):
        start = min(first, count - candidates)
        part = slice(start, start + candidates)
        blocks.append(Block(relevance_of(queries[part], positives[part], known), part, first - start))
    return blocks


def chance_of(blocks: Sequence[Block]) -> float:
    """The held-out loss of a model that cannot tell texts apart, nats; log(candidates) where no text repeats."""
    if all(block.relevance.is_plain for block in blocks):
        return blocks[0].chance
    return sum(block.counted * block.chance for block in blocks) / sum(block.counted for block in blocks)


def counts_for(pairs: Pairs, eval_pairs: int | None = None, eval_candidates: int | None = None) -> tuple[int, int]:
    """Say how many validation pairs to measure on, and with how many candidates, where the user does not.

    Raises:
        PairsError: there are fewer pairs than were asked for, or fewer than candidates.
    """
    there = pairs.rows("validation")
    count, candidates = eval_counts(eval_pairs, eval_candidates, there)
    if there < max(count, 2):
        raise PairsError(
            f"{pairs.folder} must hold {max(count, 2)} validation pairs (eval_pairs), got {there}"
            + ("" if eval_pairs is None or there < 2 else ": leave eval_pairs out to measure on as many as there are")
        )
    if problem := candidates_problem(count, candidates):
        raise PairsError(f"{problem}: {pairs.folder} holds {there} validation pairs")
    return count, candidates


def measured_on(config: RunConfig, pairs: Pairs) -> RunConfig:
    """Lower what a run measures on to the validation pairs that there are, where nobody asked for a number."""
    count = max(2, min(config.eval_pairs, pairs.rows("validation")))
    return config.model_copy(update={"eval_pairs": count, "eval_candidates": min(config.eval_candidates, count)})


def check_yardstick(pairs: Pairs, count: int, candidates: int, yardstick: Yardstick) -> None:
    """Refuse validation pairs that leave nothing to tell apart, and warn, once, of those that tell little.

    Args:
        pairs: whose validation split is measured on.
        count: so many of its pairs are.
        candidates: pairs of a block.
        yardstick: which of them.

    Raises:
        PairsError: there are fewer pairs, or no query has a wrong answer.
    """
    asked = pairs.hash, count, candidates, yardstick
    if asked in _checked:
        return
    counts_for(pairs, count, candidates)
    drawn = held_out_pairs(pairs, count, yardstick)
    positives = [pair.positive for pair in drawn]
    chance = chance_of(blocks_of([pair.query for pair in drawn], positives, candidates))
    distinct = len(set(positives))
    if chance == 0:
        raise PairsError(
            f"the validation pairs of {pairs.folder} must hold a query with a wrong answer, got {distinct} distinct "
            f"positives in {count}: a loss needs at least two texts to tell apart"
        )
    _checked.add(asked)
    if chance < math.log(FEW * candidates):
        LOG.warning(
            "the texts of the validation pairs repeat: %d of %d positives are distinct, so that chance is %.2f nats "
            "rather than ln %d = %.2f, and losses are not comparable with those over %d distinct candidates",
            distinct, count, chance, candidates, math.log(candidates), candidates,
        )  # fmt: skip
    groups = len({pair.group for pair in drawn})
    all_there_are = count == pairs.rows("validation") < ENOUGH_PAIRS
    if yardstick == "groups" and (all_there_are or groups < min(ENOUGH_GROUPS, count)):
        LOG.warning(
            "losses are measured on %d validation pairs of %d groups, since %s holds no more%s: expect a standard "
            "error of about %.2g nats (with %d pairs of %d groups it is %.2g)",
            count, groups, pairs.folder, "" if all_there_are else " groups", error_expected(count, groups),
            ENOUGH_PAIRS, ENOUGH_GROUPS, error_expected(ENOUGH_PAIRS, ENOUGH_GROUPS),
        )  # fmt: skip


def error_expected(count: int, groups: int) -> float:
    """The standard error, nats, of a loss over so many pairs, evenly of so many groups, by what the demo showed."""
    between, within = SPREAD
    return math.hypot(between / math.sqrt(groups), within / math.sqrt(count))
