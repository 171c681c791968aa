"""What each change of a default does to the loss, from the records of `studies/ablations.yaml`.

    .venv/bin/python benchmarks/ablations.py results/ablations

Runs that differ from a base in one thing are compared with it. That of `freeze:1`, which trains all blocks but not the
input embedding, is `full`; that of all others is `lora:32` as the study's first grid is. Each is taken at one rate a
budget, the one with the lowest mean loss over the members on the seed RATE_SEED, and compared on the other seeds, so
that choosing the rate favours nobody; how near the best of the rates tried is to the best of all may still differ.

The difference of a change is the mean over members and seeds, each run against the base's of the same two: at each
budget, and over both, where the two runs of a member and a seed count as one observation, their mean. All changes of a
base share its runs, so the noise is that of the additive model

    loss = effect of (setting, member) + effect of (member, seed) + noise of standard deviation s

over a base and its changes; s is pooled over the two bases, and the standard error of a difference is s sqrt(2 / n) for
n members times seeds. A difference is outside the noise where it exceeds the standard error times the two-sided
quantile of Student's t for 5 % divided by the number of differences (Bonferroni). Assumption: all settings are equally
noisy. One that has learned nothing is not: it is left out of s, and its difference is not judged. The noise is that of
runs at given rates; which rate seed RATE_SEED picks, where two are level, is not in it.

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
"""A setting whose mean loss is at least so much of chance has learned nothing."""
LEVEL = 0.05
"""Chance that any change at all is called outside the noise where none has an effect at the rates chosen."""


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
    """The bases, and each change against its own, with what is outside the noise; chance is a loss in nats.

    Lists have a value for each budget, from the lowest, and then one for all together.
    """
    rates = {setting: best_rates(tried) for setting, tried in losses.items()}
    runs = {setting: fresh(tried, rates[setting]) for setting, tried in sorted(losses.items())}
    for setting, found in runs.items():
        if missing := runs[base_of(setting)].keys() ^ found.keys():
            sys.exit(f"{setting} at {rates[setting]} and {base_of(setting)} must have the same runs, got {missing}")
    loss_BMK = {setting: with_mean(as_array(found)) for setting, found in runs.items()}
    learned = {setting for setting, loss in loss_BMK.items() if loss[-1].mean() < LEARNED * chance}
    changes = [setting for setting in runs if setting != base_of(setting)]
    groups = [[loss_BMK[one] for one in runs if one in learned and base_of(one) == base] for base in (BASE, FULL)]
    deviations, freedom = noise([np.stack(group) for group in groups if group])
    errors = deviations * (2 / loss_BMK[BASE][-1].size) ** 0.5
    judged = len(deviations) * len(learned.intersection(changes))
    outside = errors * float(student.ppf(1 - LEVEL / (2 * judged), freedom))
    return {
        "budgets": sorted(rates[BASE]), "seeds": loss_BMK[BASE].shape[-1], "freedom": freedom,
        "standard_deviation": rounded(deviations), "standard_error": rounded(errors),
        "outside_the_noise": rounded(outside),
        "bases": [
            {"change": base.method, "rates": rates_of(losses[base], rates[base]),
             "losses": rounded(loss_BMK[base].mean(axis=(1, 2)))}
            for base in (BASE, FULL) if base in runs
        ],
        "changes": [
            {"change": one.against(base_of(one)), "base": base_of(one).method,
             "rates": rates_of(losses[one], rates[one]), "learned": one in learned,
             "differences": rounded((loss_BMK[one] - loss_BMK[base_of(one)]).mean(axis=(1, 2)))}
            for one in changes
        ],
    }  # fmt: skip


def rounded(values: Array) -> list[float]:
    """To four digits."""
    return [round(float(value), 4) for value in values]


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


def as_array(runs: Runs) -> Array:
    """The losses (B, M, K) of B budgets, M members and K seeds."""
    cells = sorted({cell for cell, _ in runs}, key=lambda cell: (cell[1], cell[0]))
    seeds = sorted({seed for _, seed in runs})
    budgets = len({budget for _, budget in cells})
    return np.array([runs[cell, seed] for cell in cells for seed in seeds]).reshape(budgets, -1, len(seeds))


def with_mean(loss_BMK: Array) -> Array:
    """The budgets' losses and then their mean, (B + 1, M, K)."""
    return np.concatenate([loss_BMK, loss_BMK.mean(axis=0, keepdims=True)])


def noise(groups: list[Array]) -> tuple[Array, int]:
    """Standard deviations (B,) of the additive model's residuals and their degrees of freedom, from (S, B, M, K)."""
    squares_B, freedom = np.array(0.0), 0
    for loss_SBMK in groups:
        of_setting, of_seed = loss_SBMK.mean(axis=3, keepdims=True), loss_SBMK.mean(axis=0, keepdims=True)
        residual_SBMK = loss_SBMK - of_setting - of_seed + loss_SBMK.mean(axis=(0, 3), keepdims=True)
        settings, _, members, seeds = loss_SBMK.shape
        squares_B = squares_B + (residual_SBMK**2).sum(axis=(0, 2, 3))
        freedom += (settings - 1) * members * (seeds - 1)
    if freedom == 0:
        sys.exit("differences need two seeds or more beside the one that chose the rates")
    return (squares_B / freedom) ** 0.5, freedom


def rates_of(tried: Losses, rates: dict[float, float]) -> list[dict[str, Any]]:
    """The rate of each budget, those it was chosen from, and whether it is the lowest or the highest of them."""
    found = []
    for budget, rate in rates.items():
        seen = sorted(r for r, runs in tried.items() if any((at, s) == (budget, RATE_SEED) for (_, at), s in runs))
        found.append({"train_flops": budget, "rate": rate, "of": seen, "at_an_end": rate in (seen[0], seen[-1])})
    return found


if __name__ == "__main__":
    main()
