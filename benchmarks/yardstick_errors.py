"""What records say about the three sources of error of a held-out loss: seeds, rates, groups. For `yardstick.py`."""

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from embudget.comparison import SeedNoise, seed_noise
from embudget.findings.rank_agreement import rank_correlation
from embudget.records import RunRecord
from embudget.yardstick import chance_bound, effective_groups, loss_error, paired_difference


def published_errors(records: Sequence[RunRecord]) -> dict[str, Any]:
    """The noise of seeds over all budgets and within each, and what a rate next to the best one costs."""
    budgets = sorted({record.config.train_flops for record in records})
    by_budget = {f"{at:g}": seed_noise([r for r in records if r.config.train_flops == at]) for at in budgets}
    return {
        "mean_loss": round(statistics.mean(record.loss for record in records if record.loss is not None), 4),
        "seeds": noise(seed_noise(records)),
        "seeds_by_budget": {at: noise(found) for at, found in by_budget.items() if found.freedom},
        "rates": neighbours(records),
    }


def noise(found: SeedNoise) -> dict[str, Any]:
    """The noise of a run in per cent of its loss."""
    return {
        "percent": round(100 * found.deviation, 3),
        "percent_by_groups": round(100 * found.by_groups, 3),
        "settings": found.settings,
        "runs": found.runs,
    }


def neighbours(records: Sequence[RunRecord]) -> dict[str, Any]:
    """By how much the rate next to the best one tried is worse: in each cell the nearer on either side, in per cent.

    Cells are of one member, method and budget; the loss of a rate is the mean over its seeds.
    """
    cells: defaultdict[tuple[str, str, float], defaultdict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record.status == "done" and record.loss is not None:
            config = record.config
            cells[config.model, config.method, config.train_flops][config.learning_rate].append(record.loss)
    worse, steps = [], []
    for cell in cells.values():
        means = sorted((rate, statistics.mean(losses)) for rate, losses in cell.items())
        best = min(range(len(means)), key=lambda place: means[place][1])
        for place in (best - 1, best + 1):
            if 0 <= place < len(means):
                worse.append(100 * (means[place][1] / means[best][1] - 1))
                steps.append(max(means[place][0], means[best][0]) / min(means[place][0], means[best][0]))
    if not worse:
        return {"cells": 0}
    quantiles = np.quantile(worse, (0.5, 0.9))
    return {
        "cells": sum(len(cell) > 1 for cell in cells.values()),
        "step": round(statistics.median(steps), 2),
        "median_percent": round(float(quantiles[0]), 3),
        "ninth_decile_percent": round(float(quantiles[1]), 3),
    }


def measured_errors(first: Sequence[RunRecord], second: Sequence[RunRecord]) -> dict[str, Any] | None:
    """What runs that were measured on two disjoint sets say of both; None where there are fewer than two choices.

    Args:
        first: the records on one set.
        second: those of the same runs on the other.
    """
    ours = [place for place, record in enumerate(first) if record.config.seed == 0 and record.loss is not None]
    ours = [place for place in ours if second[place].loss is not None and first[place].groups and second[place].groups]
    if len(ours) < 2:
        return None
    one, other = ([records[place] for place in ours] for records in (first, second))
    losses = [np.array([record.loss for record in records]) for records in (one, other)]
    better = losses[0] <= np.median(losses[0])
    return {
        "choices": len(ours),
        "budget": one[0].config.train_flops,
        "sets": [held_out(one[0]), held_out(other[0])],
        "rank": ranks(*losses),
        "rank_of_the_better_half": ranks(losses[0][better], losses[1][better]),
        "loss": [round(float(each.mean()), 4) for each in losses],
        "loss_error": [spread([loss_error(record.groups) for record in records]) for records in (one, other)],
        "paired": paired(one, other),
        "seeds": [noise(seed_noise(records)) for records in (first, second)],
        "runs": len(first),
    }


def held_out(record: RunRecord) -> dict[str, Any]:
    """How much one set holds."""
    pairs = sum(group.pairs for group in record.groups.values())
    return {"pairs": pairs, "groups": len(record.groups), "effective_groups": round(effective_groups(record.groups), 1)}


def ranks(one: np.ndarray, other: np.ndarray) -> dict[str, Any] | None:
    """How alike two sets rank the choices."""
    found = rank_correlation(one, other)
    return None if found is None else found.found.model_dump(mode="json")


def paired(one: Sequence[RunRecord], other: Sequence[RunRecord]) -> dict[str, Any]:
    """The errors of differences of any two choices, and whether the two sets' differences are as far apart as they say.

    The sets share no group, so the difference of the two differences has the error sqrt(e_1^2 + e_2^2): its ratio to
    that should have a root mean square of 1, and lie within the bound for 95 %.
    """
    errors, ratios, inside, real = [], [], [], []
    for a, b in itertools.combinations(range(len(one)), 2):
        here = paired_difference(one[a].groups, one[b].groups)
        there = paired_difference(other[a].groups, other[b].groups)
        error = math.hypot(here.error, there.error)
        if not error > 0:
            continue
        errors.append(here.error)
        ratios.append((here.nats - there.nats) / error)
        freedom = error**4 / (here.error**4 / here.freedom + there.error**4 / there.freedom)
        inside.append(abs(here.nats - there.nats) <= chance_bound(error, freedom))
        real.append((here.is_real, there.is_real, here.nats * there.nats > 0))
    both = [alike for here, there, alike in real if here and there]
    return {
        "differences": len(errors),
        "error": spread(errors),
        "rms_ratio": round(math.sqrt(statistics.mean(ratio**2 for ratio in ratios)), 3) if ratios else None,
        "inside_95_percent": round(statistics.mean(inside), 3) if inside else None,
        "more_than_noise": round(statistics.mean(here for here, _, _ in real), 3) if real else None,
        "of_those_on_both_sets_with_one_sign": round(statistics.mean(both), 3) if both else None,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """The least, the median and the largest."""
    ends = min(values), statistics.median(values), max(values)
    return dict(zip(("least", "median", "most"), (round(value, 4) for value in ends), strict=True))
