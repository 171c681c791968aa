"""What each change of a default does to the loss, from the records of `studies/ablations.yaml`.

    .venv/bin/python benchmarks/ablations.py results/ablations

Runs that differ from a base in one thing are compared with it. That of `freeze:1`, which trains all blocks but not the
input embedding, is `full`; that of all others is `lora:32` as the study's first grid is. Of the rates that each is
tried at, the TRIES with the lowest mean loss over the members on the seed RATE_SEED are run on the other seeds too, at
each budget for itself; there the best of them counts. That flatters a setting by half the distance of its rates' means
at most; so the differences are also given at the best rates of the seed RATE_SEED (at_first_rates), and with the rate
of each other seed chosen on the rest of them (at_rates_of_other_seeds).

The difference of a change is the mean over members and seeds, each run against the base's of the same two: at each
budget, and over both, where the two runs of a member and a seed count as one observation, their mean. All changes of a
base share its runs, so the noise is that of the additive model

    loss = effect of (setting, member) + effect of (member, seed) + noise of standard deviation s

over a base and its changes; s is pooled over the two bases, and the standard error of a difference is s sqrt(2 / n) for
n members times seeds. A difference is outside the noise where it exceeds the standard error times the two-sided
quantile of Student's t for 5 % divided by the number of differences (Bonferroni). Assumption: all settings are equally
noisy. One that has learned nothing on the seed RATE_SEED is not: it is left out of s, its difference is not judged, and
its best rate there is enough. The noise is that of runs at given rates: that they were chosen, on the same seeds, is
not in it.

Writes ablations.json and spent.json; while there is no seed but RATE_SEED, prints the best rates instead of comparing.
"""

import argparse
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from results_files import loss_or_chance, read_records, save
from scipy.stats import t as student
from spent import spent

from embudget.records import RunConfig, RunRecord

RATE_SEED = 0
TRIES = 2
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
Candidates = dict[float, dict[float, Runs]]
"""Budget in FLOP -> learning rate -> runs."""


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
            print(*setting, json.dumps({f"{budget:g}": by_rate(tried, budget) for budget in budgets_of(tried)}))  # noqa: T201
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
    learned = {setting for setting, tried in losses.items() if learns(tried, chance)}
    taken = {
        setting: candidates(setting, losses[setting], TRIES if setting in learned else 1) for setting in sorted(losses)
    }
    for setting in taken:
        if missing := runs_of(taken[setting]) ^ runs_of(taken[base_of(setting)]):
            sys.exit(f"{setting} and {base_of(setting)} must have the same runs at their best rates, got {missing}")
    loss_BMK = {setting: picked(of, lambda rates, _seed: best(rates)) for setting, of in taken.items()}
    changes = [setting for setting in taken if setting != base_of(setting)]
    bases = [base for base in (BASE, FULL) if base in taken]
    groups = {base: [loss_BMK[one] for one in taken if one in learned and base_of(one) == base] for base in bases}
    deviations, freedom = noise([np.stack(group) for group in groups.values() if group])
    first_BMK = {setting: picked(of, lambda rates, _seed: next(iter(rates))) for setting, of in taken.items()}
    apart_BMK = {setting: picked(of, lambda rates, seed: best(rates, without=seed)) for setting, of in taken.items()}
    errors = deviations * (2 / loss_BMK[BASE][-1].size) ** 0.5
    judged = len(deviations) * len(learned.intersection(changes))
    outside = errors * float(student.ppf(1 - LEVEL / (2 * judged), freedom))
    return {
        "budgets": sorted(taken[BASE]), "seeds": loss_BMK[BASE].shape[-1], "freedom": freedom,
        "standard_deviation": rounded(deviations), "standard_error": rounded(errors),
        "outside_the_noise": rounded(outside),
        "bases": [
            {"change": base.method, "rates": rates_of(losses[base], taken[base]),
             "losses": averaged(loss_BMK[base]), "losses_at_first_rates": averaged(first_BMK[base]),
             "losses_at_rates_of_other_seeds": averaged(apart_BMK[base]),
             "standard_deviation": rounded(noise([np.stack(groups[base])])[0]) if len(groups[base]) > 1 else None}
            for base in bases
        ],
        "changes": [
            {"change": one.against(base_of(one)), "base": base_of(one).method,
             "rates": rates_of(losses[one], taken[one]), "learned": one in learned,
             "differences": averaged(loss_BMK[one] - loss_BMK[base_of(one)]),
             "at_first_rates": averaged(first_BMK[one] - first_BMK[base_of(one)]),
             "at_rates_of_other_seeds": averaged(apart_BMK[one] - apart_BMK[base_of(one)]),
             "runs_below_the_base": (loss_BMK[one] < loss_BMK[base_of(one)])[:-1].sum(axis=(1, 2)).tolist()}
            for one in changes
        ],
    }  # fmt: skip


def averaged(value_BMK: Array) -> list[float]:
    """Over members and seeds, to four digits."""
    return rounded(value_BMK.mean(axis=(1, 2)))


def rounded(values: Array) -> list[float]:
    """To four digits."""
    return [round(float(value), 4) for value in values]


def base_of(setting: Setting) -> Setting:
    """What a setting is compared with; a base with itself."""
    return FULL if setting.method in ("full", "freeze:1") else BASE


def budgets_of(tried: Losses) -> list[float]:
    """Those that any rate has runs at, from the lowest."""
    return sorted({budget for runs in tried.values() for (_, budget), _ in runs})


def by_rate(tried: Losses, budget: float) -> dict[float, float]:
    """Rate -> mean loss on the seed for choosing, of the rates that have most of its runs; the best first."""
    found = {
        rate: [loss for ((_, at), seed), loss in runs.items() if (at, seed) == (budget, RATE_SEED)]
        for rate, runs in tried.items()
    }
    most = max(map(len, found.values()))
    if most == 0:
        sys.exit(f"rates {sorted(tried)} have no runs of seed {RATE_SEED} at {budget:g} FLOP")
    means = {rate: statistics.mean(losses) for rate, losses in found.items() if len(losses) == most}
    return dict(sorted(means.items(), key=lambda one: one[1]))


def learns(tried: Losses, chance: float) -> bool:
    """Whether the best rates on the seed for choosing lead to less than chance."""
    return statistics.mean(min(by_rate(tried, budget).values()) for budget in budgets_of(tried)) < LEARNED * chance


def fresh(tried: Losses, rate: float, budget: float) -> Runs:
    """Those at a rate and a budget of other seeds than the one for choosing."""
    return {
        ((model, at), seed): loss
        for ((model, at), seed), loss in tried[rate].items()
        if at == budget and seed != RATE_SEED
    }


def candidates(setting: Setting, tried: Losses, tries: int) -> Candidates:
    """Budget -> the rates that are the best on the seed for choosing, the best first -> their runs of other seeds."""
    found = {}
    for budget in budgets_of(tried):
        runs = {rate: fresh(tried, rate, budget) for rate in list(by_rate(tried, budget))[:tries]}
        if len({frozenset(of_rate) for of_rate in runs.values()}) > 1 or not all(runs.values()):
            counts = {rate: len(of_rate) for rate, of_rate in runs.items()}
            sys.exit(f"{setting} must have the same fresh runs at its best rates at {budget:g} FLOP, has {counts}")
        found[budget] = runs
    return found


def best(rates: dict[float, Runs], without: int | None = None) -> float:
    """That with the lowest mean loss, of all seeds but one."""
    return min(
        rates, key=lambda rate: statistics.mean(loss for (_, seed), loss in rates[rate].items() if seed != without)
    )


def runs_of(taken: Candidates) -> set[tuple[Cell, int]]:
    """Cells and seeds, which all candidates of a budget share."""
    return {run for rates in taken.values() for run in next(iter(rates.values()))}


def picked(taken: Candidates, pick: Callable[[dict[float, Runs], int], float]) -> Array:
    """The losses (B + 1, M, K) at the rate that is picked for each budget and seed, the budgets' mean last."""
    return with_mean(
        as_array({
            (cell, seed): rates[pick(rates, seed)][cell, seed]
            for rates in taken.values() for cell, seed in next(iter(rates.values()))
        })
    )  # fmt: skip


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


def rates_of(tried: Losses, taken: Candidates) -> list[dict[str, Any]]:
    """The rate of each budget, what it was chosen from, and whether it is the lowest or the highest of that.

    Of each rate that was tried: its mean loss on the seed for choosing, and on the others if it was a candidate.
    """
    found = []
    for budget, rates in taken.items():
        losses, rate = dict(sorted(by_rate(tried, budget).items())), best(rates)
        found.append(
            {"train_flops": budget, "rate": rate, "at_an_end": rate in (min(losses), max(losses)),
             "of": [{"rate": one, "first_seed": round(loss, 4),
                     "other_seeds": round(statistics.mean(rates[one].values()), 4) if one in rates else None}
                    for one, loss in losses.items()]}
        )  # fmt: skip
    return found


if __name__ == "__main__":
    main()
