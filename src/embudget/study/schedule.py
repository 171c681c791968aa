"""In which order are tasks handed out, and when will all have ended? By a schedule that is played through.

A run is expected to take

    seconds = (own FLOP) * (seconds a FLOP) + (seconds beside training)

by `embudget.study.run_times`. The task that takes longest comes first, and whoever is free takes it: such a schedule
never takes more than 4/3 of the shortest there is (Graham 1969). A task is not divided, since its runs share a trunk,
which one worker trains.

Among tasks that are expected to take as long, as at first all of one budget are, those come first whose members and
methods were had least often. So the time left is known after a tenth of the work. For the same reason measurements
change the order only once every member has been measured: an order by the first few would have the slowest members come
first, of which alone, on studies played through, the time left was overestimated by half.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heapreplace
from itertools import groupby
from typing import NamedTuple

from embudget.records import RunConfig
from embudget.study.run_times import RunTime, RunTimes, StepKind
from embudget.study.trunks import own_flops, tasks

GROWTH = 1.3
"""The order is looked at again when so many times as many runs have been measured."""
_TIE = 1e-9
"""Relative difference by which equal tasks are put in their order."""


class Busy(NamedTuple):
    """A worker, and when it is free."""

    seconds: float
    """Until its task has ended; 0 if it waits for one."""
    slowness: float = 1.0
    """How many times as long as the usual worker it takes."""


def expected_seconds(configs: Sequence[RunConfig], times: RunTimes) -> dict[str, float]:
    """Seconds of each run, by its id; of tasks that would take as long, the one to be handed out first takes longer.

    Example:
        >>> seconds = expected_seconds(study.configs(pairs), RunTimes([], study.flops_per_second))
    """
    waiting = tasks(configs)
    kinds = [StepKind.of(task[0]) for task in waiting]
    each: list[list[float]] = []
    for task, kind in zip(waiting, kinds, strict=True):
        own = own_flops([run.train_flops for run in task], task[0].decay)
        a_flop, beside = times.seconds_per_flop(kind), times.beside(kind.model)
        each.append([flops * a_flop + beside for flops in own])
    longest_first = sorted(range(len(waiting)), key=lambda index: (-sum(each[index]), waiting[index][0].id))
    had: Counter[str] = Counter()
    place = 0
    for _, group in groupby(longest_first, key=lambda index: f"{sum(each[index]):.9g}"):
        by_kind: dict[StepKind, list[int]] = defaultdict(list)
        for index in reversed(list(group)):
            by_kind[kinds[index]].append(index)
        while by_kind:
            # a member tells more of the time that is left than a method does
            kind = min(by_kind, key=lambda kind: (had[kind.model], had[kind.method], kind))
            index = by_kind[kind].pop()
            if not by_kind[kind]:
                del by_kind[kind]
            had[kind.model] += 1
            had[kind.method] += 1
            each[index] = [seconds * (1 - _TIE * place) for seconds in each[index]]
            place += 1
    return {
        run.id: seconds for task, its in zip(waiting, each, strict=True) for run, seconds in zip(task, its, strict=True)
    }


def longest_first(configs: Sequence[RunConfig], seconds: Mapping[str, float]) -> list[RunConfig]:
    """The runs in the order in which their tasks are handed out."""
    order = sorted(tasks(configs), key=lambda task: sum(seconds[run.id] for run in task), reverse=True)
    return [run for task in order for run in task]


def tells(times: Iterable[RunTime], configs: Iterable[RunConfig]) -> bool:
    """Whether what was measured says enough of these runs to order them by it: every member has been measured."""
    return {config.model for config in configs} <= {time.kind.model for time in times}


def time_left(waiting: Iterable[float], busy: Sequence[Busy]) -> float | None:
    """Seconds until the last task has ended; None where nobody is there to train what waits.

    Args:
        waiting: seconds of each task that waits, for a usual worker, in the order in which they are handed out.
        busy: the workers that are there.

    Example:
        >>> time_left([30.0, 20.0, 10.0], [Busy(5.0), Busy(0.0)])
        35.0
    """
    to_come = list(waiting)
    if not busy:
        return None if to_come else 0.0
    free = list(busy)
    heapify(free)
    for seconds in to_come:
        first = free[0]
        heapreplace(free, Busy(first.seconds + seconds * first.slowness, first.slowness))
    return max(worker.seconds for worker in free)
