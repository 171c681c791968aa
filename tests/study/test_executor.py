"""Workers that are told to end, alone or with their driver: they save, say so, and none is left over."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from embudget.errors import StoreError
from embudget.pairs import Pairs
from embudget.study import Store
from embudget.training.checkpoints import newest_checkpoint

LONG = 1e12
"""FLOP that take minutes with the tiny model."""


def start(folder: Path, model: Path, pairs: Pairs, budget: float = LONG) -> subprocess.Popen[str]:
    study = {
        "members": [str(model)], "methods": ["full"], "budgets": [budget], "seeds": [0, 1],
        "pairs": str(pairs.folder), "batch_size": 8, "max_length": 32, "eval_pairs": 16, "eval_candidates": 16,
        "max_epochs": 100_000,
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return subprocess.Popen(
        [sys.executable, "-m", "embudget", "sweep", "study.yaml", "--store", "s.db", "--workers", "2"],
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True,
    )  # fmt: skip


def pids_of_workers(sweep: subprocess.Popen[str]) -> set[int]:
    """The processes that the sweep has started for training."""
    children = psutil.Process(sweep.pid).children()
    return {child.pid for child in children if "spawn_main" in " ".join(child.cmdline())}


def workers_of(sweep: subprocess.Popen[str], folder: Path) -> list[psutil.Process]:
    """The two worker processes, once both have trained for a while, as their leases say."""
    until = time.monotonic() + 300
    while time.monotonic() < until and sweep.poll() is None:
        if steps_are_seen(folder / "s.db") == 2:
            workers = [psutil.Process(pid) for pid in pids_of_workers(sweep)]
            assert len(workers) == 2
            return workers
        time.sleep(0.2)
    sweep.terminate()
    raise AssertionError(f"the sweep has no workers: {sweep.communicate(timeout=60)[1]}")


def steps_are_seen(place: Path) -> int:
    """How many runs have done more than one step."""
    with suppress(StoreError), Store(place, create=False) as store, store.leases() as leases:  # it may not be there yet
        return sum(seen.pace is not None for seen in leases.of_others().values())
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_workers_save_and_end_with_their_driver(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, number: signal.Signals
) -> None:
    sweep = start(tmp_path, tiny_neox, tiny_pairs)
    workers = workers_of(sweep, tmp_path)
    started = time.monotonic()
    if number == signal.SIGKILL:
        sweep.kill()
    else:
        os.killpg(sweep.pid, number)
    said = sweep.communicate(timeout=30)[1]
    psutil.wait_procs(workers, timeout=20)
    assert time.monotonic() - started < 20
    assert not any(worker.is_running() for worker in workers)
    assert "Traceback" not in said, said
    kept = list((tmp_path / "s.db.checkpoints").iterdir())
    assert len(kept) == 2 and all(newest_checkpoint(folder) is not None for folder in kept)
    if number != signal.SIGKILL:
        assert sweep.returncode == 128 + number
        assert said.splitlines()[-1].startswith("embudget: interrupted; ")
        assert said.count("a checkpoint was written at") == 2


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_saves_and_is_replaced(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    sweep = start(tmp_path, tiny_neox, tiny_pairs)
    try:
        worker, other = workers_of(sweep, tmp_path)
        told = time.time()
        worker.terminate()
        worker.wait(15)
        kept = list((tmp_path / "s.db.checkpoints").glob("*/step-*"))
        assert max(path.stat().st_mtime for path in kept) > told, "it has saved before it ended"
        assert all(newest_checkpoint(path.parent) is not None for path in kept)
        before, until = {worker.pid, other.pid}, time.monotonic() + 60
        while sweep.poll() is None and time.monotonic() < until and not pids_of_workers(sweep) - before:
            time.sleep(0.1)
        assert sweep.poll() is None, "it goes on"
        assert pids_of_workers(sweep) - before, "another takes its place"
    finally:
        sweep.terminate()
        said = sweep.communicate(timeout=30)[1]
    assert "its process ended with signal 15" in said
    assert not Store(tmp_path / "s.db").records()
