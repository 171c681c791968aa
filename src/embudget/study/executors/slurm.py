"""Workers as jobs of Slurm: job arrays, written and submitted by submitit, that take runs from the store.

A driver needs to run only where `sbatch` does, such as on a login node. It finds its workers by their jobs' name, which
is made of the store's address: started again, or twice at once, it counts those that are queued or at work already.
What becomes of them it reads from `squeue`, which every cluster answers, for some minutes after a job's end too; the
accounting that submitit asks is often switched off. How a job ends early and comes back is told in `slurm_job`.
"""

import contextlib
import hashlib
import io
import logging
import os
import subprocess
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, final

from embudget.errors import ConfigError, first_line
from embudget.study.executors.base import Crew, Gone
from embudget.study.executors.slurm_job import run_worker
from embudget.study.executors.slurm_options import SlurmOptions, said_by_slurm
from embudget.study.location import Location
from embudget.study.store import Store
from embudget.study.work import STORE

LOG = logging.getLogger(__name__)

SAVING_SECONDS = 90
"""How long before its time is over a job is told to save its run; Slurm may tell it up to a minute earlier."""
_LARGEST_ARRAY = 1000
"""Slurm's own limit, unless its administrator has raised it."""
_LOOK_SECONDS = 2.0
"""A look at the jobs is good for this long: the controller of a cluster serves everybody."""
_ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip
_NEVER = {
    "AccountNotAllowed", "BadConstraints", "InvalidAccount", "InvalidQOS", "JobHoldMaxRequeue", "PartitionInactive",
    "PartitionNodeLimit", "PartitionTimeLimit", "QOSNotAllowed", "launch_failed_requeued_held",
    "launch failed requeued held",
}  # fmt: skip
"""Why a job waits that no free machine will change."""


class _Job(NamedTuple):
    """A job as Slurm tells of it."""

    state: str
    reason: str
    """Why it waits, or why it ended."""
    status: int
    """As `wait` gives it: the exit code times 256, or a signal."""

    @property
    def ended(self) -> bool:
        return self.state in _ENDED

    @property
    def never_starts(self) -> bool:
        return self.state == "PENDING" and self.reason in _NEVER


@final
class SlurmCrew(Crew):
    """Workers that Slurm starts, each a task of a job array with what the options ask for.

    Args:
        store: where the runs are. Nodes must reach it: PostgreSQL, or a SQLite file on a disk that all of them share,
            with locks that work there.
        options: what each worker asks for.
        logs: a folder that all nodes share, for what submitit and Slurm write; made where it is missing.

    Raises:
        ConfigError: Slurm or submitit is not installed here, Slurm does not answer, or no other machine reaches the
            store.

    Example:
        >>> with Store("postgresql://me@db/study") as store:
        ...     crew = SlurmCrew(store, SlurmOptions.read("partition=gpu,gpus=1,time=4h"), Path("study.slurm"))
        ...     crew.hire(8)
    """

    def __init__(self, store: Store, options: SlurmOptions, logs: Path) -> None:
        options.check()
        self.name = f"embudget-{hashlib.sha256(Location(store.address).apart.encode()).hexdigest()[:12]}"
        self._address = store.address
        self._logs = logs.absolute()
        self._executor = _executor(self._logs, self.name, options)
        self._jobs: dict[str, _Job] = {}
        self._looked = -_LOOK_SECONDS
        self._silent = False
        # what ended before is no news, such as the workers of a driver that was killed
        self._told = {name for name, job in self._look(first=True).items() if job.ended}

    def hire(self, count: int) -> None:
        """Submit job arrays of so many workers.

        Raises:
            ConfigError: Slurm refuses them, with its reason.
        """
        while count > 0:
            some = min(count, _LARGEST_ARRAY)
            self._executor.update_parameters(array_parallelism=some)
            handed_over = {STORE: self._address, "SBATCH_EXPORT": "ALL"}
            try:
                with _environment(handed_over), contextlib.redirect_stderr(io.StringIO()):
                    self._executor.submit_array([run_worker] * some)
            except (RuntimeError, OSError) as error:
                raise ConfigError(f"slurm refuses the workers: {said_by_slurm(str(error))}") from None
            count -= some
        self._looked = -_LOOK_SECONDS

    def waiting_or_working(self) -> int:
        """How many jobs of this store are queued or at work, whoever has submitted them."""
        return sum(not job.ended and not job.never_starts for job in self._look().values())

    def gone(self) -> list[Gone]:
        """Workers that ended since this was last asked; those that Slurm would never start are cancelled."""
        found = []
        for name, job in self._look().items():
            if name in self._told:
                continue
            if job.never_starts:
                _slurm("scancel", name)
                found.append(Gone(name, f"Slurm would never start it: {job.reason}"))
            elif job.ended:
                found.append(Gone(name, "" if job.state == "COMPLETED" else self._why(name, job)))
        self._told |= {gone.name for gone in found}
        return found

    def dismiss(self) -> None:
        """Cancel all jobs of this store; Slurm sends SIGTERM, and SIGKILL after the cluster's KillWait."""
        _slurm("scancel", "--me", f"--name={self.name}")

    def _look(self, first: bool = False) -> dict[str, _Job]:
        """The jobs of this store as Slurm last told of them, those that have ended included.

        Raises:
            ConfigError: Slurm does not answer, the first time; later its answer may be some looks old.
        """
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return self._jobs
        self._looked = time.monotonic()
        code, out, err = _slurm(
            "squeue", "--me", "--noheader", "--array", "--states=all", f"--name={self.name}",
            "--Format=JobArrayID:40,State:24,exit_code:12,Reason:60",
        )  # fmt: skip
        if code:
            if first:
                raise ConfigError(f"slurm does not answer: {said_by_slurm(err)}")
            if not self._silent:
                LOG.warning("Slurm does not answer (%s): its jobs are taken to go on", said_by_slurm(err))
            self._silent = True
            return self._jobs
        self._silent = False
        found = dict(map(_read_job, filter(str.strip, out.splitlines())))
        # tasks of an array that never began end as one, as in 7_[0-3]; Slurm forgets ended jobs after some minutes
        together = {name.partition("_")[0]: job for name, job in found.items() if not _is_one(name, self._jobs)}
        unknown = _Job("FAILED", "Slurm has forgotten how", 0)
        for name, job in self._jobs.items():
            if name not in found:
                found[name] = job if job.ended else together.get(name.partition("_")[0], unknown)
        self._jobs = {name: job for name, job in found.items() if _is_one(name, found)}
        return self._jobs

    def _why(self, name: str, job: _Job) -> str:
        """How a job failed: its state, exit code or signal, and the last line of its stderr that tells something."""
        how = f"exit code {job.status >> 8}" if job.status >> 8 else f"signal {job.status & 127}"
        state = f"{job.state}, {how}" if job.status else job.state
        state += "" if job.reason in ("", "None", "NonZeroExitCode") else f", {job.reason}"
        try:
            lines = (self._logs / f"{name}_0_log.err").read_text(errors="replace").splitlines()
        except OSError:
            return state
        lines = [line.strip() for line in lines if line.strip()]
        of_slurm = [line for line in lines if line.startswith(("srun: error", "slurmstepd"))]
        of_worker = [line for line in lines if not line.startswith(("srun:", "slurmstepd", "submitit "))]
        # one that was killed could not say why: Slurm does, as it does of one that took too much memory
        killed = job.status & 127 or job.status >> 8 > 128
        telling = (of_slurm or of_worker) if killed else (of_worker or of_slurm)
        return f"{state}: {telling[-1][:200]}" if telling else state


def _executor(logs: Path, name: str, options: SlurmOptions) -> Any:  # noqa: ANN401 - of submitit, which is optional
    try:
        import submitit
    except ImportError as error:
        raise ConfigError(f"slurm needs the package {error.name}: pip install 'embudget[slurm]'") from None
    try:
        logs.mkdir(parents=True, exist_ok=True)
        executor = submitit.SlurmExecutor(logs)
        parameters = options.parameters()
        more = {"signal": f"TERM@{SAVING_SECONDS}", **parameters.pop("additional_parameters")}
        executor.update_parameters(job_name=name, wckey=None, additional_parameters=more, **parameters)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {logs} for the logs of Slurm: {error.strerror}") from None
    except RuntimeError as error:  # srun is missing
        raise ConfigError(f"slurm: {first_line(error)}") from None
    return executor


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for the commands that are started meanwhile: they go to them and to no file."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _read_job(line: str) -> tuple[str, _Job]:
    name, state, status, reason = (line[start:end].strip() for start, end in ((0, 40), (40, 64), (64, 76), (76, 136)))
    return name, _Job(state, reason, int(status) if status.isdigit() else 0)


def _is_one(name: str, others: Collection[str]) -> bool:
    """Whether a name is that of one job, not of what is left of an array."""
    return "[" not in name and not ("_" not in name and any(other.startswith(f"{name}_") for other in others))


def _slurm(*command: str) -> tuple[int, str, str]:
    """Run one of Slurm's commands; its exit code, what it printed and what it complained of."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, "", first_line(error)
    return done.returncode, done.stdout, done.stderr
