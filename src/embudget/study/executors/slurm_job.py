"""What a job of Slurm runs: a worker on the store, which goes back into Slurm's queue when it is told to end early.

Slurm tells it by SIGTERM, in three cases. Before its time is over, and when another job preempts it, the worker saves
its run, lets go of it, and has its job queued again: a job that ends by itself within its grace Slurm takes for failed.
When the job is cancelled or already queued again (`scancel`, `scontrol requeue`), it only saves and lets go. The state
of the job tells which: it is RUNNING until Slurm ends it.

submitit's own handler of signals is replaced: it would ignore SIGTERM, and its SIGUSR2 ends the process that trains.
"""

import os
import signal
import subprocess
import sys
from typing import NoReturn

from embudget.errors import EmbudgetError
from embudget.records import RunConfig, RunRecord
from embudget.study.listener import SweepListener
from embudget.study.work import STORE, work
from embudget.training.interrupt import Interrupted, on_signal


class _Lines(SweepListener):
    """Writes a line for each run that ends or is lost to the job's log."""

    def finished(self, record: RunRecord) -> None:
        """A run has its record."""
        said = record.error if record.loss is None else f"loss {record.loss:.3f}"
        self._say(record.config, f"{record.status}, {said}")

    def lost(self, config: RunConfig, reason: str, attempt: int) -> None:
        """Its process was lost."""
        self._say(config, f"{reason} in attempt {attempt}")

    @staticmethod
    def _say(config: RunConfig, what: str) -> None:
        sys.stdout.write(f"{config.id} {config.model} {config.method} {config.train_flops:.3g} FLOP: {what}\n")
        sys.stdout.flush()


def run_worker() -> None:
    """Take runs from the store that the environment names, until none is left.

    Raises:
        SystemExit: it was told to end, or could not work; the reason is on stderr.
    """
    signal.signal(signal.SIGTERM, on_signal)
    job = _job_name()
    if cores := os.environ.get("SLURM_CPUS_PER_TASK"):  # many clusters do not bind a job to its cores
        os.environ["OMP_NUM_THREADS"] = cores
    try:
        address = os.environ.get(STORE)
        if not address:
            _end(f"embudget: {STORE} is not set: Slurm must hand the environment over to jobs", 2)
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        name = f"slurm {job} on {os.environ.get('SLURMD_NODENAME', 'its node')}"
        work(address, workers=len(gpus), name=name, listener=_Lines())
    except Interrupted as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a job that is queued again is sent a second one
        _end(f"ended by signal {error.signal}: {_queue_again(job)}", 128 + error.signal)
    except EmbudgetError as error:
        _end(f"embudget: {error}", 2)


def _job_name() -> str:
    """The job of this process as Slurm's commands name it: 12_3 for a task of an array, 12 alone.

    Every task of an array has a number of its own as well, but that of one of them means the whole array.
    """
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def _queue_again(job: str) -> str:
    """Have the job queued again, if Slurm is not ending it already; say what became of it."""
    try:
        state = _ask("squeue", "--noheader", "--array", f"--jobs={job}", "--Format=JobArrayID:.40,State:.20")
        states = dict(line.split()[:2] for line in state.splitlines())
        if states.get(job) != "RUNNING":
            return "Slurm is ending the job"
        _ask("scontrol", "requeue", job)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return f"the job could not be queued again: {error}"
    return "the job is queued again"


def _ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def _end(line: str, code: int) -> NoReturn:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
    raise SystemExit(code)
