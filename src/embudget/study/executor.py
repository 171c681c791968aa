"""Executors: where the runs of a sweep are trained.

An executor takes (configuration, attempt) jobs one at a time and yields what becomes of each: progress, then a record,
or the loss of the process that trained it. The driver that owns the store decides what follows.
"""

import multiprocessing
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, final

from embudget.errors import EmbudgetError
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


def execute(config: RunConfig, pairs_folder: Path, on_progress: Callable[[float, float], None]) -> RunRecord:
    """Train one run and return its record; a run that cannot be done becomes a record of status ``failed``."""
    from embudget.training.run import train_run

    try:
        return train_run(config, load_pairs(pairs_folder), on_progress)[1]
    except EmbudgetError as error:
        return RunRecord(config=config, status="failed", error=str(error))
    except (MemoryError, RuntimeError, ValueError, OSError) as error:
        # torch reports out of memory and bad shapes as RuntimeError: one run must not end a sweep of hundreds
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
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

    def __init__(self, pairs_folder: Path, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, pairs_folder, threads), daemon=True)
        self.process.start()
        theirs.close()
        self.config: RunConfig | None = None

    def start(self, config: RunConfig) -> None:
        self.config = config
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
        self.threads = max(1, (os.cpu_count() or 1) // workers)

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
            if slot < len(workers) and workers[slot].config is not None:
                continue
            if (config := next_job()) is None:
                return
            if slot >= len(workers):
                workers.append(_Worker(self.pairs_folder, self.threads))
            workers[slot].start(config)


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
    if isinstance(message, RunRecord):
        worker.config = None
        return Finished(message.config, message)
    on_progress(worker.config, *message)
    return None


def _work(connection: Connection, pairs_folder: Path, threads: int) -> None:
    """The life of a worker process."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    torch.set_num_threads(threads)
    while True:
        try:
            config: RunConfig = connection.recv()
        except EOFError:
            return
        connection.send(execute(config, pairs_folder, lambda share, loss: connection.send((share, loss))))
