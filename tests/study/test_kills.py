"""Sweeps that are killed 50 times: drivers, workers, both, while a checkpoint is written, and with two sweeps at once.

After the kills a last sweep is left in peace. Its records must be those of a sweep that never was disturbed. The kills
fall at random, by a fixed seed; only a worker is left alone until it has made progress since the last kill, because a
run that loses three in a row without any has failed.
"""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from embudget.pairs import Pairs, load_pairs
from embudget.records import RunRecord
from embudget.study import Store, Study
from embudget.study.executors import process as workers_here
from embudget.study.executors.process import _work
from embudget.study.trunks import tasks
from embudget.training.state import trunk_name

KILLS = {"driver": 15, "checkpoint": 10, "worker": 8, "both": 7, "two sweeps": 10}
"""50 in all, by what is killed."""

BUDGETS = (4e9, 8e9)


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    """Starts processes that have loaded torch already, which takes 5 s."""
    chosen = multiprocessing.get_context("forkserver")
    chosen.set_forkserver_preload(["torch", "embudget.training.trunk", "tests.study.test_kills"])
    return chosen


@pytest.fixture(scope="module")
def study(tiny_pairs: Pairs) -> Study:
    values = {
        "members": ["micro-200k"],
        "methods": ["full", "lora:4"],
        "budgets": BUDGETS,
        "pairs": str(tiny_pairs.folder),
        "batch_size": 8,
        "max_length": 32,
        "min_steps": 2,
        "schedule": "wsd",
        "eval_pairs": 16,
        "eval_candidates": 16,
    }
    return Study.read(values, "study.yaml")


def drive(study: Study, store: Path, workers: int, address: str | None) -> None:
    """A driver: `embudget sweep`, but that its workers come from the tests' process that starts them fast."""
    from embudget.study import sweep

    server: Any = forkserver._forkserver
    server._forkserver_address = address
    server.ensure_running = lambda: None
    chosen = multiprocessing.get_context("forkserver")
    multiprocessing.get_context = lambda method=None: chosen  # type: ignore[assignment]
    workers_here._work = work
    sweep(study, store, workers, checkpoint_seconds=0)


def work(connection: Connection, slot: int, count: int) -> None:
    """A worker whose parent is the tests' process that starts it: it ends by its driver's broken pipe alone."""
    workers_here.end_with = lambda parent: None  # type: ignore[attr-defined]
    _work(connection, slot, count)


class Sweeps:
    """Starts drivers on one store and kills them."""

    def __init__(self, context: ForkServerContext, study: Study, store: Path, workers: int) -> None:
        self.context, self.study, self.store, self.workers = context, study, store, workers
        self.checkpoints = Path(f"{store}.checkpoints")
        self.kills = 0

    def start(self) -> ForkServerProcess:
        forkserver.ensure_running()
        address = forkserver._forkserver._forkserver_address  # type: ignore[attr-defined]
        started = self.context.Process(target=drive, args=(self.study, self.store, self.workers, address))
        started.start()
        return started

    def kill(self, process: ForkServerProcess) -> None:
        """Kill a driver; one that had nothing left to do does not count."""
        process.kill()
        process.join()
        self.kills += process.exitcode == -signal.SIGKILL

    def trunks(self) -> dict[str, object]:
        """How far each trunk is, by its name; those that have ended are not there."""
        with Store(self.store) as store:
            recorded = store.ids()
        found: dict[str, object] = {}
        for task in tasks(self.study.configs(load_pairs(self.study.pairs).hash)):
            left = [config.id for config in task if config.id not in recorded]
            name = trunk_name(task[0])
            if left:
                found[name] = (sorted(path.name for path in (self.checkpoints / name).glob("step-*")), left)
        return found

    def last(self) -> list[RunRecord]:
        """Sweep without a kill."""
        process = self.start()
        process.join(timeout=120)
        assert process.exitcode == 0
        with Store(self.store) as store:
            return store.records()


def until(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait until something holds; whether it does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.002)
    return False


def measured(records: list[RunRecord]) -> dict[str, tuple[object, ...]]:
    """All that must be the same, by the run."""
    return {
        record.id: (record.status, record.loss, record.tokens, record.steps, record.loss_curve, record.train_flops)
        for record in records
    }


@pytest.fixture(scope="module")
def undisturbed(
    context: ForkServerContext, study: Study, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, dict[str, tuple[object, ...]]]:
    """What must come out, by the number of workers: on some processors, sums depend on the threads of each."""
    found = {}
    for workers in (1, 2):
        records = Sweeps(context, study, tmp_path_factory.mktemp("undisturbed") / "s.db", workers).last()
        assert [record.status for record in records] == ["done"] * 4
        found[workers] = measured(records)
    return found


def children() -> set[int]:
    """All drivers and workers: they are children of the process that starts them fast."""
    return {child.pid for child in psutil.Process(forkserver._forkserver._forkserver_pid).children()}  # type: ignore[attr-defined]


def kill_drivers(sweeps: Sweeps, rng: random.Random, kills: int, moment: Callable[[], None]) -> None:
    process = sweeps.start()
    while sweeps.kills < kills:
        moment()
        sweeps.kill(process)
        if process.exitcode == 0:  # all was done: begin anew
            begin_anew(sweeps)
        process = sweeps.start()
    sweeps.kill(process)


def begin_anew(sweeps: Sweeps) -> None:
    sweeps.store.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("what", KILLS)
def test_kills_change_no_record(
    what: str,
    context: ForkServerContext,
    study: Study,
    tmp_path: Path,
    undisturbed: dict[int, dict[str, tuple[object, ...]]],
) -> None:
    rng = random.Random(what)
    workers = 2 if what in ("worker", "both") else 1
    sweeps = Sweeps(context, study, tmp_path / "s.db", workers)
    SCENARIOS[what](sweeps, rng, KILLS[what])
    assert sweeps.kills >= KILLS[what]
    records = sweeps.last()
    assert measured(records) == undisturbed[workers]
    assert not sweeps.checkpoints.exists()


def _drivers(sweeps: Sweeps, rng: random.Random, kills: int) -> None:
    kill_drivers(sweeps, rng, kills, lambda: time.sleep(rng.uniform(0.1, 2.0)))


def _checkpoints(sweeps: Sweeps, rng: random.Random, kills: int) -> None:
    def writing() -> None:
        time.sleep(rng.uniform(0.0, 0.5))
        until(lambda: any(sweeps.checkpoints.glob("*/part")), 5.0)

    kill_drivers(sweeps, rng, kills, writing)


def _two(sweeps: Sweeps, rng: random.Random, kills: int) -> None:
    both = [sweeps.start(), sweeps.start()]
    while sweeps.kills < kills:
        time.sleep(rng.uniform(0.1, 1.5))
        chosen = rng.randrange(2)
        sweeps.kill(both[chosen])
        if both[chosen].exitcode == 0 and not both[1 - chosen].is_alive():
            both[1 - chosen].join()
            begin_anew(sweeps)
            both[1 - chosen] = sweeps.start()
        both[chosen] = sweeps.start()
    for process in both:
        process.join(timeout=120)
        assert process.exitcode == 0


def _workers(sweeps: Sweeps, rng: random.Random, kills: int, driver_too: bool = False) -> None:
    process, seen = None, dict[str, object]()

    def got_on(driver: ForkServerProcess, seen: dict[str, object]) -> bool:
        return not driver.is_alive() or all(state != seen.get(name) for name, state in sweeps.trunks().items())

    while sweeps.kills < kills:
        if process is None or not process.is_alive():
            if process is not None and process.exitcode == 0:
                begin_anew(sweeps)
            before = children()
            process = sweeps.start()
        until(partial(got_on, process, seen or dict.fromkeys(sweeps.trunks(), ())))
        time.sleep(rng.uniform(0.0, 0.3))
        found = sorted(children() - before - {process.pid or 0})
        if process.is_alive() and found:
            seen = sweeps.trunks()
            try:
                os.kill(rng.choice(found), signal.SIGKILL)
            except ProcessLookupError:  # it has ended by itself since it was found
                continue
            if driver_too:
                process.kill()
                process.join()
            sweeps.kills += 1
    if process is not None:
        process.join(timeout=120)


def _both(sweeps: Sweeps, rng: random.Random, kills: int) -> None:
    _workers(sweeps, rng, kills, driver_too=True)


SCENARIOS: dict[str, Callable[[Sweeps, random.Random, int], None]] = {
    "driver": _drivers,
    "checkpoint": _checkpoints,
    "worker": _workers,
    "both": _both,
    "two sweeps": _two,
}
