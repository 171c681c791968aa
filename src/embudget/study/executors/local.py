"""Training on this machine: in this process, or in processes of which each has its GPU or its share of the cores.

An executor asks for one task at a time: the runs of one trunk, or a run alone. It yields a record as each run ends, or
the loss of the process that trained them; the driver, which owns the store, decides what follows. However it ends, by a
signal or a kill, the runs under way write checkpoints and no worker outlives its driver.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from multiprocessing.connection import wait
from typing import final

from embudget.records import RunRecord
from embudget.study.execution import Lost, Orders, Outcome, execute
from embudget.study.executors.process import Process, receive, stop_all
from embudget.study.trunks import Task
from embudget.training.interrupt import interruptible
from embudget.training.run import OnRunProgress

NextTask = Callable[[], Task | None]
"""Gives the next task to train, or None while there is none; the rest of a lost one may come again."""

OrdersOf = Callable[[Task], Orders]
"""Says how a task that came is to be carried out."""


class Executor(ABC):
    """Trains runs somewhere."""

    @abstractmethod
    def run(self, next_task: NextTask, orders: OrdersOf, on_progress: OnRunProgress) -> Generator[Outcome, None, None]:
        """Train until there is no task left, asking for each when there is room for it; yield runs as they end."""


@final
class InProcess(Executor):
    """Train in this process, one task after the other."""

    def run(self, next_task: NextTask, orders: OrdersOf, on_progress: OnRunProgress) -> Generator[Outcome, None, None]:
        """Train the tasks in their order."""
        with interruptible():
            while (task := next_task()) is not None:
                yield from execute(task, orders(task), on_progress)


@final
class LocalProcesses(Executor):
    """Train in processes of this machine, which share its cores evenly; a lost one is replaced."""

    def __init__(self, count: int) -> None:
        self.count = count

    def run(self, next_task: NextTask, orders: OrdersOf, on_progress: OnRunProgress) -> Generator[Outcome, None, None]:
        """Train the tasks, as many at a time as there are processes."""
        workers: dict[int, Process] = {}
        with interruptible():
            try:
                yield from self._run(workers, next_task, orders, on_progress)
            finally:
                stop_all(list(workers.values()))

    def _run(
        self, workers: dict[int, Process], next_task: NextTask, orders: OrdersOf, on_progress: OnRunProgress
    ) -> Iterator[Outcome]:
        while True:
            self._hand_out(next_task, orders, workers)
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
                    worker.go_on()

    def _hand_out(self, next_task: NextTask, orders: OrdersOf, workers: dict[int, Process]) -> None:
        for slot in range(self.count):
            worker = workers.get(slot)
            if worker is not None and worker.left:
                continue
            if (task := next_task()) is None:
                return
            if worker is None:  # not yet started, or lost: the new one takes over its GPU
                worker = workers[slot] = Process(slot, self.count)
            worker.give(task, orders(task))
