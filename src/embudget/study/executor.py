"""Executors: where the runs of a sweep are trained.

An executor asks for one job, a configuration, at a time and yields what becomes of it: a record, or the loss of the
process that trained it. The driver that owns the store decides what follows.
"""

import multiprocessing
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, final

from embudget.errors import EmbudgetError, MethodError, RunError
from embudget.pairs import load_pairs
from embudget.records import RunConfig, RunRecord

OnProgress = Callable[[RunConfig, float, float], None]
"""Called with the run, the share of its budget spent and its latest training loss in nats."""

NextJob = Callable[[], RunConfig | None]
"""Gives the next run to train, or None while there is none; a lost run may come again."""


class Finished(NamedTuple):
    """A job that ended with a record, or without one because its process was lost."""

    config: RunConfig
    record: RunRecord | None
    lost: str | None = None
    """Why there is no record."""


class Executor(ABC):
    """Trains runs somewhere."""

    @abstractmethod
    def run(self, next_job: NextJob, on_progress: OnProgress) -> Iterator[Finished]:
        """Train until there is no job left, asking for each when there is room for it; yield them as they end."""


def execute(
    config: RunConfig, pairs_folder: Path, on_progress: Callable[[float, float], None], processes: int = 1
) -> RunRecord:
    """Train one run and return its record; what is the run's own fault becomes a record of status ``failed``.

    Raises:
        EmbudgetError: trouble that other runs would meet too: the model or the pairs cannot be read.
        OSError: likewise, of the disk.
    """
    from embudget.training.run import Resources, train_run

    try:
        return train_run(config, load_pairs(pairs_folder), on_progress, Resources(neighbours=processes))[1]
    except (RunError, MethodError) as error:
        reason = str(error)
    except (MemoryError, RuntimeError) as error:  # torch says out of memory by a RuntimeError
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return RunRecord(config=config, status="failed", error=reason)


@final
class InProcess(Executor):
    """Train in this process, one run after the other."""

    def __init__(self, pairs_folder: Path) -> None:
        self.pairs_folder = pairs_folder

    def run(self, next_job: NextJob, on_progress: OnProgress) -> Iterator[Finished]:
        """Train the jobs in their order."""
        while (config := next_job()) is not None:

            def progress(share: float, loss: float, config: RunConfig = config) -> None:
                on_progress(config, share, loss)

            yield Finished(config, execute(config, self.pairs_folder, progress))


class _Worker:
    """A process that trains one run at a time, and the connection to it."""

    def __init__(self, pairs_folder: Path, slot: int, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.slot = slot
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, pairs_folder, slot, count), daemon=True)
        self.process.start()
        theirs.close()
        self.config: RunConfig | None = None

    def start(self, config: RunConfig) -> None:
        self.config = config
        with suppress(BrokenPipeError):  # it died while it was idle: the next read says so
            self.connection.send(config)

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()
        self.connection.close()


@final
class LocalProcesses(Executor):
    """Train in worker processes of this machine, which share its cores evenly; a lost worker is replaced."""

    def __init__(self, pairs_folder: Path, workers: int) -> None:
        self.pairs_folder = pairs_folder
        self.count = workers

    def run(self, next_job: NextJob, on_progress: OnProgress) -> Iterator[Finished]:
        """Train the jobs, as many at a time as there are workers."""
        workers: list[_Worker] = []
        try:
            while True:
                self._hand_out(next_job, workers)
                busy = {worker.connection: worker for worker in workers if worker.config is not None}
                if not busy:
                    return
                for connection in wait(list(busy)):
                    finished = _receive(busy[connection], on_progress)  # type: ignore[index]
                    if finished is None:
                        continue
                    if finished.lost is not None:
                        workers.remove(busy[connection])  # type: ignore[index]
                    yield finished
        finally:
            for worker in workers:
                worker.stop()

    def _hand_out(self, next_job: NextJob, workers: list[_Worker]) -> None:
        for slot in range(self.count):
            worker = next((worker for worker in workers if worker.slot == slot), None)
            if worker is not None and worker.config is not None:
                continue
            if (config := next_job()) is None:
                return
            if worker is None:  # not yet started, or lost: the new one takes over its GPU
                worker = _Worker(self.pairs_folder, slot, self.count)
                workers.append(worker)
            worker.start(config)


def _receive(worker: _Worker, on_progress: OnProgress) -> Finished | None:
    """Take one message of a busy worker; None if it was progress."""
    assert worker.config is not None
    try:
        message = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        config, code = worker.config, worker.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        worker.stop()
        return Finished(config, None, lost=f"its process ended with {how}")
    if isinstance(message, EmbudgetError):
        raise message
    if isinstance(message, RunRecord):
        worker.config = None
        return Finished(message.config, message)
    on_progress(worker.config, *message)
    return None


def _work(connection: Connection, pairs_folder: Path, slot: int, count: int) -> None:
    """The life of a worker process: an even share of the cores, or one of the GPUs in turn."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    import torch

    _take_one_gpu(slot)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    while True:
        try:
            config: RunConfig = connection.recv()
        except EOFError:
            return
        try:
            answer: object = execute(config, pairs_folder, lambda *now: connection.send(now), count)
        except EmbudgetError as error:
            answer = error
        connection.send(answer)


def _take_one_gpu(slot: int) -> None:
    """Show this process one of the GPUs that the driver sees, before CUDA starts (counting them does not start it)."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(gpu) for gpu in range(torch.cuda.device_count())]
    if gpus and gpus != [""]:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
