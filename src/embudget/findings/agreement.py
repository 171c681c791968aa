"""Finding 8: does a lower held-out loss go with a better score, and what does choosing by loss cost in score?

The other seven are judged by laws; this one needs runs that were scored. For each task, and for the nDCG@10 on the
held-out pairs themselves, over the models (runs) that have both,

    correlation    of loss and score, by rank (see `rank_agreement`); -1 where the score falls whenever the loss rises
    cost           best score - score of the model with the lowest loss, in points of 100, at each budget

Between budgets loss and score improve together whatever their relation, so what counts is the correlation within
budgets. The cost is what a user pays who picks by loss, who never sees a score; the best of many scores is high by
luck, too, so that some cost is left where loss is the perfect guide.

The verdict is about the mean over the tasks that all scored models have, as in the paper (arXiv 2406.04165), or about
the held-out nDCG where there is no such task, which is the weaker statement. Each budget with 8 models or more is a
claim. It holds in a draw of the bootstrap whose Spearman correlation is -0.5 or stronger, fails where that is 0 or
positive, and is open between; the draws decide as for every finding (see `finding`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from embudget.choices.table import Array
from embudget.errors import FitError
from embudget.findings.finding import Assertion, Finding, assertion, conclude, untested
from embudget.findings.rank_agreement import RankCorrelation, bootstrap_interval, rank_correlation, resamples
from embudget.frozen import Frozen
from embudget.records import RunRecord
from embudget.yardstick import measured_by

FEWEST = 5
"""Models below which nothing is computed."""
FEWEST_TO_JUDGE = 8
"""Models that a claim of the verdict takes; assumption: the sign of fewer says nothing."""
STRONG = -0.5
NEAR = 1.05
"""Times the lowest loss of a budget: about two standard deviations of a run above it, where a choice would be made."""
HELD_OUT = "held-out nDCG@10"
MEAN = "mean of the tasks"
POINTS = 100
"""Points of a score, which lies between 0 and 1."""


class Cost(Frozen):
    """What choosing by loss costs in score, at one budget or on average over several."""

    points: NonNegativeFloat = Field(description="best score minus that of the model with the lowest loss, times 100")
    interval: tuple[float, float] = Field(description="90 %, by bootstrap over the models")


class AtBudget(Frozen):
    """The models of one budget."""

    train_flops: PositiveFloat = Field(description="budget, FLOP")
    models: PositiveInt
    correlation: RankCorrelation | None = Field(description="None where all losses or all scores are equal")
    near_the_best: RankCorrelation | None = Field(
        description="among the models within 5 % of the lowest loss; None with fewer than 8"
    )
    chosen: str = Field(description="member, method, rate and seed of the lowest loss")
    chosen_score: float
    best: str = Field(description="the same of the best score")
    best_score: float
    cost: Cost


class OfTask(Frozen):
    """How loss and one score agree."""

    task: str
    models: PositiveInt
    correlation: RankCorrelation | None = Field(description="over all budgets, which improve both")
    cost: Cost | None = Field(description="mean over the budgets with 5 models or more; None without any")
    budgets: tuple[AtBudget, ...] = Field(description="those with 5 models or more")


class Agreement(Frozen):
    """How held-out loss and downstream scores agree over the models of a study."""

    tasks: tuple[OfTask, ...] = Field(description="the held-out nDCG, then each task, then their mean")
    too_few: dict[str, int] = Field(description="tasks that fewer than 5 models have -> models")
    finding: Finding = Field(description="the paper's eighth finding, with the verdict")

    def __str__(self) -> str:
        """What `embudget agree` prints."""
        lines = [line for task in self.tasks for line in (*_told(task), "")]
        lines += [f"{task}: {count} models have it, and {FEWEST} are needed" for task, count in self.too_few.items()]
        return "\n".join([*lines, *([""] if self.too_few else []), str(self.finding)])


class Scored(NamedTuple):
    """The models that have a loss and one score."""

    task: str
    runs: list[RunRecord]
    losses: Array
    scores: Array


def agree(records: Iterable[RunRecord]) -> Agreement:
    """Say how held-out loss and scores rank the models of a study, and what choosing by loss costs in score.

    Scores are those of `RunRecord.scores`, which a study with ``evaluate:`` has; the held-out nDCG@10 stands beside
    them. Runs without a loss do not count.

    Raises:
        FitError: fewer than 5 runs have a loss and a score, or their losses were not measured alike.

    Example:
        >>> with eb.Store("study.db") as store:
        ...     found = eb.agree(store.records())
        >>> found.finding.verdict
        'reproduced'
        >>> print(found)
    """
    done = _with_loss(records)
    every = scored_runs(done)
    enough = [one for one in every if len(one.runs) >= FEWEST]
    if not enough:
        most = max((len(one.runs) for one in every), default=0)
        raise FitError(f"agreement takes {FEWEST} runs or more with a held-out loss and a score, got {most}")
    tasks = {one.task: _of_task(one) for one in enough}
    scored = sum(bool(record.scores) for record in done)
    on_all = [name for name in tasks if name not in (HELD_OUT, MEAN) and tasks[name][0].models == scored]
    judged = MEAN if MEAN in tasks else on_all[0] if on_all else HELD_OUT
    return Agreement(
        tasks=tuple(task for task, _ in tasks.values()),
        too_few={one.task: len(one.runs) for one in every if len(one.runs) < FEWEST and one.task != HELD_OUT},
        finding=_finding(*tasks[judged]) if judged in tasks else untested(8, "no task was scored on all models"),
    )


def _with_loss(records: Iterable[RunRecord]) -> list[RunRecord]:
    return [record for record in records if record.status == "done" and record.loss is not None]


def _check_alike(done: Sequence[RunRecord]) -> None:
    """Refuse losses that no order can be made of, because they were measured on other pairs or by other rules."""
    counts = Counter(measured_by(record.config) for record in done)
    if len(counts) > 1:
        (one, many), (other, few) = counts.most_common(2)
        raise FitError(
            f"agreement takes losses that were measured alike, got {many} runs and {few} that differ in "
            f"{one.apart(other)}: keep them in stores of their own"
        )


def scored_runs(records: Iterable[RunRecord]) -> list[Scored]:
    """The models of the held-out pairs, of each task, and of the mean over the tasks that all scored models have.

    A model counts where it has a loss and the score. What no model has is left out.

    Raises:
        FitError: the losses were not measured alike.

    Example:
        >>> [one.task for one in scored_runs(store.records())]
        ['held-out nDCG@10', 'NFCorpus', 'SciFact', 'mean of the tasks']
    """
    done = _with_loss(records)
    _check_alike(done)
    values: dict[str, list[tuple[RunRecord, float]]] = {
        HELD_OUT: [(run, run.ndcg) for run in done if run.ndcg is not None]
    }
    with_scores = [run for run in done if run.scores]
    names = list(dict.fromkeys(name for run in with_scores for name in run.scores))
    values |= {name: [(run, run.scores[name]) for run in with_scores if name in run.scores] for name in names}
    common = [name for name in names if len(values[name]) == len(with_scores)]
    if len(common) > 1:
        values[MEAN] = [(run, sum(run.scores[name] for name in common) / len(common)) for run in with_scores]
    return [
        Scored(task, [run for run, _ in rows], np.array([run.loss for run, _ in rows]), np.array([x for _, x in rows]))
        for task, rows in values.items()
        if rows
    ]


def _of_task(scored: Scored) -> tuple[OfTask, list[Assertion]]:
    """How one score agrees with the loss, and the claims that its budgets make."""
    places: defaultdict[float, list[int]] = defaultdict(list)
    for place, run in enumerate(scored.runs):
        places[run.config.train_flops].append(place)
    budgets, claims, costs = [], [], []
    for budget, mine in sorted(places.items()):
        if len(mine) < FEWEST:
            continue
        at, claim, cost = _at_budget(budget, scored, np.array(mine))
        budgets.append(at)
        costs.append(cost)
        claims += claim
    ranks = rank_correlation(scored.losses, scored.scores)
    of_task = OfTask(
        task=scored.task,
        models=len(scored.runs),
        correlation=ranks and ranks.found,
        cost=_cost(np.mean([cost[0] for cost in costs]), np.mean([cost[1:] for cost in costs], axis=0))
        if costs
        else None,
        budgets=tuple(budgets),
    )
    return of_task, claims


def _at_budget(budget: float, scored: Scored, mine: Array) -> tuple[AtBudget, list[Assertion], Array]:
    """One budget, the claim it makes, and its cost: of the models themselves first, then in each draw (1 + draws,)."""
    losses, scores = scored.losses[mine], scored.scores[mine]
    rows = np.concatenate([np.arange(len(mine))[None, :], resamples(len(mine))])
    chosen = np.take_along_axis(rows, losses[rows].argmin(axis=1)[:, None], axis=1)[:, 0]
    cost = POINTS * (scores[rows].max(axis=1) - scores[chosen])
    ranks = rank_correlation(losses, scores)
    near = losses <= NEAR * losses.min()
    near_ranks = rank_correlation(losses[near], scores[near]) if near.sum() >= FEWEST_TO_JUDGE else None
    runs = [scored.runs[place] for place in mine.tolist()]
    best = int(scores.argmax())
    at = AtBudget(
        train_flops=budget,
        models=len(mine),
        correlation=ranks and ranks.found,
        near_the_best=near_ranks and near_ranks.found,
        chosen=_name(runs[int(chosen[0])]),
        chosen_score=float(scores[chosen[0]]),
        best=_name(runs[best]),
        best_score=float(scores[best]),
        cost=_cost(cost[0], cost[1:]),
    )
    if ranks is None or len(mine) < FEWEST_TO_JUDGE:
        return at, [], cost
    text = f"a lower loss goes with a better score at {budget:.3g} FLOP"
    return at, [assertion(text, ranks.spearman_draws <= STRONG, ranks.spearman_draws >= 0)], cost


def _finding(task: OfTask, claims: list[Assertion]) -> Finding:
    """The verdict by one score."""
    if not claims:
        why = f"a verdict takes {FEWEST_TO_JUDGE} models with a score at one budget"
        return untested(8, why)
    at = [one for one in task.budgets if one.models >= FEWEST_TO_JUDGE and one.correlation is not None]
    told = [f"rank correlation of held-out loss and {task.task} over {task.models} runs"]
    if task.correlation is not None:
        told[0] += f" {task.correlation.spearman:.2f}"
    if task.task == HELD_OUT:
        told.insert(0, "no benchmark decides this, only nDCG@10 on the pairs that the loss is of, which says less")
    within = [(one.correlation.spearman, one.train_flops) for one in at if one.correlation is not None]
    told.append(f"within budgets {_by_budget(within)}")
    near = [(one.near_the_best, one.train_flops) for one in at if one.near_the_best is not None]
    if near:
        counts = [found.models for found, _ in near]
        told.append(
            f"among the {min(counts)} to {max(counts)} runs within 5 % of the lowest loss of their budget "
            f"{_by_budget([(found.spearman, budget) for found, budget in near])}"
        )
    if task.cost is not None:
        low, high = task.cost.interval
        told.append(f"choosing by loss costs {task.cost.points:.1f} points of 100 ({low:.1f} to {high:.1f})")
    return conclude(8, claims, "; ".join(told))


def _told(task: OfTask) -> list[str]:
    """One task in lines: all budgets, then each."""
    lines = [f"{task.task}, {task.models} models: {_ranks(task.correlation)}{_costs(task.cost)}"]
    return lines + [
        f"  {one.train_flops:.3g} FLOP, {one.models} models: {_ranks(one.correlation)}{_costs(one.cost)}"
        + (f": {one.chosen}: {one.chosen_score:.3f}; best {one.best}: {one.best_score:.3f}" if one.cost.points else "")
        for one in task.budgets
    ]


def _ranks(found: RankCorrelation | None) -> str:
    if found is None:
        return "no order to compare"
    (low, high), (least, most) = found.spearman_interval, found.kendall_interval
    return (
        f"Spearman {found.spearman:+.2f} ({low:+.2f} to {high:+.2f}), Kendall {found.kendall:+.2f} ({least:+.2f} to "
        f"{most:+.2f})"
    )


def _costs(cost: Cost | None) -> str:
    return "" if cost is None else f"; choosing by loss costs {cost.points:.1f} points ({_range(cost.interval)})"


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.1f} to {ends[1]:.1f}"


def _by_budget(values: Iterable[tuple[float, float]]) -> str:
    """A list of numbers, each with its budget."""
    return ", ".join(f"{value:.2f} at {budget:g}" for value, budget in values) + " FLOP"


def _cost(points: float, draws: Array) -> Cost:
    return Cost(points=round(float(points), 4), interval=bootstrap_interval(draws))


def _name(run: RunRecord) -> str:
    config = run.config
    return f"{config.model} {config.method}{config.unusual}, rate {config.learning_rate:g}, seed {config.seed}"
