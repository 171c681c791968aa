"""Executors: where the runs of a sweep are trained.

An executor asks for one job at a time, the runs of one trunk or a run alone, and yields what becomes of it: a record as
each run ends, or the loss of the process that trained them. The driver that owns the store decides what follows.
"""

import multiprocessing
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, final

from embudget.errors import DivergedError, EmbudgetError, MethodError, RunError
from embudget.methods import parse_method
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig, RunRecord
from embudget.study.trunks import Job
from embudget.suite import find_shape
from embudget.training.resources import Resources
from embudget.training.run import diverged_record

OnProgress = Callable[[RunConfig, float, float], None]
"""Called with the run under way, the share of its budget spent and its latest training loss in nats."""

NextJob = Callable[[], Job | None]
"""Gives the next job to train, or None while there is none; the rest of a lost one may come again."""


class Lost(NamedTuple):
    """The process of a job was lost."""

    runs: Job
    """Those that have no record, cheapest first: the first of them was under way."""
    reason: str


Outcome = RunRecord | Lost


class Executor(ABC):
    """Trains runs somewhere."""

    @abstractmethod
    def run(self, next_job: NextJob, on_progress: OnProgress) -> Iterator[Outcome]:
        """Train until there is no job left, asking for each when there is room for it; yield runs as they end."""


def execute(
    job: Job, pairs_folder: Path, on_progress: OnProgress, resources: Resources | None = None
) -> Iterator[RunRecord]:
    """Train a job and yield the record of each of its runs as it ends.

    What is the job's own fault becomes a record of status ``failed``, or ``diverged``, for the run under way, and for
    those after it, which the trunk did not reach.

    Raises:
        EmbudgetError: trouble that other runs would meet too: the model or the pairs cannot be read.
        OSError: likewise, of the disk.
    """
    left = list(job)
    try:
        for record in _train(job, load_pairs(pairs_folder), on_progress, resources or Resources()):
            left.remove(record.config)
            yield record
        assert not left, f"{len(left)} runs of a job have no record"
        return
    except DivergedError as error:
        for config in left:
            yield diverged_record(config, error)
        return
    except (RunError, MethodError) as error:
        reason = str(error)
    except (MemoryError, RuntimeError) as error:  # torch says out of memory by a RuntimeError
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    for config in left:
        yield RunRecord(config=config, status="failed", error=reason)


def _train(job: Job, pairs: Pairs, on_progress: OnProgress, resources: Resources) -> Iterator[RunRecord]:
    if resources.precompute_prefix and not _freezes(job[0]):
        resources = resources._replace(precompute_prefix=False)
    if job[0].schedule == "wsd":
        from embudget.training.trunk import train_trunk

        yield from train_trunk(job, pairs, on_progress, resources)
        return
    from embudget.training.run import train_run

    (config,) = job
    yield train_run(config, pairs, lambda share, loss: on_progress(config, share, loss), resources)[1]


def _freezes(config: RunConfig) -> bool:
    """Whether blocks below the first trained one are frozen."""
    shape = find_shape(config.model)
    return parse_method(config.method).backward_layers(shape) < shape.layers


@final
class InProcess(Executor):
    """Train in this process, one job after the other."""

    def __init__(self, pairs_folder: Path, resources: Resources | None = None) -> None:
        self.pairs_folder = pairs_folder
        self.resources = resources or Resources()

    def run(self, next_job: NextJob, on_progress: OnProgress) -> Iterator[Outcome]:
        """Train the jobs in their order."""
        while (job := next_job()) is not None:
            yield from execute(job, self.pairs_folder, on_progress, self.resources)


class _Worker:
    """A process that trains one job at a time, and the connection to it."""

    def __init__(self, pairs_folder: Path, slot: int, count: int, resources: Resources) -> None:
        context = multiprocessing.get_context("spawn")
        self.slot = slot
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, pairs_folder, slot, count, resources), daemon=True)
        self.process.start()
        theirs.close()
        self.left: Job = ()
        """Runs of its job that have no record yet; none while it is idle."""

    def start(self, job: Job) -> None:
        self.left = job
        with suppress(BrokenPipeError):  # it died while it was idle: the next read says so
            self.connection.send(job)

    def go_on(self) -> None:
        """Tell it that its record is stored: it waits for that, so that a trunk does not outrun what is known of it."""
        with suppress(BrokenPipeError):
            self.connection.send(None)

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()
        self.connection.close()


@final
class LocalProcesses(Executor):
    """Train in worker processes of this machine, which share its cores evenly; a lost worker is replaced."""

    def __init__(self, pairs_folder: Path, workers: int, resources: Resources | None = None) -> None:
        self.pairs_folder = pairs_folder
        self.resources = (resources or Resources())._replace(neighbours=workers)
        self.count = workers

    def run(self, next_job: NextJob, on_progress: OnProgress) -> Iterator[Outcome]:
        """Train the jobs, as many at a time as there are workers."""
        workers: list[_Worker] = []
        try:
            while True:
                self._hand_out(next_job, workers)
                busy = {worker.connection: worker for worker in workers if worker.left}
                if not busy:
                    return
                for connection in wait(list(busy)):
                    outcome = _receive(busy[connection], on_progress)  # type: ignore[index]
                    if isinstance(outcome, Lost):
                        workers.remove(busy[connection])  # type: ignore[index]
                    if outcome is not None:
                        yield outcome
                    if isinstance(outcome, RunRecord):
                        busy[connection].go_on()  # type: ignore[index]
        finally:
            for worker in workers:
                worker.stop()

    def _hand_out(self, next_job: NextJob, workers: list[_Worker]) -> None:
        for slot in range(self.count):
            worker = next((worker for worker in workers if worker.slot == slot), None)
            if worker is not None and worker.left:
                continue
            if (job := next_job()) is None:
                return
            if worker is None:  # not yet started, or lost: the new one takes over its GPU
                worker = _Worker(self.pairs_folder, slot, self.count, self.resources)
                workers.append(worker)
            worker.start(job)


def _receive(worker: _Worker, on_progress: OnProgress) -> Outcome | None:
    """Take one message of a busy worker; None if it was progress."""
    try:
        message = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        worker.stop()
        return Lost(worker.left, f"its process ended with {how}")
    if isinstance(message, EmbudgetError):
        raise message
    if isinstance(message, RunRecord):
        worker.left = tuple(config for config in worker.left if config != message.config)
        return message
    on_progress(*message)
    return None


def _work(connection: Connection, pairs_folder: Path, slot: int, count: int, resources: Resources) -> None:
    """The life of a worker process: an even share of the cores, or one of the GPUs in turn."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    import torch

    _take_one_gpu(slot)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    while True:
        try:
            job: Job = connection.recv()
        except EOFError:
            return
        try:
            for record in execute(job, pairs_folder, lambda *now: connection.send(now), resources):
                connection.send(record)
                connection.recv()  # says that the record is stored
        except EmbudgetError as error:
            connection.send(error)
        except BrokenPipeError:
            return  # the driver was killed; what is done of the job is in its checkpoints


def _take_one_gpu(slot: int) -> None:
    """Show this process one of the GPUs that the driver sees, before CUDA starts (counting them does not start it)."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(gpu) for gpu in range(torch.cuda.device_count())]
    if gpus and gpus != [""]:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
