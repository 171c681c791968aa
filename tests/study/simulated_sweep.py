"""A sweep played in simulated time, on workers whose speeds are made up: what it takes, and what is told of it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from embudget.methods import parse_method
from embudget.records import RunConfig
from embudget.study.run_times import RunTime, RunTimes, StepKind
from embudget.study.schedule import GROWTH, Busy, expected_seconds, longest_first, tells, time_left
from embudget.study.trunks import Task, own_flops, tasks
from embudget.suite import find_shape

PEAK = 1e11
"""FLOP/s that wide models reach."""


class Machine:
    """A machine on which narrow models idle, members and methods have speeds of their own, and runs differ.

    Args:
        seed: of the speeds.
        spread: standard deviation of the log of a member's and a method's own speed.
        noise: the same of a run.
    """

    def __init__(self, seed: int, spread: float, noise: float) -> None:
        self._rng = np.random.default_rng(seed)
        self._spread, self._noise = spread, noise
        self._own: dict[str, float] = {}

    def seconds(self, config: RunConfig) -> tuple[float, float]:
        """Seconds a FLOP, and beside training."""
        shape, method = find_shape(config.model), parse_method(config.method)
        own = [self._own.setdefault(name, self._draw(self._spread)) for name in (config.model, config.method)]
        a_flop = math.prod(own) * self._draw(self._noise) * (1 + 300 / shape.hidden) / PEAK
        if method.backward_layers(shape) < shape.layers:
            a_flop *= 1.15
        beside = (1.0 + (shape.model_params + shape.embedding_params) / 5e7) * self._draw(self._noise)
        return a_flop, beside

    def _draw(self, width: float) -> float:
        return math.exp(width * self._rng.standard_normal())


class Part(NamedTuple):
    """A run as a worker did it."""

    config: RunConfig
    flops: float
    start: float
    training: float
    end: float
    worker: int

    @property
    def took(self) -> RunTime:
        """As a store tells it."""
        beside = self.end - self.start - self.training
        return RunTime(StepKind.of(self.config), self.training / self.flops, beside, 60.0, "", str(self.worker))


class Played(NamedTuple):
    """All that happened."""

    parts: list[Part]
    tasks: list[Task]
    workers: int

    @property
    def ends(self) -> float:
        """When the last run had its record."""
        return max(part.end for part in self.parts)

    def after(self, share: float) -> float:
        """The time at which this share of the work was done."""
        start, end = (np.array([getattr(part, name) for part in self.parts]) for name in ("start", "end"))
        times = np.linspace(0, self.ends, 2001)
        done = [float(np.clip(now - start, 0, end - start).sum()) for now in times]
        return float(times[int(np.searchsorted(done, share * float((end - start).sum())))])


def play(
    study: Sequence[Task], machine: Machine, workers: int, flops_per_second: float, slowness: Sequence[float] = ()
) -> Played:
    """Train all tasks; the order of those that wait follows what was measured meanwhile, as a sweep does it."""

    def ordered(waiting: Sequence[Task], times: Sequence[RunTime]) -> list[Task]:
        runs = [run for task in waiting for run in task]
        return tasks(longest_first(runs, expected_seconds(runs, RunTimes(times, flops_per_second))))

    parts: list[Part] = []
    waiting, measured = ordered(study, ()), 0
    free = [0.0] * workers
    while waiting:
        worker = int(np.argmin(free))
        now, slower = free[worker], slowness[worker] if slowness else 1.0
        times = [part.took for part in parts if part.end <= now]
        if len(times) >= GROWTH * max(1, measured) and tells(times, (task[0] for task in waiting)):
            waiting, measured = ordered(waiting, times), len(times)
        task = waiting.pop(0)
        for config, flops in zip(task, _own(task), strict=True):
            a_flop, beside = machine.seconds(config)
            training = slower * a_flop * flops
            end = free[worker] + training + slower * beside
            parts.append(Part(config, flops, free[worker], training, end, worker))
            free[worker] = end
    return Played(parts, list(study), workers)


def estimate(sweep: Played, now: float, flops_per_second: float) -> float:
    """The time left as it is told at this time, from what a store knows then."""
    done = {part.config.id: part for part in sweep.parts if part.end <= now}
    under_way = {part.config.id: part for part in sweep.parts if part.start <= now < part.end}
    paces = [part.took._replace(beside=None) for part in under_way.values() if part.start < now]
    known = RunTimes([part.took for part in done.values()] + paces, flops_per_second)
    busy, waiting = {}, []
    for task in sweep.tasks:
        runs = [(run, flops) for run, flops in zip(task, _own(task), strict=True) if run.id not in done]
        if not runs:
            continue
        mine = under_way.get(runs[0][0].id)
        later = runs if mine is None else runs[1:]
        kind = StepKind.of(task[0])
        rest = sum(flops for _, flops in later) * known.seconds_per_flop(kind) + len(later) * known.beside(kind.model)
        if mine is None:
            waiting.append(rest)
            continue
        slower = known.slowness(str(mine.worker))
        training = max(0.0, mine.start + mine.training - now)
        busy[mine.worker] = Busy(training + slower * (known.beside(kind.model) / 2 + rest), slower)
    everyone = [busy.get(worker, Busy(0.0, known.slowness(str(worker)))) for worker in range(sweep.workers)]
    left = time_left(sorted(waiting, reverse=True), everyone)
    assert left is not None
    return left


def _own(task: Task) -> list[float]:
    return own_flops([run.train_flops for run in task], task[0].decay)
