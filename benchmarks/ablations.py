"""What each change of a default does to the loss, from the records of `studies/ablations.yaml`.

    .venv/bin/python benchmarks/ablations.py results/ablations

Runs that differ from a base in one thing are compared with it. That of `freeze:1`, which trains all blocks but not the
input embedding, is `full`; that of all others is `lora:32` as the study's first grid is. Each is taken at one rate
a budget, the one with the lowest mean loss over the members on the seed RATE_SEED, and compared on the other seeds, so
that choosing the rate favours nobody.

The difference of a change is the mean over members, budgets and seeds, each run against the base's of the same three.
The two budgets of a member and a seed see the same pairs in the same order, often on one trunk, and count as one
observation, their mean. With the base of a change, all changes of it share the luck of its runs, so the noise is that
of the additive model

    loss = effect of (setting, member) + effect of (member, seed) + noise of standard deviation s

over a base and its changes; s is pooled over the two bases, and the standard error of a difference is s sqrt(2 / n) for
n members times seeds. It is outside the noise where it exceeds the standard error times the two-sided quantile of
Student's t for 5 % divided by the number of changes (Bonferroni). Assumption: all settings are equally noisy. One that
has learned nothing is not, and s is pooled without it.

Writes ablations.json and spent.json; while there is no seed but RATE_SEED, prints the best rates instead of comparing.
"""

import argparse
import json
import math
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from results_files import loss_or_chance, read_records, save
from scipy.stats import t as student
from spent import spent

from embudget.records import RunConfig, RunRecord

RATE_SEED = 0
LEARNED = 0.98
"""Of chance: the mean loss of a setting from which on it has learned nothing."""
LEVEL = 0.05
"""Chance that any change at all is called outside the noise where none has an effect."""


class Setting(NamedTuple):
    """What a run is but for member, budget, rate and seed."""

    method: str
    batch_size: int
    pooling: str
    max_length: int
    schedule: str

    @classmethod
    def of(cls, config: RunConfig) -> "Setting":
        """That of a run."""
        return cls(config.method, config.batch_size, config.pooling, config.max_length, config.schedule)

    def against(self, base: "Setting") -> str:
        """What is different, in words."""
        changes = [f"{name} {value}" for name, value in self._asdict().items() if value != getattr(base, name)]
        return ", ".join(changes)


BASE = Setting("lora:32", 16, "mean", 75, "wsd")
FULL = BASE._replace(method="full")

Cell = tuple[str, float]
"""Member and budget in FLOP."""
Runs = dict[tuple[Cell, int], float]
"""Cell and seed -> loss, or a difference of losses, in nats."""
Array = NDArray[np.float64]
Losses = dict[float, Runs]
"""Learning rate -> runs."""


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    records = read_records(folder)
    losses = losses_of(records)
    save(folder / "spent.json", spent(records))
    if {record.config.seed for record in records} == {RATE_SEED}:
        for setting, tried in losses.items():
            print(*setting, json.dumps(rates_of(tried, best_rates(tried))))  # noqa: T201
        return
    found = compared(losses, chance=math.log(records[0].config.eval_candidates))
    save(folder / "ablations.json", found)
    print(json.dumps(found, indent=1))  # noqa: T201


def losses_of(records: list[RunRecord]) -> dict[Setting, Losses]:
    """The losses of every setting; a run that diverged counts as chance."""
    losses: dict[Setting, Losses] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        config, loss = record.config, loss_or_chance(record)
        if loss is not None:
            losses[Setting.of(config)][config.learning_rate][(config.model, config.train_flops), config.seed] = loss
    return losses


def compared(losses: dict[Setting, Losses], chance: float) -> dict[str, Any]:
    """The bases, and each change against its own, with what is outside the noise; chance is a loss in nats."""
    rates = {setting: best_rates(tried) for setting, tried in losses.items()}
    runs = {setting: fresh(tried, rates[setting]) for setting, tried in sorted(losses.items())}
    bases = [base for base in (BASE, FULL) if base in runs]
    for setting, found in runs.items():
        if missing := runs[base_of(setting)].keys() ^ found.keys():
            sys.exit(
                f"{setting} at rates {rates[setting]} and {base_of(setting)} must have the same runs, got {missing}"
            )
    groups = {base: {setting: trunks(runs[setting]) for setting in runs if base_of(setting) == base} for base in bases}
    learned = [
        [loss_MK for loss_MK in group.values() if loss_MK.mean() < LEARNED * chance] for group in groups.values()
    ]
    deviation, freedom = noise([np.stack(group) for group in learned if group])
    changes = [setting for setting in runs if setting not in bases]
    quantile = float(student.ppf(1 - LEVEL / (2 * len(changes)), freedom))
    rows = []
    for setting in changes:
        base = base_of(setting)
        difference_MK = groups[base][setting] - groups[base][base]
        mean, error = float(difference_MK.mean()), deviation * (2 / difference_MK.size) ** 0.5
        rows.append(described(setting.against(base), losses[setting], rates[setting]) | {
            "base": base.method,
            "cells": per_cell({key: loss - runs[base][key] for key, loss in runs[setting].items()}),
            "difference": round(mean, 4), "standard_error": round(error, 4),
            "outside_the_noise": abs(mean) > quantile * error,
        })  # fmt: skip
    return {
        "bases": [
            described(base.method, losses[base], rates[base]) | {"cells": per_cell(runs[base])} for base in bases
        ],
        "changes": rows, "freedom": freedom, "quantile": round(quantile, 3),
    }  # fmt: skip


def base_of(setting: Setting) -> Setting:
    """What a setting is compared with; a base with itself."""
    return FULL if setting.method in ("full", "freeze:1") else BASE


def best_rates(tried: Losses) -> dict[float, float]:
    """Budget -> the rate with the lowest mean loss on the seed for it, of those that have most of its runs."""
    found: dict[float, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for rate, runs in tried.items():
        for ((_, budget), seed), loss in runs.items():
            if seed == RATE_SEED:
                found[budget][rate].append(loss)
    if missing := {budget for runs in tried.values() for (_, budget), _ in runs} - found.keys():
        sys.exit(f"rates {sorted(tried)} have no runs of seed {RATE_SEED} at {missing} FLOP")
    return {
        budget: min(
            (rate for rate in by_rate if len(by_rate[rate]) == max(map(len, by_rate.values()))),
            key=lambda rate: statistics.mean(by_rate[rate]),
        )
        for budget, by_rate in sorted(found.items())
    }


def fresh(tried: Losses, rates: dict[float, float]) -> Runs:
    """Those at the rate of their budget, of other seeds than the one that chose it."""
    return {
        ((model, budget), seed): loss
        for budget, rate in rates.items()
        for ((model, at), seed), loss in tried[rate].items()
        if at == budget and seed != RATE_SEED
    }


def trunks(runs: Runs) -> Array:
    """The mean over the budgets, (M, K) for M members and K seeds."""
    models, seeds = (sorted(names) for names in ({model for (model, _), _ in runs}, {seed for _, seed in runs}))
    return np.array([
        [statistics.mean(loss for ((at, _), by), loss in runs.items() if (at, by) == (model, seed)) for seed in seeds]
        for model in models
    ])  # fmt: skip


def noise(groups: list[Array]) -> tuple[float, int]:
    """Standard deviation of the additive model's residuals and its degrees of freedom, from arrays (S, M, K)."""
    squares, freedom = 0.0, 0
    for loss_SMK in groups:
        of_setting, of_seed = loss_SMK.mean(axis=2, keepdims=True), loss_SMK.mean(axis=0, keepdims=True)
        residual_SMK = loss_SMK - of_setting - of_seed + loss_SMK.mean(axis=(0, 2), keepdims=True)
        settings, members, seeds = loss_SMK.shape
        squares, freedom = squares + float((residual_SMK**2).sum()), freedom + (settings - 1) * members * (seeds - 1)
    if freedom == 0:
        sys.exit("differences need two seeds or more beside the one that chose the rates")
    return (squares / freedom) ** 0.5, freedom


def described(change: str, tried: Losses, rates: dict[float, float]) -> dict[str, Any]:
    """A setting with its rates."""
    return {"change": change, "rates": rates_of(tried, rates)}


def rates_of(tried: Losses, rates: dict[float, float]) -> list[dict[str, Any]]:
    """The rate of each budget, those it was chosen from, and whether it is the lowest or the highest of them."""
    found = []
    for budget, rate in rates.items():
        seen = sorted(r for r, runs in tried.items() if any((at, s) == (budget, RATE_SEED) for (_, at), s in runs))
        found.append({"train_flops": budget, "rate": rate, "of": seen, "at_an_end": rate in (seen[0], seen[-1])})
    return found


def per_cell(runs: Runs) -> list[dict[str, Any]]:
    """The mean over the seeds of each cell."""
    cells = defaultdict(list)
    for (cell, _), value in runs.items():
        cells[cell].append(value)
    return [
        {"model": model, "train_flops": budget, "mean": round(statistics.mean(values), 4), "seeds": len(values)}
        for (model, budget), values in sorted(cells.items())
    ]


if __name__ == "__main__":
    main()
