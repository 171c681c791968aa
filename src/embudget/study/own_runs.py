"""The runs of one sweep, trained on the machine of its driver: which comes next, and which are left to others."""

import time
from collections import deque
from collections.abc import Callable, Sequence

from embudget.records import RunConfig
from embudget.study.claims import Claims
from embudget.study.execution import Orders, OutOfMemory
from embudget.study.leases import Hold
from embudget.study.listener import SweepListener
from embudget.study.ordering import LongestFirst
from embudget.study.store import Store
from embudget.study.trunks import Task, tasks

MoreRuns = Callable[[], Sequence[RunConfig]]
"""Gives further runs without a record once all that came before have theirs; none at the end."""


class OwnRuns(Claims):
    """The missing runs of a sweep.

    Args:
        store: where their records go.
        missing: runs without a record.
        listener: told of what becomes of them.
        orders: how they are carried out.
        more: asked for further runs when no run is left and none under way, as often as it gives any.
        order: has those that wait come in another order as it is known what they take.
    """

    def __init__(
        self,
        store: Store,
        missing: Sequence[RunConfig],
        listener: SweepListener,
        orders: Orders,
        more: MoreRuns = tuple,
        order: LongestFirst | None = None,
    ) -> None:
        super().__init__(store, listener)
        self._orders, self._more, self._order = orders, more, order
        self._waiting = deque(tasks(missing))
        self._elsewhere: list[tuple[Task, Hold]] = []
        """Tasks that others are on."""
        self._next_look = 0.0
        self._told = False

    def orders(self, task: Task) -> Orders:
        """The same for all of them."""
        return self._orders

    def next_task(self) -> Task | None:
        """The next task with a run to be had, or the rest of one whose process was lost; None if there is none."""
        if (
            self._order is not None
            and (again := self._order.again(run for task in self._waiting for run in task)) is not None
        ):
            self._waiting = deque(again)
        while True:
            while self._waiting:
                if task := self._begin(self._waiting.popleft()):
                    return task
            if self._look_again():
                continue
            if self._leases.holds_any or self._elsewhere or not (more := self._more()):
                return None
            self._waiting.extend(tasks(more))

    def _begin(self, task: Task) -> Task:
        """Hold the first run of a task that no one else has; return it and those after it."""
        while task:
            came = self._claim(task)
            if came is Hold.OURS:
                if self._may_begin(task[0]):
                    return task
            elif came is Hold.RECORDED:
                self._listener.held(task[0])
            else:
                self._elsewhere.append((task, came))
                return ()
            task = task[1:]
        return ()

    def _wait_again(self, task: Task) -> None:
        self._waiting.append(task)

    def _too_large(self, outcome: OutOfMemory) -> None:
        """A sweep on one machine has no larger device to leave it to."""
        for record in outcome.records():
            self.settle(record)

    def _look_again(self) -> bool:
        """Queue the tasks that others hold once more, if it is time to see what became of them."""
        now, quarter = time.monotonic(), self._leases.seconds / 4
        if not self._elsewhere:
            return False
        if self._leases.holds_any:  # workers of ours are busy, and one is idle
            if now < self._next_look:
                return False
        elif all(came is Hold.HELD for _, came in self._elsewhere):
            for task, _ in self._elsewhere:
                for config in task:
                    self._listener.held(config)
            self._elsewhere.clear()
            return False
        else:
            if not self._told:
                self._told = True
                self._listener.watching(sum(len(task) for task, _ in self._elsewhere), self._leases.seconds)
            self._stop.wait(min(3.0, quarter / 10))
        self._next_look = now + quarter
        self._waiting.extend(task for task, _ in self._elsewhere)
        self._elsewhere.clear()
        return True
