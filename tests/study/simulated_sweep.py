"""A sweep played in simulated time: workers take the longest task first, and what each run takes is made up or was
measured once."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from embudget.records import RunConfig
from embudget.study.run_times import RunTime, RunTimes, StepKind
from embudget.study.schedule import Busy, Workload, expected_seconds, time_left
from embudget.study.trunks import Task, own_flops

Truth = Callable[[RunConfig], tuple[float, float]]
"""Seconds a FLOP of a run's own part of its trunk, and seconds beside its training."""


class Part(NamedTuple):
    """A run as a worker does it."""

    config: RunConfig
    flops: float
    start: float
    training: float
    end: float
    worker: int


class Sweep(NamedTuple):
    """All that happened."""

    parts: list[Part]
    tasks: list[Task]
    workers: int

    @property
    def ends(self) -> float:
        return max(part.end for part in self.parts)

    def after(self, share: float) -> float:
        """The time at which this share of the work was done."""
        total = sum(part.end - part.start for part in self.parts)
        times = np.linspace(0, self.ends, 2001)
        done = [sum(min(part.end, now) - part.start for part in self.parts if part.start < now) for now in times]
        return float(times[int(np.searchsorted(done, share * total))])


def play(
    tasks: Sequence[Task], truth: Truth, workers: int, flops_per_second: float, slowness: Sequence[float] = ()
) -> Sweep:
    """Train all tasks on so many workers; the order of those that wait follows what was measured meanwhile."""
    left = ordered(tasks, RunTimes([], flops_per_second))
    free, parts, next_look = [0.0] * workers, [], 1.0
    while left:
        worker = int(np.argmin(free))
        now, slower = free[worker], slowness[worker] if slowness else 1.0
        times = [_took(part) for part in parts if part.end <= now]
        if len(times) >= next_look and covers(times, left):
            next_look = 1.3 * len(times)
            left = ordered(left, RunTimes(times, flops_per_second))
        task = left.pop(0)
        own = own_flops([run.train_flops for run in task], task[0].decay)
        for config, flops in zip(task, own, strict=True):
            a_flop, beside = truth(config)
            training = slower * a_flop * flops
            end = now + training + slower * beside
            parts.append(Part(config, flops, now, training, end, worker))
            now = end
        free[worker] = now
    return Sweep(parts, list(tasks), workers)


def ordered(tasks: Sequence[Task], times: RunTimes) -> list[Task]:
    seconds = expected_seconds(tasks, times)
    return [tasks[index] for index in sorted(range(len(tasks)), key=seconds.__getitem__, reverse=True)]

def covers(times, left):
    return {t[0].model for t in left} <= {t.kind.model for t in times}

def _took(part: Part, device: str = "") -> RunTime:
    beside = part.end - part.start - part.training
    return RunTime(StepKind.of(part.config), part.training / part.flops, beside, 60.0, device, str(part.worker))


def estimate(sweep: Sweep, now: float, flops_per_second: float, devices: Sequence[str] = ()) -> float:
    """The time left as it is told at this time, from what a store knows then."""
    device = {worker: devices[worker] if devices else "" for worker in range(sweep.workers)}
    done = {part.config: part for part in sweep.parts if part.end <= now}
    under_way = {part.worker: part for part in sweep.parts if part.start <= now < part.end}
    times = [_took(part, device[part.worker]) for part in done.values()]
    # the pace of a run under way is known from its first steps on
    paces = [
        RunTime(StepKind.of(part.config), part.training / part.flops, None, None, device[part.worker], str(worker))
        for worker, part in under_way.items()
        if now > part.start
    ]
    known = RunTimes(times + paces, flops_per_second)
    busy, waiting = {}, []
    for task in sweep.tasks:
        rest = tuple(run for run in task if run not in done)
        if not rest:
            continue
        worker = next((worker for worker, part in under_way.items() if part.config == rest[0]), None)
        if worker is None:
            waiting.append(Workload.of(rest).seconds(known))
            continue
        part = under_way[worker]
        slower = known.slowness(str(worker))
        beside = known.beside(part.config.model) * slower
        mine = max(0.0, part.start + part.training - now) + min(beside, max(0.0, part.start + part.training + beside - now))
        own = own_flops([run.train_flops for run in task], task[0].decay)
        later = [run for run in task if run not in done and run != part.config]
        flops = sum(flops for run, flops in zip(task, own, strict=True) if run in later)
        mine += slower * Workload(StepKind.of(part.config), flops, len(later)).seconds(known)
        busy[worker] = Busy(mine, slower)
    everyone = [busy.get(worker, Busy(0.0, known.slowness(str(worker)))) for worker in range(sweep.workers)]
    left = time_left(sorted(waiting, reverse=True), everyone)
    assert left is not None
    return left


def made_up(rng: np.random.Generator, peak: float, spread: float, noise: float) -> Truth:
    """A machine whose small models idle, whose members and methods each have their own speed, and whose runs differ."""
    from embudget.methods import parse_method
    from embudget.suite import find_shape

    kinds: dict[tuple[str, str], float] = {}

    def truth(config: RunConfig) -> tuple[float, float]:
        shape, method = find_shape(config.model), parse_method(config.method)
        own = kinds.setdefault((config.model, config.method), math.exp(spread * rng.standard_normal()))
        a_flop = own * math.exp(noise * rng.standard_normal()) * (1 + 300 / shape.hidden) / peak
        if not method.backward_layers(shape) == shape.layers:
            a_flop *= 1.15
        beside = 1.0 + (shape.model_params + shape.embedding_params) / 5e7
        return a_flop, beside * math.exp(noise * rng.standard_normal())

    return truth
