"""Slurm as an engine, with a real cluster: the records of a local sweep, whatever happens to jobs meanwhile."""

import os
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from urllib.parse import quote_plus

import pytest
import yaml

from embudget.errors import ConfigError
from embudget.records import RunRecord
from embudget.study import Store, Study
from embudget.study.executors.base import Gone
from embudget.study.executors.slurm import SlurmCrew
from embudget.study.executors.slurm_options import SlurmOptions
from tests.cluster.conftest import PASSWORD, Server
from tests.cluster.long_runs import measured, until
from tests.cluster.slurm_service import GRACE_SECONDS, NODES, Slurm
from tests.cluster.slurm_work import ASKED, Work

pytestmark = pytest.mark.cluster

_numbers = count()


def command(study: Study, folder: Path, store: str) -> list[str]:
    """`embudget sweep` of a study on two workers of Slurm."""
    (folder / "study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_defaults=True)))
    return [
        sys.executable, "-m", "embudget", "sweep", str(folder / "study.yaml"), "--store", store, "--slurm", ASKED,
        "--workers", "2", "--checkpoints", str(folder / "kept"), "--checkpoint-minutes", "0.02", "-v",
    ]  # fmt: skip


def test_two_workers_give_the_records_of_a_local_sweep_and_no_file_has_the_password(
    server: Server, cluster: Slurm, study: Study, whole: list[RunRecord], tmp_path: Path
) -> None:
    name = f"slurm {next(_numbers)}"
    server.create(name)
    place = f"postgresql://me:{quote_plus(PASSWORD)}@127.0.0.1:{server.port}/{name}"
    environment = {**os.environ, "SBATCH_EXPORT": "NONE"}  # as some users have it in their shells
    done = subprocess.run(command(study, tmp_path, place), capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    with Store(place) as store:
        assert measured(store.records()) == measured(whole)
        crew = SlurmCrew(store, SlurmOptions.read(ASKED), tmp_path / "slurm")
    nodes = cluster("squeue", "--states=all", "--noheader", f"--name={crew.name}", "--format=%N").split()
    assert sorted(nodes) == sorted(NODES), "each of the two workers had the GPU of a node"
    (tmp_path / "said").write_text(done.stdout + done.stderr)
    (tmp_path / "job").write_text(cluster("scontrol", "show", "job", "--details"))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    said = "".join(path.read_text() for path in files if path.suffix == ".out")
    assert all(f"{record.id} micro-200k full 6e+10 FLOP: done, loss" in said for record in whole)
    assert {".pkl", ".sh", ".err", ".out"} <= {path.suffix for path in files}
    for path in files:
        assert b"s3cr" not in path.read_bytes(), path


def test_a_driver_that_was_killed_finds_its_workers_again(
    cluster: Slurm, study: Study, whole: list[RunRecord], tmp_path: Path
) -> None:
    sweeping = command(study, tmp_path, str(tmp_path / "s.db"))
    first = subprocess.Popen(sweeping, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: len(cluster("squeue", "--noheader", "--array", "--states=RUNNING").splitlines()) == 2)
    first.kill()
    first.wait()
    jobs = set(cluster("squeue", "--noheader", "--array", "--format=%i").split())
    second = subprocess.run(sweeping, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    with Store(tmp_path / "s.db") as store:
        assert measured(store.records()) == measured(whole)
        assert {record.attempts for record in store.records()} == {1}
        name = SlurmCrew(store, SlurmOptions.read(ASKED), tmp_path / "slurm").name
    shown = cluster("squeue", "--states=all", "--noheader", "--array", f"--name={name}", "--format=%i")
    assert set(shown.split()) == jobs, "nobody was hired twice"


def test_sigterm_and_a_requeue_cost_nothing(work: Work, whole: list[RunRecord]) -> None:
    """At SIGTERM, as before the end of the job's time, the worker has its own job queued again; else Slurm does."""
    work.crew.hire(1)
    work.wait_for_a_checkpoint()
    job = work.job()["name"]
    work.cluster("scancel", "--signal=TERM", job)
    until(lambda: not work.is_held)  # as before the end of its time, when it has a minute; Slurm does not end it yet
    saved = work.step()
    assert work.crew.waiting_or_working() == 1
    until(lambda: work.is_held and work.step() > saved)
    work.pause()
    work.cluster("scontrol", "requeue", job)
    until(lambda: not work.is_held, GRACE_SECONDS)
    records = work.finish()
    assert measured(records).items() <= measured(whole).items() and records[0].attempts == 1
    until(lambda: work.crew.waiting_or_working() == 0)
    assert work.crew.gone() == [Gone(job, "")]
    assert work.job()["restarts"] == "2", "queued again once by each, not a second time by the worker"
    said = "\n".join(path.read_text() for path in (work.folder / "slurm").glob("*.err"))
    assert "ended by signal 15: the job is queued again" in said
    assert "ended by signal 15: Slurm is ending the job" in said


def test_a_preempted_worker_goes_on_when_it_has_room_again(work: Work, whole: list[RunRecord]) -> None:
    work.crew.hire(1)
    work.wait_for_a_checkpoint()
    work.pause()  # it might be done before Slurm preempts it
    node = work.job()["node"]
    urgent = work.cluster(
        "sbatch", "--parsable", "--partition=urgent", "--exclusive", f"--nodelist={node}", "--output=/dev/null",
        "--wrap=sleep 5",
    ).strip()  # fmt: skip
    until(lambda: not work.is_held, GRACE_SECONDS)
    shown = ("squeue", "--states=all", "--noheader", f"--jobs={urgent}", "--format=%t")
    until(lambda: work.cluster(*shown).strip() == "CD")
    records = work.finish()
    assert measured(records).items() <= measured(whole).items() and records[0].attempts == 1
    assert work.job()["restarts"] == "1"


def test_dismissed_workers_let_go_and_another_goes_on(work: Work, whole: list[RunRecord]) -> None:
    work.crew.hire(1)
    work.wait_for_a_checkpoint()
    job = work.job()["name"]
    work.crew.dismiss()
    until(lambda: not work.is_held, GRACE_SECONDS)
    until(lambda: work.crew.waiting_or_working() == 0)
    (gone,) = work.crew.gone()
    assert gone.name == job and gone.reason.startswith("CANCELLED"), "and not queued again by itself"
    assert work.step() > 0
    work.crew.hire(1)
    records = work.finish()
    assert measured(records).items() <= measured(whole).items() and records[0].attempts == 1


def test_crashes_of_the_training_and_of_its_job_count_and_cost_no_record(work: Work, whole: list[RunRecord]) -> None:
    work.crew.hire(1)
    work.wait_for_a_checkpoint()
    saved, worker = work.step(), work.worker()
    trains = [child for child in worker.children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(trains) == 1
    trains[0].kill()
    until(lambda: work.is_held and work.step() > saved)
    assert work.worker() == worker, "the worker survives its child"
    for process in [*worker.children(recursive=True), worker]:
        process.kill()
    until(lambda: work.crew.waiting_or_working() == 0)
    (gone,) = work.crew.gone()
    assert gone.reason.startswith("FAILED, exit code 137") and "Killed" in gone.reason
    work.crew.hire(1)
    records = work.finish()
    assert measured(records).items() <= measured(whole).items() and records[0].attempts == 3


def test_a_worker_that_cannot_work_says_why(work: Work, tmp_path: Path) -> None:
    work.store.close()
    (tmp_path / "s.db").rename(tmp_path / "elsewhere.db")
    work.crew.hire(1)
    until(lambda: work.crew.waiting_or_working() == 0)
    (gone,) = work.crew.gone()
    assert gone.reason.startswith("FAILED, exit code 2: embudget: there is no store at"), gone


def test_a_second_driver_counts_the_workers_that_are_there(work: Work, tmp_path: Path) -> None:
    held = SlurmCrew(work.store, SlurmOptions.read(f"{ASKED},hold=yes"), tmp_path / "slurm")
    held.hire(3)
    assert held.waiting_or_working() == 3
    assert SlurmCrew(work.store, SlurmOptions.read(ASKED), tmp_path / "slurm").waiting_or_working() == 3
    until(lambda: work.crew.waiting_or_working() == 3, 5)
    with Store(tmp_path / "other.db") as store:
        other = SlurmCrew(store, SlurmOptions.read(ASKED), tmp_path / "slurm")
        assert other.waiting_or_working() == 0, "another store's workers are its own"
    held.dismiss()
    until(lambda: work.crew.waiting_or_working() == 0)
    assert {gone.reason.split(",")[0] for gone in work.crew.gone()} == {"CANCELLED"}
    late = SlurmCrew(work.store, SlurmOptions.read(ASKED), tmp_path / "slurm")
    assert late.gone() == [], "what ended before is no news"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("partition=nope", "slurm would never start a worker: Invalid partition name specified"),
        ("gpus=9", "slurm would never start a worker: Requested node configuration is not available"),
        ("gpus=a100:1", "slurm would never start a worker: "),
        ("cpus=64", "slurm would never start a worker: Requested node configuration is not available"),
        ("constraint=fast", "slurm would never start a worker: Invalid feature specification"),
        (
            "partion=gpu",
            "slurm: unknown option 'partion': allowed are partition, gpus, cpus, memory, time and ",
        ),
    ],
)
def test_what_slurm_can_never_do_is_refused_before_anything_is_submitted(
    asked: str, said: str, cluster: Slurm, tmp_path: Path
) -> None:
    before = cluster("squeue", "--states=all", "--noheader", "--format=%i")
    with Store(tmp_path / "s.db") as store, pytest.raises(ConfigError) as error:
        SlurmCrew(store, SlurmOptions.read(asked), tmp_path / "slurm")
    assert str(error.value).startswith(said) and "\n" not in str(error.value)
    assert cluster("squeue", "--states=all", "--noheader", "--format=%i") == before
    assert not (tmp_path / "slurm").exists()


def test_a_time_beyond_the_partitions_is_told_of_the_workers(cluster: Slurm, tmp_path: Path) -> None:
    """Slurm accepts such a job, and never starts it."""
    with Store(tmp_path / "s.db") as store:
        crew = SlurmCrew(store, SlurmOptions.read("partition=gpu,time=2h"), tmp_path / "slurm")
        crew.hire(2)
        found: list[Gone] = []
        while len(found) < 2:
            until(lambda: crew.waiting_or_working() == 0)
            found += crew.gone()
        assert [gone.reason for gone in found] == ["Slurm would never start it: PartitionTimeLimit"] * 2
        until(lambda: not cluster("squeue", "--noheader"), 10)
        time.sleep(2.5)
        assert crew.gone() == [] and crew.waiting_or_working() == 0


def test_a_store_in_memory_is_refused(cluster: Slurm, tmp_path: Path) -> None:
    with Store("sqlite://") as store, pytest.raises(ConfigError, match="no job can reach a store in memory"):
        SlurmCrew(store, SlurmOptions.read(ASKED), tmp_path / "slurm")


def test_a_controller_that_does_not_answer_costs_no_worker(
    work: Work, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = SlurmCrew(work.store, SlurmOptions.read(f"{ASKED},hold=yes"), tmp_path / "slurm")
    held.hire(2)
    assert held.waiting_or_working() == 2
    away = work.cluster.configuration.read_text().replace("SlurmctldPort=", "SlurmctldPort=1")
    (tmp_path / "slurm.conf").write_text("MessageTimeout=2\n" + away)
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    time.sleep(2.1)
    assert held.waiting_or_working() == 2 and held.gone() == []
    assert len([entry for entry in caplog.records if "Slurm does not answer" in entry.message]) == 1
    with pytest.raises(ConfigError, match="slurm"):
        SlurmCrew(work.store, SlurmOptions.read(ASKED), tmp_path / "slurm")
    with pytest.raises(ConfigError, match="slurm refuses the workers"):
        held.hire(1)
