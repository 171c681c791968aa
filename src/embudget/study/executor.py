"""Executors: where the runs of a sweep are trained.

An executor asks for one task at a time: the runs of one trunk, or a run alone. It yields a record as each run ends, or
the loss of the process that trained them; the driver, which owns the store, decides what follows. However it ends, by a
signal or a kill, the runs under way write checkpoints and no worker outlives its driver.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, final

from embudget.errors import DivergedError, EmbudgetError, MethodError, ModelError, RunError
from embudget.evaluation.of_run import RunScorer
from embudget.pairs import load_pairs
from embudget.records import RunRecord
from embudget.study.trunks import Task
from embudget.training.interrupt import Interrupted, deferred, heed, interruptible, tell, told
from embudget.training.resources import Resources
from embudget.training.run import OnRunProgress, diverged_record, train

STOP_SECONDS = 15.0
"""Workers that are told to stop have this long for their checkpoints."""

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
    def run(self, next_task: NextTask, on_progress: OnRunProgress) -> Generator[Outcome, None, None]:
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
        pairs, score = load_pairs(pairs_folder), RunScorer(resources.evaluate if resources else ())
        if task[0].schedule == "wsd":
            from embudget.training.trunk import train_trunk

            records: Iterator[RunRecord] = train_trunk(task, pairs, on_progress, resources, score)
        else:
            records = (
                score(*train(run, pairs, on_progress=partial(on_progress, run), resources=resources, with_record=True))
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

    def run(self, next_task: NextTask, on_progress: OnRunProgress) -> Generator[Outcome, None, None]:
        """Train the tasks in their order."""
        with interruptible():
            while (task := next_task()) is not None:
                yield from execute(task, self.pairs_folder, on_progress, self.resources)


class _Worker:
    """A process that trains one task at a time, and the connection to it."""

    def __init__(self, pairs_folder: Path, slot: int, count: int, resources: Resources) -> None:
        context = multiprocessing.get_context("spawn")
        self.slot = slot
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, pairs_folder, slot, count, resources), daemon=True)
        # Ctrl-C reaches the whole group; the driver decides, and no worker is to stumble over it while it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if _POSIX else None
        try:
            self.process.start()
        finally:
            if before is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.said = ""
        """What it saved when it was interrupted."""
        self.left: Task = ()
        """Runs of its task that have no record yet; none while it is idle."""

    def tell(self, message: Task | None) -> None:
        """Send a task; or None once a record is stored. A worker waits for it, so that no trunk outruns its records."""
        self.left = self.left if message is None else message
        with suppress(BrokenPipeError):  # it has died: the next read says so
            self.connection.send(message)

    def join(self, until: float) -> None:
        """Wait for its end, reading on meanwhile so that it is not held up; kill it when the time is over."""
        with suppress(EOFError, OSError):
            while (left := until - time.monotonic()) > 0 and self.connection.poll(left):
                message = self.connection.recv()
                self.said = message if isinstance(message, str) else self.said
        self.process.join(max(0.1, until - time.monotonic()))
        self.process.kill()
        self.process.join()
        self.connection.close()


def _stop(workers: Sequence[_Worker]) -> None:
    """End workers, which save what they have trained; a signal meanwhile asks for no more than that."""
    with deferred():
        busy = [worker for worker in workers if worker.left]
        for worker in workers:
            worker.process.terminate()
        until = time.monotonic() + STOP_SECONDS
        for worker in workers:
            worker.join(until)
        if busy:
            each = [f"{worker.left[0].model}: {worker.said or 'no checkpoint was written'}" for worker in busy]
            tell(None, "; ".join(each))


@final
class LocalProcesses(Executor):
    """Train in worker processes of this machine, which share its cores evenly; a lost worker is replaced."""

    def __init__(self, pairs_folder: Path, workers: int, resources: Resources) -> None:
        self.pairs_folder = pairs_folder
        self.resources = resources._replace(neighbours=workers)
        self.count = workers

    def run(self, next_task: NextTask, on_progress: OnRunProgress) -> Generator[Outcome, None, None]:
        """Train the tasks, as many at a time as there are workers."""
        workers: dict[int, _Worker] = {}
        with interruptible():
            try:
                yield from self._run(workers, next_task, on_progress)
            finally:
                _stop(list(workers.values()))

    def _run(self, workers: dict[int, _Worker], next_task: NextTask, on_progress: OnRunProgress) -> Iterator[Outcome]:
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
        worker.join(time.monotonic() + STOP_SECONDS)
        code = worker.process.exitcode or 0
        # a worker that saves before it ends by a signal ends as a shell would say it
        number = -code if code < 0 else code - 128
        how = f"signal {number}" if number > 0 else f"exit code {code}"
        return Lost(worker.left, f"its process ended with {how}")
    if isinstance(message, EmbudgetError):
        raise message
    if isinstance(message, str):
        worker.said = message
        return None
    if isinstance(message, RunRecord):
        worker.left = tuple(config for config in worker.left if config != message.config)
        return message
    on_progress(*message)
    return None


def _work(connection: Connection, pairs_folder: Path, slot: int, count: int, resources: Resources) -> None:
    """Train tasks in a worker process, on an even share of the cores or on one of the GPUs, until none comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    if _POSIX:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with interruptible():
        try:
            _end_with_the_driver()
            _take_one_gpu(slot)
            _work_on(connection, pairs_folder, count, resources)
        except Interrupted as error:
            try:
                with deferred():
                    connection.send(told() or "")
                    heed()
            except OSError:  # the driver was killed
                return
            sys.exit(128 + error.signal)


def _work_on(connection: Connection, pairs_folder: Path, count: int, resources: Resources) -> None:
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))

    def send(message: object) -> None:
        try:
            with deferred():  # half a message would leave the driver waiting for its end
                connection.send(message)
        except BrokenPipeError:
            raise Interrupted(signal.SIGTERM) from None  # the driver was killed

    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return
        try:
            for record in execute(task, pairs_folder, lambda *now: send(now), resources):
                send(record)
                connection.recv()  # says that the record is stored
        except EmbudgetError as error:
            send(error)
        except EOFError:
            return  # the driver was killed before it had stored the record: its checkpoints are there


_POSIX = hasattr(signal, "pthread_sigmask")

_PR_SET_PDEATHSIG = 1


def _end_with_the_driver() -> None:
    """Have Linux tell this process when its driver is gone; elsewhere the broken pipe does, behind the step."""
    driver = multiprocessing.parent_process()
    if not sys.platform.startswith("linux") or driver is None:
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if not driver.is_alive():  # it was gone before
        raise Interrupted(signal.SIGTERM)


def _take_one_gpu(slot: int) -> None:
    """Show this process one of the GPUs that the driver sees, before CUDA starts (counting them does not start it)."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(gpu) for gpu in range(torch.cuda.device_count())]
    if gpus and gpus != [""]:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
