"""What does each change of a default do to the loss? From the records of `studies/ablations.yaml`.

    .venv/bin/python -m studies.publish.ablations results/ablations

*Bases.* A run is compared with the base that it differs from in one thing. The base is `lora:32` with the defaults of
the study's first grid; only `freeze:1`, which trains all blocks but not the input embedding, is compared with `full`.

*Rates.* A change may need another learning rate, so each is tried at several on the seed RATE_SEED. At each budget the
TRIES rates with the lowest mean loss over the members are then run on the other seeds, and the better one counts there.
Choosing on the seeds that are compared flatters a setting, by at most half the distance between its rates' means. So
the differences are given twice more: at the rates that RATE_SEED alone would choose (at_first_rates), and with the rate
for each seed chosen on the others (at_rates_of_other_seeds).

*Noise.* A difference is the mean over members and seeds, each run against the base's run of the same member and seed:
at each budget, and over both budgets, where the two runs of a member and seed count as one observation, their mean. All
changes of a base share its runs, so the noise is that of the additive model

    loss = effect of (setting, member) + effect of (member, seed) + noise of standard deviation s

over a base and its changes, with s pooled over the two bases. For n members times seeds the standard error of a
difference is s sqrt(2 / n). A difference is outside the noise where it exceeds the standard error times the two-sided
quantile of Student's t for 5 % divided by the number of differences (Bonferroni). Assumption: all settings are equally
noisy. A setting that learned nothing on the seed RATE_SEED is not, so it is left out of s, its difference is not
judged, and it is run on the other seeds at its best rate alone. The noise does not include that rates were chosen.

Writes ablations.json and spent.json. While RATE_SEED is the only seed, it prints the mean losses by rate instead, the
best first, from which the rates for the other seeds are taken.
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
from scipy.stats import t as student

from embudget.records import RunConfig, RunRecord
from studies.publish.files import read_records, save_json
from studies.publish.runs import loss_or_chance, spent

RATE_SEED = 0
TRIES = 2
LEARNED = 0.98
"""A setting whose mean loss is at least this share of chance has learned nothing."""
LEVEL = 0.05
"""Chance that any change at all is called outside the noise where none has an effect at the rates chosen."""


class Ablation(NamedTuple):
    """What a change may concern: all of a run's setting but the member and the learning rate."""

    method: str
    batch_size: int
    pooling: str
    max_length: int
    schedule: str

    @classmethod
    def of(cls, config: RunConfig) -> "Ablation":
        """Take them from a run's configuration."""
        return cls(config.method, config.batch_size, config.pooling, config.max_length, config.schedule)

    def against(self, base: "Ablation") -> str:
        """Say in words what differs from the base: `batch_size 8`."""
        changes = [f"{name} {value}" for name, value in self._asdict().items() if value != getattr(base, name)]
        return ", ".join(changes)


BASE = Ablation("lora:32", 16, "mean", 75, "wsd")
FULL = BASE._replace(method="full")

Place = tuple[str, float]
"""Member and budget in FLOP."""
Runs = dict[tuple[Place, int], float]
"""Place and seed -> loss, or a difference of losses, in nats."""
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
    save_json(folder / "spent.json", spent(records))
    if {record.config.seed for record in records} == {RATE_SEED}:
        for setting, tried in losses.items():
            print(*setting, json.dumps({f"{budget:g}": by_rate(tried, budget) for budget in budgets_of(tried)}))  # noqa: T201
        return
    found = compared(losses, chance=math.log(records[0].config.eval_candidates))
    save_json(folder / "ablations.json", found)
    print(json.dumps(found, indent=1))  # noqa: T201


def losses_of(records: list[RunRecord]) -> dict[Ablation, Losses]:
    """The losses of every setting; a run that diverged counts as chance."""
    losses: dict[Ablation, Losses] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        config, loss = record.config, loss_or_chance(record)
        if loss is not None:
            losses[Ablation.of(config)][config.learning_rate][(config.model, config.train_flops), config.seed] = loss
    return losses


def compared(losses: dict[Ablation, Losses], chance: float) -> dict[str, Any]:
    """Compare each change with its base, and say from where on a difference is outside the noise.

    Lists have a value for each budget, from the lowest, and then one for all together. ``chance`` is the loss in nats
    of a model that knows nothing.
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
    """The mean over members and seeds, to four digits."""
    return rounded(value_BMK.mean(axis=(1, 2)))


def rounded(values: Array) -> list[float]:
    """Values to four digits."""
    return [round(float(value), 4) for value in values]


def base_of(setting: Ablation) -> Ablation:
    """The base that a setting is compared with; a base is its own."""
    return FULL if setting.method in ("full", "freeze:1") else BASE


def budgets_of(tried: Losses) -> list[float]:
    """The budgets that any rate has runs at, from the lowest."""
    return sorted({budget for runs in tried.values() for (_, budget), _ in runs})


def by_rate(tried: Losses, budget: float) -> dict[float, float]:
    """Rate -> mean loss on RATE_SEED, the best first; rates that lack runs others have are left out."""
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
    """Whether the best rates on RATE_SEED lead to a loss below chance."""
    return statistics.mean(min(by_rate(tried, budget).values()) for budget in budgets_of(tried)) < LEARNED * chance


def fresh(tried: Losses, rate: float, budget: float) -> Runs:
    """The runs at a rate and a budget that RATE_SEED did not choose the rate by."""
    return {
        ((model, at), seed): loss
        for ((model, at), seed), loss in tried[rate].items()
        if at == budget and seed != RATE_SEED
    }


def candidates(setting: Ablation, tried: Losses, tries: int) -> Candidates:
    """Budget -> the ``tries`` best rates on RATE_SEED, the best first -> their runs on the other seeds."""
    found = {}
    for budget in budgets_of(tried):
        runs = {rate: fresh(tried, rate, budget) for rate in list(by_rate(tried, budget))[:tries]}
        if len({frozenset(of_rate) for of_rate in runs.values()}) > 1 or not all(runs.values()):
            counts = {rate: len(of_rate) for rate, of_rate in runs.items()}
            sys.exit(f"{setting} must have the same fresh runs at its best rates at {budget:g} FLOP, has {counts}")
        found[budget] = runs
    return found


def best(rates: dict[float, Runs], without: int | None = None) -> float:
    """The rate with the lowest mean loss over the seeds but ``without``."""
    return min(
        rates, key=lambda rate: statistics.mean(loss for (_, seed), loss in rates[rate].items() if seed != without)
    )


def runs_of(taken: Candidates) -> set[tuple[Place, int]]:
    """The places and seeds that were run; all candidates of a budget share them."""
    return {run for rates in taken.values() for run in next(iter(rates.values()))}


def picked(taken: Candidates, pick: Callable[[dict[float, Runs], int], float]) -> Array:
    """The losses (B + 1, M, K) at the rate that ``pick`` takes for each budget and seed, the budgets' mean last."""
    return with_mean(
        as_array({
            (place, seed): rates[pick(rates, seed)][place, seed]
            for rates in taken.values() for place, seed in next(iter(rates.values()))
        })
    )  # fmt: skip


def as_array(runs: Runs) -> Array:
    """Arrange losses as (B, M, K): budgets, members, seeds."""
    places = sorted({place for place, _ in runs}, key=lambda place: (place[1], place[0]))
    seeds = sorted({seed for _, seed in runs})
    budgets = len({budget for _, budget in places})
    return np.array([runs[place, seed] for place in places for seed in seeds]).reshape(budgets, -1, len(seeds))


def with_mean(loss_BMK: Array) -> Array:
    """Append the mean over the budgets: (B + 1, M, K)."""
    return np.concatenate([loss_BMK, loss_BMK.mean(axis=0, keepdims=True)])


def noise(groups: list[Array]) -> tuple[Array, int]:
    """Standard deviations (B,) of the additive model's residuals and their degrees of freedom.

    A group is a base with its changes, (S, B, M, K): settings, budgets, members, seeds.
    """
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
    """The rate at each budget, whether it is at an end of those tried, and the mean losses of all that were tried.

    Each rate has its mean loss on RATE_SEED, and on the other seeds if it was a candidate.
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
