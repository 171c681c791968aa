"""All engines on one study: begun on one machine, moved to PostgreSQL, finished by workers of Slurm and Ray at once."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote_plus

import pytest
import yaml

from embudget.records import RunConfig
from embudget.study import Store, Study, sweep
from embudget.study.leases import Hold
from tests.cluster.conftest import PASSWORD, Server
from tests.cluster.long_runs import measured, until
from tests.cluster.ray_service import RayService, ray_cluster  # noqa: F401 - a fixture
from tests.cluster.slurm_service import Slurm
from tests.command_line import Run
from tests.study.test_sweep import Log

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Ray leaves the logs of what it starts open
]

ENGINES = {
    "slurm": ("--slurm", "partition=gpu,gpus=1,cpus=1,time=10m"),
    "ray": ("--ray", "auto", "--ray-options", "num_gpus=1,num_cpus=1"),
}


class Leaving(Log):
    """Interrupts the sweep in the middle of its second run."""

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        if self.ended and share > 0.5:
            raise KeyboardInterrupt


def test_a_study_that_was_begun_here_is_finished_by_slurm_and_ray_at_once(
    server: Server,
    cluster: Slurm,
    ray_cluster: RayService,  # noqa: F811 - the fixture
    study: Study,
    run: Run,
    tmp_path: Path,
) -> None:
    study = study.model_copy(update={"seeds": (0, 1, 2, 3, 4, 5), "budgets": (1.2e11,)})  # one engine starts later
    whole = sweep(study, tmp_path / "whole.db", workers=2)
    here, kept = tmp_path / "here.db", tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt):
        sweep(study, here, listener=Leaving(), checkpoints=kept, checkpoint_seconds=0.5)
    (begun,) = kept.iterdir()
    assert list(begun.glob("step-*")), "what was begun lies where other workers see it"
    server.create("together")
    place = f"postgresql://me:{quote_plus(PASSWORD)}@127.0.0.1:{server.port}/together"
    moved = run("store", "copy", here, place)
    assert moved.code == 0 and "1 record and 5 queued runs" in moved.out, moved.err
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_defaults=True)))
    drivers = {name: driver(tmp_path, place, options) for name, options in ENGINES.items()}
    with Store(place) as store:
        until(lambda: engines(store) == set(ENGINES) or all(one.poll() is not None for one in drivers.values()))
        assert engines(store) == set(ENGINES), "a worker of each has a run at the same time"
        said = {name: one.communicate(timeout=300) for name, one in drivers.items()}
        assert {name: one.returncode for name, one in drivers.items()} == {"slurm": 0, "ray": 0}, said
        records = store.records()
    assert all("6 runs done, 0 failed" in out for out, _ in said.values())
    assert measured(records) == measured(whole)
    assert {record.attempts for record in records} == {1}, "nothing was trained twice or lost"
    assert not kept.exists() or not list(kept.iterdir())


def driver(folder: Path, place: str, options: tuple[str, ...]) -> "subprocess.Popen[str]":
    """Start `embudget sweep` on one worker of an engine."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "embudget", "sweep", str(folder / "study.yaml"), "--store", place, "--checkpoints",
            str(folder / "kept"), "--checkpoint-minutes", "0.02", *options,
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def engines(store: Store) -> set[str]:
    """The engines whose workers hold a run now."""
    leases = store.leases().of_others().values()
    return {seen.worker.partition(" ")[0] for seen in leases if seen.hold in (Hold.HELD, Hold.UNSURE)}
