"""In which order are tasks handed out, and when will all have ended? By a schedule that is played through.

A task is expected to take

    seconds = (own FLOP of its runs) * (seconds a FLOP) + (runs) * (seconds beside training)

by `embudget.study.run_times`. The longest comes first, and whoever is free takes it: such a schedule never takes more
than 4/3 of the shortest there is (Graham 1969). A task is not divided, since its runs share a trunk, which one worker
trains. Among tasks that are expected to take as long, as at first all of one budget are, those come first whose members
and methods were had least often: after a tenth of the work the time that is left is then known for most of them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from heapq import heapify, heapreplace
from itertools import groupby
from typing import NamedTuple, Self

from embudget.study.run_times import RunTimes, StepKind
from embudget.study.trunks import Task, own_flops

_TIE = 1e-9
"""Relative difference by which equal tasks are put in their order."""


class Workload(NamedTuple):
    """A task, or what is left of one, as a schedule sees it."""

    kind: StepKind
    train_flops: float
    """Algorithmic FLOP to be spent: what runs of a trunk share counts once."""
    runs: int

    @classmethod
    def of(cls, task: Task) -> Self:
        """The whole of a task."""
        own = own_flops([run.train_flops for run in task], task[0].decay)
        return cls(StepKind.of(task[0]), sum(own), len(task))

    def seconds(self, times: RunTimes) -> float:
        """What it is expected to take."""
        return self.train_flops * times.seconds_per_flop(self.kind) + self.runs * times.beside(self.kind.model)


class Busy(NamedTuple):
    """A worker, and when it is free."""

    seconds: float
    """Until its task has ended; 0 if it waits for one."""
    slowness: float = 1.0
    """How many times as long as the usual worker it takes."""


def expected_seconds(tasks: Sequence[Task], times: RunTimes) -> list[float]:
    """Seconds of each task, in the tasks' order; no two are equal, so that their order is that of being handed out.

    Example:
        >>> from embudget.study.trunks import tasks
        >>> waiting = tasks(study.configs(pairs))
        >>> seconds = expected_seconds(waiting, RunTimes([], study.flops_per_second))
    """
    works = [Workload.of(task) for task in tasks]
    seconds = [work.seconds(times) for work in works]
    longest_first = sorted(range(len(tasks)), key=lambda index: (-seconds[index], tasks[index][0].id))
    had: Counter[str] = Counter()
    place = 0
    for _, group in groupby(longest_first, key=lambda index: round(-seconds[index], 9)):
        by_kind: dict[StepKind, list[int]] = defaultdict(list)
        for index in group:
            by_kind[works[index].kind].append(index)
        while by_kind:
            # a member tells more of the time that is left than a method does
            kind = min(by_kind, key=lambda kind: (had[kind.model], had[kind.method], kind))
            index = by_kind[kind].pop(0)
            if not by_kind[kind]:
                del by_kind[kind]
            had[kind.model] += 1
            had[kind.method] += 1
            seconds[index] *= 1 - _TIE * place
            place += 1
    return seconds


def time_left(waiting: Iterable[float], busy: Sequence[Busy]) -> float | None:
    """Seconds until the last task has ended; None where nobody is there to train what waits.

    Args:
        waiting: seconds of each task that waits, for a usual worker, in the order in which they are handed out.
        busy: the workers that are there.

    Example:
        >>> time_left([30.0, 20.0, 10.0], [Busy(5.0), Busy(0.0)])
        35.0
    """
    tasks = list(waiting)
    if not busy:
        return None if tasks else 0.0
    free = list(busy)
    heapify(free)
    for seconds in tasks:
        first = free[0]
        heapreplace(free, Busy(first.seconds + seconds * first.slowness, first.slowness))
    return max(worker.seconds for worker in free)
