"""How long do `records`, `fit` and `report` take on a store of many runs, and how much memory? Each a whole command.

    python -m benchmarks.many_records --runs 100000 --out results/orchestration/commands.json

The runs are those of a world (`studies/pythia_world.yaml`) at more budgets, methods and learning rates, and as many
seeds as make up the number. Beside what a world gives, a record has what a real one has: a provenance, a loss curve of
30 points, and with --groups its loss by that many held-out groups. Half a percent failed.

Seconds are of the wall's clock, the start of Python included; those of the CPU depend less on what else the machine
does. Memory is the command's largest resident set, as the kernel counts it.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert

from benchmarks.host import measured_by
from embudget.design import World
from embudget.design.simulate import done, sized
from embudget.records import GroupScore, Provenance, RunConfig, RunRecord
from embudget.study import Store
from embudget.study.tables import RUNS

WORLD = Path(__file__).parents[1] / "studies" / "pythia_world.yaml"
BUDGETS = tuple(float(budget) for budget in np.geomspace(1.5e15, 1.5e18, 7))
RATES = (0.25, 0.5, 1.0, 2.0, 4.0)
FAILED = 0.005
AT_ONCE = 1000


_ORIGIN = Provenance(
    versions={"python": "3.11.7", "embudget": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
    model_revision="simulated", device="simulated", threads=1, started="2026-11-30T00:00:00+00:00",
)  # fmt: skip
_SHARES = np.linspace(0.03, 1.0, 30).round(4).tolist()


def records(count: int, groups: int = 0, seed: int = 0) -> Iterator[RunRecord]:
    """The first ``count`` runs of the grid, seeds outermost, so that fewer runs have fewer seeds and all cells."""
    world = World.from_yaml(WORLD)
    rng = np.random.default_rng(seed)
    for config in islice(configs(world), count):
        record = done(world, sized(config, world.tokens_per_pair), float(rng.standard_normal()))
        if rng.random() < FAILED:
            yield RunRecord(config=config, status="failed", error="simulated failure", attempts=3)
            continue
        assert record.loss is not None
        apart = rng.normal(0, 0.3 * record.loss, groups)
        apart = np.abs(record.loss + apart - (apart.mean() if groups else 0))
        by_group = {f"source/group-{place}": GroupScore(8, float(one), 0.5) for place, one in enumerate(apart)}
        yield like_a_real_one(record).model_copy(update={"groups": by_group})


def like_a_real_one(record: RunRecord) -> RunRecord:
    """A simulated record with what a real one has besides, so that it is as large."""
    assert record.loss is not None
    curve = tuple((share, float(record.loss * (2 - share))) for share in _SHARES)
    seconds = float(record.config.train_flops / 1e14)
    return record.model_copy(update={"provenance": _ORIGIN, "seconds": seconds, "loss_curve": curve})


def configs(world: World) -> Iterator[RunConfig]:
    """The runs of the grid without an end, each of its own: none shares a trunk."""
    shapes = world.shapes()
    for seed in range(10**6):
        for shape, method, budget, rate in product(shapes, world.truth, BUDGETS, RATES):
            yield RunConfig(
                model=shape.name, method=method, train_flops=budget, pairs="simulated", batch_size=1024,
                learning_rate=1e-4 * rate, seed=seed,
            )  # fmt: skip


def fill(store: Store, every: Iterator[RunRecord]) -> int:
    """Write records in bulk, which `Store.add` does one by one; returns how many."""
    written = 0
    while rows := list(islice(every, AT_ONCE)):
        values = [
            {
                "id": one.id, "config": one.config.model_dump_json(), "status": one.status,
                "record": one.model_dump_json(exclude_none=True), "written": 1e9 + written + place,
            }
            for place, one in enumerate(rows)
        ]  # fmt: skip
        store._database.write(partial(_insert, values))
        written += len(rows)
    return written


def _insert(rows: list[dict[str, Any]], connection: Connection) -> None:
    connection.execute(insert(RUNS), rows)


def command(*arguments: str | Path) -> dict[str, float]:
    """Run one command of the command line: its seconds, its largest resident set in GB, and what it printed in MB."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([sys.executable, "-m", "embudget", *map(str, arguments)], stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        printed = out.tell()
    if process.returncode:
        raise SystemExit(f"embudget {' '.join(map(str, arguments))} ended with {process.returncode}")
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_gb": round(usage.ru_maxrss * 1024 / 1e9, 3),
        "printed_mb": round(printed / 1e6, 2),
    }


def measure(count: int, groups: int, folder: Path) -> dict[str, Any]:
    """Fill a store and time each command on it."""
    file = folder / f"many-{count}-{groups}.db"
    if not file.exists():
        with Store(file) as store:
            fill(store, records(count, groups))
    laws, page, table = folder / "laws.json", folder / "page.html", folder / "records.csv"
    for old in (laws, page, table):
        with contextlib.suppress(FileNotFoundError):
            old.unlink()
    found: dict[str, Any] = {"runs": count, "groups": groups, "store_mb": round(file.stat().st_size / 1e6, 1)}
    found["records"] = command("records", file)
    found["records --csv"] = command("records", file, "--csv", table)
    found["fit"] = command("fit", file, "--out", laws)
    found["report"] = command("report", file, "--laws", laws, "--out", page)
    found["page_mb"] = round(page.stat().st_size / 1e6, 2)
    return found


def main() -> None:
    """Measure each number of runs and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--groups", type=int, default=0, help="held-out groups of each record")
    parser.add_argument("--folder", type=Path, default=None, help="keep the stores here, for another time")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        measured = []
        for count in args.runs:
            measured.append(measure(count, args.groups, folder))
            sys.stdout.write(json.dumps(measured[-1]) + "\n")
            sys.stdout.flush()
    if args.out is not None:
        said = measured_by("benchmarks.many_records") | {"measured": measured}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(said, indent=2) + "\n")


if __name__ == "__main__":
    main()
