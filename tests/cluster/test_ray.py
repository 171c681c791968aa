"""Ray as an engine, with a real cluster: the records of a local sweep, whatever happens to nodes and drivers."""

import contextlib
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import psutil
import pytest
import yaml

from embudget.pairs import Pairs, load_pairs
from embudget.records import RunRecord
from embudget.study import Store, Study, sweep
from embudget.study.driver import place_of
from embudget.study.executors.ray import RayCrew
from embudget.study.executors.ray_cluster import leave
from embudget.study.executors.ray_options import RayOptions
from embudget.training.resources import Resources
from tests.cluster.conftest import PASSWORD, Server
from tests.cluster.long_runs import measured, until
from tests.cluster.ray_service import RayService, ray_cluster  # noqa: F401 - a fixture
from tests.command_line import Run
from tests.conftest import save_tiny
from tests.docs.pages import run_page
from tests.docs.test_pages import faq_pairs, with_pairs  # noqa: F401 - a fixture
from tests.study.studies import tiny_study

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Ray leaves the logs of what it starts open
]

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "ray.md"
ASKED = "num_gpus=1,num_cpus=1"


@pytest.fixture
def cluster(ray_cluster: RayService) -> Iterator[RayService]:  # noqa: F811 - the fixture
    """The cluster with its two nodes, and empty again at the end."""
    yield ray_cluster
    leave()
    ray_cluster.empty()


def started(
    cluster: RayService, folder: Path, study: Study, store: object, *options: object
) -> "subprocess.Popen[str]":
    """Start `embudget sweep --ray`, a driver of its own."""
    (folder / "study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_defaults=True)))
    return subprocess.Popen(
        [
            sys.executable, "-m", "embudget", "sweep", str(folder / "study.yaml"), "--store", str(store),
            "--checkpoints", str(folder / "kept"), "--workers", "2", "--ray-options", ASKED, *map(str, options),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


class Work:
    """A store on this disk with the first run of a study in its queue, and a crew for it."""

    def __init__(
        self, folder: Path, study: Study, cluster: RayService, asked: str, checkpoint_seconds: float = 0.5
    ) -> None:
        self.folder, self.cluster = folder, cluster
        self.store = Store(folder / "s.db")
        pairs = load_pairs(study.pairs)
        resources = Resources(checkpoints=folder / "kept", checkpoint_seconds=checkpoint_seconds)
        self.store.queue().add(study.configs(pairs.hash)[:1], place_of(study, pairs, resources))
        self.crew = RayCrew(self.store, cluster.address, RayOptions.read(asked))

    def wait_for_a_checkpoint(self) -> None:
        until(lambda: bool(lease(self.folder)) and self.step() > 0)

    def step(self) -> int:
        """The step of the newest checkpoint, 0 without one."""
        return max((int(path.name.partition("-")[2]) for path in self.folder.glob("kept/*/step-*")), default=0)

    def finish(self) -> list[RunRecord]:
        until(lambda: not self.store.queue().count())
        return self.store.records()


def lease(folder: Path) -> dict[str, Any]:
    """A lease that is held, empty where there is none, or no store yet."""
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(f"file:{folder}/s.db?mode=ro", uri=True)) as connection,
    ):
        connection.row_factory = sqlite3.Row
        row = connection.execute("select * from leases where token != '' order by id").fetchone()
        return {} if row is None else dict(row)
    return {}


def test_two_workers_give_the_records_of_a_local_sweep_and_no_password_is_written(
    server: Server, cluster: RayService, study: Study, whole: list[RunRecord], tmp_path: Path
) -> None:
    """The driver's own command line holds the password, which Ray would note for its dashboard."""
    server.create("ray")
    place = f"postgresql://me:{quote_plus(PASSWORD)}@127.0.0.1:{server.port}/ray"
    driver = started(cluster, tmp_path, study, place, "--ray", cluster.address)
    out, err = driver.communicate(timeout=400)
    assert driver.returncode == 0, err
    assert "2 runs done, 0 failed" in out
    assert "(raylet)" not in out + err and "ray." not in err, "Ray is kept quiet"
    with Store(place) as store:
        assert measured(store.records()) == measured(whole)
        assert {record.attempts for record in store.records()} == {1}
    files = [path for path in [*cluster.folder.rglob("*"), *tmp_path.rglob("*")] if path.is_file()]
    logs = [path for path in files if path.name.startswith("python-core-driver")]
    assert logs and any(path.name.startswith("worker-") for path in files)
    for path in files:
        assert b"s3cr" not in path.read_bytes(), path
    assert "s3cr" not in str(jobs(cluster)) and "s3cr" not in out + err


def jobs(cluster: RayService) -> object:
    """What the cluster remembers of its drivers."""
    import ray

    ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    found = ray._private.state.jobs()
    assert any(job["Entrypoint"] == "embudget" for job in found), found
    return found


def test_the_worker_of_a_node_that_is_removed_goes_on_where_another_joins(
    cluster: RayService, study: Study, whole: list[RunRecord], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.add(spot=1)
    work = Work(tmp_path, study, cluster, f"{ASKED},resources.spot=1")
    work.crew.hire(1)
    assert not caplog.records, "a node has what is asked for"
    work.wait_for_a_checkpoint()
    cluster.remove()
    until(lambda: not lease(tmp_path), 60)
    until(lambda: work.crew.waiting_or_working() == 0, 60)
    assert [gone.reason for gone in work.crew.gone()] == ["its node was removed"]
    reached = work.step()
    assert reached > 0 and work.store.records() == []
    work.crew.hire(1)
    time.sleep(2.0)
    assert work.crew.waiting_or_working() == 1 and not lease(tmp_path), "it waits for a node that has what it asks for"
    node = cluster.add(spot=1)
    until(lambda: bool(lease(tmp_path)))
    assert lease(tmp_path)["worker"].endswith(f" on {node}") and work.step() >= reached
    records = work.finish()
    assert measured(records).items() <= measured(whole).items()
    assert records[0].attempts == 1, "the worker let go of its run when its node went"
    until(lambda: work.crew.waiting_or_working() == 0, 60)
    assert [gone.reason for gone in work.crew.gone()] == [""]


def test_workers_outlive_their_driver_and_serve_two_others_at_once(
    cluster: RayService, study: Study, whole: list[RunRecord], tmp_path: Path
) -> None:
    first = started(cluster, tmp_path, study, tmp_path / "s.db", "--ray", cluster.address)
    until(lambda: trains(tmp_path) > 0)
    first.kill()
    first.communicate()
    others = [
        started(cluster, tmp_path, study, tmp_path / "s.db", "--ray", address)
        for address in (cluster.address, cluster.client_address)
    ]
    said = [other.communicate(timeout=400) for other in others]
    assert [other.returncode for other in others] == [0, 0], said
    assert all("2 runs done, 0 failed" in out for out, _ in said)
    with Store(tmp_path / "s.db") as store:
        assert measured(store.records()) == measured(whole)
        assert {record.attempts for record in store.records()} == {1}


def test_dismissed_workers_save_their_runs_and_let_go(
    cluster: RayService, study: Study, whole: list[RunRecord], tmp_path: Path
) -> None:
    work = Work(tmp_path, study, cluster, ASKED)
    work.crew.hire(1)
    work.wait_for_a_checkpoint()
    work.crew.hire(3)  # one has a node, two wait
    assert work.crew.waiting_or_working() == 4
    work.crew.dismiss()
    assert not lease(tmp_path) and work.step() > 0 and work.store.records() == []
    assert work.crew.waiting_or_working() == 0
    work.crew.hire(1)
    records = work.finish()
    assert measured(records).items() <= measured(whole).items() and records[0].attempts == 1


def test_a_run_that_takes_its_worker_down_each_time_is_given_up(
    cluster: RayService, study: Study, tmp_path: Path
) -> None:
    one = study.model_copy(update={"seeds": (0,)})
    driver = started(cluster, tmp_path, one, tmp_path / "s.db", "--ray", cluster.address, "--checkpoint-minutes", 1000)
    killed = {0}
    for _ in range(3):
        until(lambda: trains(tmp_path) not in killed)
        worker = psutil.Process(trains(tmp_path))
        killed.add(worker.pid)
        worker.suspend()  # or it would count the loss of its child, and go on
        for process in [*worker.children(recursive=True), worker]:
            process.send_signal(signal.SIGKILL)
        worker.wait(60)
    out, err = driver.communicate(timeout=400)
    assert driver.returncode == 1, out + err
    with Store(tmp_path / "s.db") as store:
        (record,) = store.records()
    assert record.status == "failed" and (record.error or "").endswith("(3 attempts)")


def trains(folder: Path) -> int:
    """The process of the worker that has trained a step of the run it holds, 0 if there is none."""
    found = lease(folder)
    return 0 if found.get("share") is None else int(json.loads(found["process"])["pid"])


SMALL = """
import resource, sys

if sys.orig_argv[1:3] == ["-m", "embudget.study.executors.ray_worker"]:  # the process that trains inherits it
    resource.setrlimit(resource.RLIMIT_AS, (3_600_000_000, 3_600_000_000))
"""


def test_what_is_out_of_memory_on_a_small_node_is_left_to_a_larger_one(
    cluster: RayService, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    """The model has 100 million parameters: 1.6 GB with gradients and moments, beside the 2.6 GB of torch."""
    large = save_tiny(tmp_path / "large", "gpt_neox", hidden_size=1024, vocab_size=90_000, num_hidden_layers=1)
    study = tiny_study(large, tiny_pairs, precision="float32", budgets=[1e11])
    (tmp_path / "sitecustomize.py").write_text(SMALL)
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    cluster.add({"PYTHONPATH": paths}, small=1)
    never = 1e5  # a checkpoint has 1.2 GB
    small = Work(tmp_path, study, cluster, f"{ASKED},resources.small=1", never)
    small.crew.hire(1)
    until(lambda: bool(small.store.queue().lacking()))
    until(lambda: small.crew.waiting_or_working() == 0, 60)
    assert [gone.reason for gone in small.crew.gone()] == [""]
    assert [lacking.device_bytes for lacking in small.store.queue().lacking()] == [3.6e9]
    assert small.store.records() == []
    RayCrew(small.store, cluster.address, RayOptions.read(ASKED)).hire(1)
    records = small.finish()
    assert measured(records) == measured(sweep(study, tmp_path / "whole.db", checkpoint_seconds=never))
    assert [(record.status, record.attempts) for record in records] == [("done", 1)]


def test_what_no_node_can_give_is_said(
    cluster: RayService, study: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(tmp_path, study, cluster, "num_gpus=8,memory=900GB")
    with caplog.at_level(logging.WARNING):
        work.crew.hire(1)
        work.crew.hire(1)
    said = "no node of the Ray cluster has 8 GPU, 1 CPU, 9e+11 memory: the workers wait for one to join"
    assert [entry.message for entry in caplog.records] == [said]
    assert work.crew.waiting_or_working() == 2
    work.crew.dismiss()
    assert work.crew.waiting_or_working() == 0 and work.crew.gone() == []
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        work = Work(tmp_path, study, cluster, "")
        work.crew.hire(1)
    assert [entry.message for entry in caplog.records] == [
        "the Ray cluster has GPUs, and no worker asks for one: --ray-options num_gpus=1 does"
    ]
    work.crew.dismiss()


def test_a_driver_keeps_its_own_handler_of_sigterm(cluster: RayService, study: Study, tmp_path: Path) -> None:
    """Ray would end the driver at once, before it has dismissed its workers."""
    before = signal.getsignal(signal.SIGTERM)
    Work(tmp_path, study, cluster, ASKED)
    assert signal.getsignal(signal.SIGTERM) == before
    assert "EMBUDGET_STORE" not in os.environ


def test_the_page_does_what_it_says(
    cluster: RayService,
    faq_pairs: Pairs,  # noqa: F811 - the fixture
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with_pairs(faq_pairs)
    run_page(PAGE.read_text(), run)
