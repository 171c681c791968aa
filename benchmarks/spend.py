"""How good is the model that a budget ends with, its search included? Policies, paired in the same worlds.

    python -m benchmarks.spend --worlds 120 --out results/simulation/spend.json
    python -m benchmarks.spend --worlds 30 --times 300 --policies spend --shares 0.03 0.06 0.12 0.25 0.5 --out FILE
    python -m benchmarks.spend --replays 4 --out results/simulation/spend_replays.json

The regret of a policy is that of its final model, and by cause, as `spend_outcomes.py` defines them; the worlds are
those of `spend_worlds.py`, replays of real studies those of `spend_replays.py`, the policies those of `spend_policies`.
Worlds come in such an order that any 30 in a row have one of each kind; the published ones have seeds from 1000 on,
those below were for tuning (``--tuning``).

Rows are appended as they come, world by world, each policy's to a file of its own in ROWS, by default a folder beside
the output. A command that was stopped goes on where it was; more worlds, budgets or policies add to what is there. A
policy that has changed runs anew once its file is deleted. The table has the worlds in which every policy asked for has
its row, so that all are compared in the same ones.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.spend_outcomes import row_of, spend
from benchmarks.spend_policies import POLICIES, make_policy
from benchmarks.spend_replays import STUDIES, make_replay, replays
from benchmarks.spend_tables import Row, summary_of, tables
from benchmarks.spend_worlds import BUDGETS, KINDS, make_world
from embudget.files import save_text

SEEDS = 4
FIRST = 1000
"""Seed of the first published world of each kind."""
STRIDE = 7
"""Step through the kinds, so that few worlds in a row have forms, flaws, lineages and narrow suites alike."""


class Task(NamedTuple):
    """A world at a budget; the budget of a replay is a number of `replays` of its study."""

    kind: str
    seed: int
    times: float

    def key(self, policy: str) -> tuple[str, int, float, str]:
        """What its row is found by."""
        return (self.kind, self.seed, self.times, policy)


def main() -> None:
    """Run what is missing, print the tables, write the numbers."""
    options = parse()
    policies = [*options.policies, *(f"spend-{share:g}" for share in options.shares)]
    tasks, rows = tasks_of(options), [row for name in policies for row in read(options.rows / f"{name}.jsonl")]
    known = {(row["kind"], row["seed"], row["times"], row["policy"]) for row in rows}
    missing = [(task, [name for name in policies if task.key(name) not in known]) for task in tasks]
    missing = [(task, names) for task, names in missing if names]
    options.rows.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    for done, new in enumerate(outcomes(missing, options.jobs), start=1):
        for row in new:
            with (options.rows / f"{row['policy']}.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        rows += new
        sys.stderr.write(f"{done} of {len(missing)} worlds, {time.perf_counter() - started:.0f} s\n")
    asked = {task.key(name) for task in tasks for name in policies}
    rows = [row for row in rows if (row["kind"], row["seed"], row["times"], row["policy"]) in asked]
    summary = summary_of(rows, policies)
    sys.stdout.write(tables(summary))
    about = {"command": " ".join(["-m benchmarks.spend", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d")}
    save_text(options.out, json.dumps(about | summary, indent=1) + "\n")


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=0, help="how many, 30 for one of each kind")
    parser.add_argument("--replays", type=int, default=0, help="seeds of each replay of a recorded study")
    parser.add_argument("--tuning", action="store_true", help="worlds of seeds below those that are published")
    parser.add_argument("--times", type=float, nargs="+", default=[*BUDGETS], help="budgets, in cheapest useful runs")
    parser.add_argument("--policies", nargs="+", default=[*POLICIES], metavar="NAME", help=" ".join(POLICIES))
    parser.add_argument("--shares", type=float, nargs="*", default=[], help="shares that spend is made to search with")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the numbers")
    parser.add_argument("--rows", type=Path, help="folder of the policies' rows, by default OUT without .json")
    options = parser.parse_args()
    options.rows = options.rows or options.out.with_suffix("")
    return options


def tasks_of(options: argparse.Namespace) -> list[Task]:
    """The worlds that are asked for, all budgets of one after the other."""
    first = 0 if options.tuning else FIRST
    worlds = [world_of(place, first) for place in range(options.worlds)]
    tasks = [Task(kind, seed, times) for kind, seed in worlds for times in options.times]
    if options.replays:
        numbers = [(study, number) for study in STUDIES for number in range(len(replays(study)))]
        seeds = range(first, first + options.replays)
        tasks += [Task(f"replay:{study}", seed, number) for seed in seeds for study, number in numbers]
    return tasks


def world_of(place: int, first: int = FIRST) -> tuple[str, int]:
    """Kind and seed of a world by its place in the order.

    120 in a row have four seeds of each kind; 30 have one of each kind, half of them of either suite, since even seeds
    have one and odd seeds the other.
    """
    block, within = divmod(place, len(KINDS))
    return KINDS[STRIDE * within % len(KINDS)], first + SEEDS * (block // SEEDS) + (block + place) % SEEDS


def read(path: Path) -> list[Row]:
    """The rows there are."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def outcomes(missing: Sequence[tuple[Task, list[str]]], jobs: int) -> Iterator[list[Row]]:
    """The rows of every world, in order."""
    if jobs == 1:
        yield from map(rows_of, missing)
    else:
        with ProcessPoolExecutor(jobs) as pool:
            yield from pool.map(rows_of, missing)


def rows_of(missing: tuple[Task, list[str]]) -> list[Row]:
    """One world: what comes of its budget by each policy."""
    (kind, seed, times), names = missing
    study = kind.removeprefix("replay:")
    world = make_replay(study, int(times), seed) if study != kind else make_world(kind, seed, times)
    about: dict[str, Any] = {"kind": kind, "seed": seed, "times": times}
    return [about | {"policy": name} | row_of(spend(world, make_policy(name, world, world.times))) for name in names]


if __name__ == "__main__":
    main()
