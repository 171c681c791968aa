"""Executors: where the runs of a sweep are trained.

An executor asks for one task at a time: the runs of one trunk, or a run alone. It yields a record as each run ends, or
the loss of the process that trained them; the driver, which owns the store, decides what follows.
"""

import multiprocessing
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, final

from embudget.errors import DivergedError, EmbudgetError, MethodError, ModelError, RunError
from embudget.pairs import load_pairs
from embudget.records import RunRecord
from embudget.study.trunks import Task
from embudget.training.resources import Resources
from embudget.training.run import OnRunProgress, diverged_record, train

NextTask = Callable[[], Task | None]
"""Gives the next task to train, or None while there is none; the rest of a lost one may come again."""


class Lost(NamedTuple):
    """The process of a task was lost."""

    runs: Task
    """Its runs that have no record, cheapest first: the first of them was under way."""
    reason: str


Outcome = RunRecord | Lost


class Executor(ABC):
    """Trains runs somewhere."""

    @abstractmethod
    def run(self, next_task: NextTask, on_progress: OnRunProgress) -> Iterator[Outcome]:
        """Train until there is no task left, asking for each when there is room for it; yield runs as they end."""


def execute(
    task: Task, pairs_folder: Path, on_progress: OnRunProgress, resources: Resources | None = None
) -> Iterator[RunRecord]:
    """Train a task and yield the record of each of its runs as it ends.

    Where the task itself is at fault, the run under way gets a record of status ``failed`` or ``diverged``, and so do
    those after it, which the trunk did not reach.

    Raises:
        EmbudgetError: trouble that other runs would meet too: the pairs cannot be read.
        OSError: likewise, of the disk.
    """
    left = list(task)
    try:
        pairs = load_pairs(pairs_folder)
        if task[0].schedule == "wsd":
            from embudget.training.trunk import train_trunk

            records: Iterator[RunRecord] = train_trunk(task, pairs, on_progress, resources)
        else:
            records = (
                train(run, pairs, on_progress=partial(on_progress, run), resources=resources, with_record=True)[1]
                for run in task
            )
        for record in records:
            left.remove(record.config)
            yield record
        assert not left, f"{len(left)} runs of a task have no record"
        return
    except DivergedError as error:
        for config in left:
            yield diverged_record(config, error)
        return
    except (RunError, MethodError, ModelError) as error:  # a model that has changed meanwhile is one task's trouble
        reason = str(error)
    except (MemoryError, RuntimeError) as error:  # torch says out of memory by a RuntimeError
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    for config in left:
        yield RunRecord(config=config, status="failed", error=reason)


@final
class InProcess(Executor):
    """Train in this process, one task after the other."""

    def __init__(self, pairs_folder: Path, resources: Resources) -> None:
        self.pairs_folder = pairs_folder
        self.resources = resources

    def run(self, next_task: NextTask, on_progress: OnRunProgress) -> Iterator[Outcome]:
        """Train the tasks in their order."""
        while (task := next_task()) is not None:
            yield from execute(task, self.pairs_folder, on_progress, self.resources)


class _Worker:
    """A process that trains one task at a time, and the connection to it."""

    def __init__(self, pairs_folder: Path, slot: int, count: int, resources: Resources) -> None:
        context = multiprocessing.get_context("spawn")
        self.slot = slot
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, pairs_folder, slot, count, resources), daemon=True)
        self.process.start()
        theirs.close()
        self.left: Task = ()
        """Runs of its task that have no record yet; none while it is idle."""

    def tell(self, message: Task | None) -> None:
        """Send a task; or None once a record is stored. A worker waits for it, so that no trunk outruns its records."""
        self.left = self.left if message is None else message
        with suppress(BrokenPipeError):  # it has died: the next read says so
            self.connection.send(message)

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()
        self.connection.close()


@final
class LocalProcesses(Executor):
    """Train in worker processes of this machine, which share its cores evenly; a lost worker is replaced."""

    def __init__(self, pairs_folder: Path, workers: int, resources: Resources) -> None:
        self.pairs_folder = pairs_folder
        self.resources = resources._replace(neighbours=workers)
        self.count = workers

    def run(self, next_task: NextTask, on_progress: OnRunProgress) -> Iterator[Outcome]:
        """Train the tasks, as many at a time as there are workers."""
        workers: dict[int, _Worker] = {}
        try:
            while True:
                self._hand_out(next_task, workers)
                busy = {worker.connection: worker for worker in workers.values() if worker.left}
                if not busy:
                    return
                for connection in wait(list(busy)):
                    worker = busy[connection]  # type: ignore[index]
                    outcome = _receive(worker, on_progress)
                    if isinstance(outcome, Lost):
                        del workers[worker.slot]
                    if outcome is not None:
                        yield outcome
                    if isinstance(outcome, RunRecord):
                        worker.tell(None)
        finally:
            for worker in workers.values():
                worker.stop()

    def _hand_out(self, next_task: NextTask, workers: dict[int, _Worker]) -> None:
        for slot in range(self.count):
            worker = workers.get(slot)
            if worker is not None and worker.left:
                continue
            if (task := next_task()) is None:
                return
            if worker is None:  # not yet started, or lost: the new one takes over its GPU
                worker = workers[slot] = _Worker(self.pairs_folder, slot, self.count, self.resources)
            worker.tell(task)


def _receive(worker: _Worker, on_progress: OnRunProgress) -> Outcome | None:
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
    """Train tasks in a worker process, on an even share of the cores or on one of the GPUs, until none comes."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    import torch

    _take_one_gpu(slot)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return
        try:
            for record in execute(task, pairs_folder, lambda *now: connection.send(now), resources):
                connection.send(record)
                connection.recv()  # says that the record is stored
        except EmbudgetError as error:
            connection.send(error)
        except BrokenPipeError:
            return  # the driver was killed; what is done of the task is in its checkpoints


def _take_one_gpu(slot: int) -> None:
    """Show this process one of the GPUs that the driver sees, before CUDA starts (counting them does not start it)."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(gpu) for gpu in range(torch.cuda.device_count())]
    if gpus and gpus != [""]:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
