"""Executors: where the runs of a sweep are trained.

An executor asks for one task at a time: the runs of one trunk, or a run alone. It yields a record as each run ends, or
the loss of the process that trained them; the driver, which owns the store, decides what follows. However it ends, by a
signal or a kill, the runs under way write checkpoints and no worker outlives its driver.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import final

from embudget.records import RunRecord
from embudget.study.execution import Lost, Outcome, execute
from embudget.study.trunks import Task
from embudget.study.worker import Worker, receive, stop_all
from embudget.training.interrupt import interruptible
from embudget.training.resources import Resources
from embudget.training.run import OnRunProgress

NextTask = Callable[[], Task | None]
"""Gives the next task to train, or None while there is none; the rest of a lost one may come again."""


class Executor(ABC):
    """Trains runs somewhere."""

    @abstractmethod
    def run(self, next_task: NextTask, on_progress: OnRunProgress) -> Generator[Outcome, None, None]:
        """Train until there is no task left, asking for each when there is room for it; yield runs as they end."""


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


@final
class LocalProcesses(Executor):
    """Train in worker processes of this machine, which share its cores evenly; a lost worker is replaced."""

    def __init__(self, pairs_folder: Path, workers: int, resources: Resources) -> None:
        self.pairs_folder = pairs_folder
        self.resources = resources._replace(neighbours=workers)
        self.count = workers

    def run(self, next_task: NextTask, on_progress: OnRunProgress) -> Generator[Outcome, None, None]:
        """Train the tasks, as many at a time as there are workers."""
        workers: dict[int, Worker] = {}
        with interruptible():
            try:
                yield from self._run(workers, next_task, on_progress)
            finally:
                stop_all(list(workers.values()))

    def _run(self, workers: dict[int, Worker], next_task: NextTask, on_progress: OnRunProgress) -> Iterator[Outcome]:
        while True:
            self._hand_out(next_task, workers)
            busy = {worker.connection: worker for worker in workers.values() if worker.left}
            if not busy:
                return
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                outcome = receive(worker, on_progress)
                if isinstance(outcome, Lost):
                    del workers[worker.slot]
                if outcome is not None:
                    yield outcome
                if isinstance(outcome, RunRecord):
                    worker.tell(None)

    def _hand_out(self, next_task: NextTask, workers: dict[int, Worker]) -> None:
        for slot in range(self.count):
            worker = workers.get(slot)
            if worker is not None and worker.left:
                continue
            if (task := next_task()) is None:
                return
            if worker is None:  # not yet started, or lost: the new one takes over its GPU
                worker = workers[slot] = Worker(self.pairs_folder, slot, self.count, self.resources)
            worker.tell(task)
