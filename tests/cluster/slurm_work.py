"""A worker of Slurm with one run, to be disturbed by tests, and what Slurm and the store say of it."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from embudget.pairs import load_pairs
from embudget.records import RunRecord
from embudget.study import Store, Study, plan
from embudget.study.driver import place_of
from embudget.study.executors.slurm import SlurmCrew
from embudget.study.executors.slurm_options import SlurmOptions
from embudget.training.resources import Resources
from tests.cluster.long_runs import until
from tests.cluster.slurm_service import GRACE_SECONDS, Slurm

ASKED = "partition=gpu,gpus=1,cpus=1,time=10m"


@pytest.fixture
def cluster(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """The cluster as this process's own, and empty again at the end."""
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    yield slurm
    slurm("scancel", "--me")
    until(lambda: not slurm("squeue", "--noheader"), GRACE_SECONDS + 10)


def queue(store: Store, study: Study, kept: Path, runs: int = 2) -> None:
    """Queue the study's first runs as a sweep does, with a checkpoint after each half second."""
    pairs = load_pairs(study.pairs)
    configs = [run.config for run in plan(study, pairs).runs][:runs]
    resources = Resources(checkpoints=kept, checkpoint_seconds=0.5)
    store.queue().add(configs, place_of(study, pairs, resources))


class Work:
    """A store on this disk with queued runs, and a crew for it."""

    def __init__(self, folder: Path, study: Study, cluster: Slurm, runs: int) -> None:
        self.folder, self.cluster = folder, cluster
        self.store = Store(folder / "s.db")
        queue(self.store, study, folder / "kept", runs)
        self.crew = SlurmCrew(self.store, SlurmOptions.read(ASKED), folder / "slurm")

    def lease(self) -> dict[str, Any]:
        """The lease of the first run, empty where there is none."""
        with contextlib.closing(sqlite3.connect(self.folder / "s.db")) as connection:
            connection.row_factory = sqlite3.Row
            row = connection.execute("select * from leases").fetchone()
        return {} if row is None else dict(row)

    @property
    def is_held(self) -> bool:
        return bool(self.lease().get("token"))

    def step(self) -> int:
        """The step of the newest checkpoint, 0 without one."""
        return max((int(path.name.partition("-")[2]) for path in self.folder.glob("kept/*/step-*")), default=0)

    def wait_for_a_checkpoint(self) -> None:
        until(lambda: self.is_held and self.step() > 0)

    def worker(self) -> psutil.Process:
        """The process of the worker that holds the run."""
        return psutil.Process(json.loads(self.lease()["process"])["pid"])

    def job(self) -> dict[str, str]:
        """What Slurm says of the only job."""
        shown = self.cluster("squeue", "--states=all", "--noheader", f"--name={self.crew.name}", "--format=%i %T %N")
        name, state, *node = shown.split()
        restarts = self.cluster("squeue", "--states=all", "--noheader", f"--jobs={name}", "--Format=RestartCnt")
        return {"name": name, "state": state, "node": "".join(node), "restarts": restarts.strip()}

    def pause(self) -> None:
        """Stop the process that trains, until Slurm sends it a signal, and with it another to go on."""
        for process in self.worker().children(recursive=True):
            process.suspend()

    def finish(self) -> list[RunRecord]:
        until(lambda: not self.store.queue().count())
        return self.store.records()


@pytest.fixture
def work(tmp_path: Path, study: Study, cluster: Slurm) -> Iterator[Work]:
    """One run in the queue, and no worker yet."""
    made = Work(tmp_path, study, cluster, runs=1)
    yield made
    made.store.close()
