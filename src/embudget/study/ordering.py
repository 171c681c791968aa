"""The order of a study's runs while it goes on: the longest task first, by what is known of their times by then."""

import time
from collections.abc import Iterable, Sequence

from embudget.records import RunConfig
from embudget.study.run_times import RunTime, RunTimes
from embudget.study.schedule import GROWTH, expected_seconds, longest_first, tells
from embudget.study.store import Store
from embudget.study.trunks import Task, tasks

LOOK_SECONDS = 10.0
"""Time between two looks at what was measured, at least."""


class LongestFirst:
    """Orders runs, and tells the queue of their store what is expected of them.

    Args:
        store: has the queue and what was measured.
        flops_per_second: assumed as long as nothing was.
    """

    def __init__(self, store: Store, flops_per_second: float) -> None:
        self._queue, self._progress = store.queue(), store.progress()
        self._flops_per_second = flops_per_second
        self._measured = 0
        self._next_look = time.monotonic() + LOOK_SECONDS

    def seconds(self, runs: Sequence[RunConfig]) -> dict[str, float]:
        """What each run is expected to take now, by its id: by measured runs, once there is one of every member."""
        return self._seconds(runs, self._progress.times())

    def again(self, waiting: Iterable[RunConfig]) -> list[Task] | None:
        """The tasks of these runs in their order by now, which the queue is told; None where nothing new is known."""
        now = time.monotonic()
        if now < self._next_look:
            return None
        self._next_look = now + LOOK_SECONDS
        times = self._progress.times()
        runs = list(waiting)
        if not runs or len(times) < GROWTH * max(1, self._measured) or not tells(times, runs):
            return None
        seconds = self._seconds(runs, times)
        self._queue.expect(runs, seconds)
        return tasks(longest_first(runs, seconds))

    def _seconds(self, runs: Sequence[RunConfig], times: Sequence[RunTime]) -> dict[str, float]:
        self._measured = len(times)
        return expected_seconds(runs, RunTimes(times if tells(times, runs) else (), self._flops_per_second))
