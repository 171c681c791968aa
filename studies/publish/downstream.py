"""Statement 8 of the paper: does a lower contrastive loss go with a better downstream score?

The other seven are judged by `embudget explain`; this one needs runs rather than laws. The score is nDCG@10 on the same
held-out pairs, and the measure Spearman's rank correlation, -1 where the score falls whenever the loss rises. Between
budgets both improve anyway, so the verdict is by the correlations within each budget of 8 runs or more:

    reproduced        -0.5 or stronger within every budget
    not reproduced    0 or positive within every budget
    undetermined      otherwise, or fewer than 8 runs
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import spearmanr

from embudget.records import RunRecord

STATEMENT = "A lower contrastive loss goes with a better downstream score."

FEWEST = 8
"""Runs that a correlation is given for; assumption: the sign of fewer says nothing."""

NEAR = 1.05
"""Times the lowest loss of a budget: about two standard deviations of a run above it, where a choice would be made."""


def downstream(records: Sequence[RunRecord]) -> dict[str, Any]:
    """The verdict with its correlations: over all runs, within each budget, and among the best runs of each."""
    scored = [(r.config.train_flops, r.loss, r.ndcg) for r in records if r.loss is not None and r.ndcg is not None]
    if len(scored) < FEWEST:
        return {"statement": STATEMENT, "runs": len(scored), "verdict": "undetermined"}
    by_budget = defaultdict(list)
    for budget, loss, ndcg in sorted(scored, key=lambda run: run[0]):
        by_budget[budget].append((loss, ndcg))
    near = {budget: [run for run in runs if run[0] <= NEAR * min(runs)[0]] for budget, runs in by_budget.items()}
    within = _correlations(by_budget)
    return {
        "statement": STATEMENT,
        "verdict": _verdict(list(within.values())),
        "runs": len(scored),
        "spearman": _correlation([(loss, ndcg) for _, loss, ndcg in scored]),
        "spearman_within_budgets": within,
        "spearman_near_the_best": _correlations(near),
        "runs_near_the_best": {f"{budget:g}": len(runs) for budget, runs in near.items()},
    }


def _correlations(by_budget: Mapping[float, Sequence[tuple[float, float]]]) -> dict[str, float]:
    return {f"{budget:g}": _correlation(runs) for budget, runs in by_budget.items() if len(runs) >= FEWEST}


def _correlation(runs: Sequence[tuple[float, float]]) -> float:
    return round(float(spearmanr([loss for loss, _ in runs], [score for _, score in runs]).statistic), 4)


def _verdict(correlations: Sequence[float]) -> str:
    if correlations and max(correlations) <= -0.5:
        return "reproduced"
    return "not reproduced" if correlations and min(correlations) >= 0 else "undetermined"
