"""What only Slurm itself can do to a worker: end its time, and find that its node is gone."""

import math

import pytest

from embudget.records import RunRecord
from tests.cluster.long_runs import measured, until
from tests.cluster.slurm_service import GRACE_SECONDS, NODES
from tests.cluster.slurm_work import Work

pytestmark = pytest.mark.cluster

LOOK_SECONDS = 30
"""Slurm looks at the time of its jobs this often."""


def test_a_worker_whose_time_is_nearly_over_goes_on_in_the_same_job(work: Work, whole: list[RunRecord]) -> None:
    """Two minutes before the end at most, and 90 seconds at least, Slurm sends the signal that the worker asked for."""
    work.crew.hire(1)
    work.wait_for_a_checkpoint()
    job = work.job()["name"]
    work.pause()  # it would be done before Slurm looks
    used = work.cluster("squeue", "--noheader", f"--jobs={job}", "--Format=TimeUsed").strip()
    minutes, seconds = map(int, used.split(":"))
    limit = math.ceil((60 * minutes + seconds + 75) / 60)  # 75 to 135 s are left
    work.cluster("scontrol", "update", f"JobId={job}", f"TimeLimit={limit}")
    until(work.has_a_signal, 2 * LOOK_SECONDS + 10)
    work.go_on()
    until(lambda: not work.is_held, GRACE_SECONDS)
    saved = work.step()
    assert saved > 0 and work.crew.waiting_or_working() == 1
    work.cluster("scontrol", "update", f"JobId={job}", "TimeLimit=10")
    records = work.finish()
    assert measured(records).items() <= measured(whole).items() and records[0].attempts == 1
    assert work.job()["name"] == job and work.job()["restarts"] == "1"
    said = "\n".join(path.read_text() for path in (work.folder / "slurm").glob("*.err"))
    assert "ended by signal 15: the job is queued again" in said


def test_the_run_of_a_node_that_dies_goes_on_at_another(work: Work, whole: list[RunRecord]) -> None:
    """Slurm notices by itself, and starts the job again elsewhere; the run has lost its worker once."""
    work.crew.hire(1)
    work.wait_for_a_checkpoint()
    job, node = work.job()["name"], work.job()["node"]
    with work.cluster.dead(node):
        until(lambda: "down" in " ".join(work.cluster.states()))
        records = work.finish()
        assert work.job()["name"] == job and [work.job()["node"]] == [name for name in NODES if name != node]
    assert measured(records).items() <= measured(whole).items() and records[0].attempts == 2
