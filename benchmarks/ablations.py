"""What each change of a default does to the loss, from the records of `studies/ablations.yaml`.

    .venv/bin/python benchmarks/ablations.py results/ablations

Runs that differ from a base in one thing are compared with it on the same member, budget and seed, each at the rate
whose mean over the seeds is lowest. `{folder}/ablations.json` has, per change, member and budget, the base's mean loss,
the difference, and the standard error that the differences between equal seeds give it. The base of `freeze:1`, which
trains all blocks but not the input embedding, is `full`; that of all others is `lora:32` as the study's first grid is.
"""

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from results_files import loss_or_chance, read_records, save

from embudget.records import RunConfig, RunRecord


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
Losses = dict[float, dict[int, float]]
"""Rate -> seed -> loss."""


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    cells = cells_of(read_records(folder))
    rows = []
    for (setting, model, budget), tried in sorted(cells.items()):
        base = BASE._replace(method="full") if setting.method == "freeze:1" else BASE
        if setting in (BASE, BASE._replace(method="full")) or (base, model, budget) not in cells:
            continue
        compared = compare(cells[base, model, budget], tried)
        rows.append({"change": setting.against(base), "model": model, "train_flops": budget} | compared)
    save(folder / "ablations.json", rows)
    print("\n".join(json.dumps(row) for row in rows))  # noqa: T201


def cells_of(records: list[RunRecord]) -> dict[tuple[Setting, str, float], Losses]:
    """The losses by setting, member and budget; a run that diverged counts as chance."""
    cells: dict[tuple[Setting, str, float], Losses] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        config, loss = record.config, loss_or_chance(record)
        if loss is not None:
            cells[Setting.of(config), config.model, config.train_flops][config.learning_rate][config.seed] = loss
    return cells


def compare(base: Losses, changed: Losses) -> dict[str, Any]:
    """Both at their best rates, seed by seed."""
    rate = best_rate(changed)
    ours, theirs = base[best_rate(base)], changed[rate]
    differences = [theirs[seed] - ours[seed] for seed in sorted(set(ours) & set(theirs))]
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else None
    return {
        "rate": rate,
        "base": round(statistics.mean(ours.values()), 4),
        "difference": round(statistics.mean(differences), 4),
        "standard_error": None if error is None else round(error, 4),
        "seeds": len(differences),
    }


def best_rate(tried: Losses) -> float:
    """The rate with the lowest mean loss."""
    return min(tried, key=lambda rate: statistics.mean(tried[rate].values()))


if __name__ == "__main__":
    main()
