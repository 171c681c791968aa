"""What each change of a default does to the loss, from the records of `studies/ablations.yaml`.

    .venv/bin/python benchmarks/ablations.py results/ablations

Runs that differ from a base in one thing are compared with it. That of `freeze:1`, which trains all blocks but not the
input embedding, is `full`; that of all others is `lora:32` as the study's first grid is. Each is taken at one rate, the
one with the lowest mean loss over members and budgets on the seed RATE_SEED, and compared on the other seeds, so that
choosing the rate favours nobody.

The difference of a change is the mean over its cells (member and budget) and seeds, each run against the base's of the
same cell and seed. The two budgets of a member and a seed branch off one trunk and count as one observation, their mean
d. Its variance is pooled over all changes and members, since three seeds give none of their own:

    s^2 = sum (d - mean of d over the seeds)^2 / freedom,    standard error = s / sqrt(observations)

and a difference is outside the noise where it exceeds the standard error times the two-sided quantile of Student's t
for 5 % divided by the number of changes (Bonferroni). While there is no seed but RATE_SEED, prints the best rates.
Writes ablations.json and spent.json.
"""

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from results_files import loss_or_chance, read_records, save
from scipy.stats import t as student
from spent import spent

from embudget.records import RunConfig, RunRecord

RATE_SEED = 0
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
            print(*setting, "best rate", best_rate(tried), "of", *sorted(tried))  # noqa: T201
        return
    found = compared(losses)
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


def compared(losses: dict[Setting, Losses]) -> dict[str, Any]:
    """The bases, and each change against its own, with what is outside the noise."""
    rates = {setting: best_rate(tried) for setting, tried in losses.items()}
    taken = {setting: tried[rates[setting]] for setting, tried in losses.items()}
    changes = {
        setting: differences(taken[base_of(setting)], runs)
        for setting, runs in sorted(taken.items()) if setting not in (BASE, FULL)
    }  # fmt: skip
    changes = {setting: runs for setting, runs in changes.items() if runs}
    deviation, freedom = pooled(list(changes.values()))
    quantile = float(student.ppf(1 - LEVEL / (2 * len(changes)), freedom))
    rows = []
    for setting, runs in changes.items():
        observed = [one for seeds in observations(runs).values() for one in seeds]
        error, mean = deviation / len(observed) ** 0.5, statistics.mean(observed)
        rows.append(described(setting, losses[setting], rates[setting]) | {
            "base": base_of(setting).method,
            "cells": per_cell(runs),
            "difference": round(mean, 4), "standard_error": round(error, 4),
            "outside_the_noise": bool(abs(mean) > quantile * error),
        })  # fmt: skip
    bases = [
        described(base, losses[base], rates[base])
        | {"cells": per_cell({key: loss for key, loss in taken[base].items() if key[1] != RATE_SEED})}
        for base in (BASE, FULL) if base in taken
    ]  # fmt: skip
    return {"bases": bases, "changes": rows, "freedom": freedom, "quantile": round(quantile, 3)}


def base_of(setting: Setting) -> Setting:
    """What a setting is compared with."""
    return FULL if setting.method == "freeze:1" else BASE


def best_rate(tried: Losses) -> float:
    """The rate with the lowest mean loss on the seed for it, of those that have most of its runs."""
    found = {
        rate: [loss for (_, seed), loss in runs.items() if seed == RATE_SEED] for rate, runs in tried.items()
    }  # fmt: skip
    most = max(len(runs) for runs in found.values())
    return min((rate for rate in found if len(found[rate]) == most), key=lambda rate: statistics.mean(found[rate]))


def differences(base: Runs, runs: Runs) -> Runs:
    """Of the runs to the base's of the same cell and seed, the seed that chose the rate left out."""
    return {key: loss - base[key] for key, loss in runs.items() if key in base and key[1] != RATE_SEED}


def observations(runs: Runs) -> dict[str, list[float]]:
    """Member -> one value a seed, the mean over its budgets."""
    by_trunk = defaultdict(list)
    for ((model, _), seed), value in runs.items():
        by_trunk[model, seed].append(value)
    found = defaultdict(list)
    for (model, _), values in by_trunk.items():
        found[model].append(statistics.mean(values))
    return found


def pooled(changes: list[Runs]) -> tuple[float, int]:
    """Standard deviation of one observation between seeds, and its degrees of freedom."""
    groups = [seeds for runs in changes for seeds in observations(runs).values()]
    freedom = sum(len(seeds) - 1 for seeds in groups)
    squares = sum((one - statistics.mean(seeds)) ** 2 for seeds in groups for one in seeds)
    return (squares / freedom) ** 0.5, freedom


def described(setting: Setting, tried: Losses, rate: float) -> dict[str, Any]:
    """A setting with its rate, and whether that is the lowest or the highest of those tried."""
    return {
        "change": setting.against(base_of(setting)) or setting.method,
        "rate": rate,
        "rates": sorted(tried),
        "rate_at_an_end": rate in (min(tried), max(tried)),
    }


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
