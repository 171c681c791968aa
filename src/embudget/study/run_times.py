"""How long do runs take, by what was measured of some? For the order of a study's runs, and for the time it has left.

The log of a run's seconds a FLOP is taken to be a sum,

    log(seconds a FLOP) = rule + all + width + depth + batch + member + method + kind + device + noise

of what a rule says and of deviations from it: of all runs, along a model's width, its depth and the batch, of a member,
a method, the two together (`StepKind`), and a device. Each is a draw from a normal distribution whose width is assumed
beforehand, so that a single run moves what is expected of its own kind almost to what it took, its member's and its
method's other kinds part of the way, and every other kind as far as they have to do with it. That is the best linear
unbiased prediction of a mixed model (Henderson 1975, Biometrics 31, 423). Its estimate depends little on the widths:
they say how fast measurements outweigh the rule.

The rule is a probe's (`embudget.speed`) where there is one, else the FLOP that the hardware executes, padding included.
We do not fit the rule of `embudget.speed` to runs: on records of a loaded machine, whose runs of one kind differ by up
to 2.5 times, its five coefficients follow the noise, and members not measured yet were off by a factor of 3 and more.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from statistics import median
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from embudget.flops import Passes, executed_flops, train_flops
from embudget.methods import Method, kind_of, parse_method
from embudget.records import RunConfig
from embudget.speed import Speeds, Step
from embudget.suite import ModelShape, known_shape

TOKENS_PER_PAIR = 60.0
"""assumption: tokens of a pair before any is counted. Only how a step's parts compare hangs on it."""
NOISE = 0.15
"""assumption: standard deviation of the log of what runs of one kind take on one device."""
FEW = 2.0
"""assumption: a worker's own speed counts half after so many of its runs; before, it counts as fast as the others."""
MOST_KINDS = 600
"""The kinds with most runs that the prediction goes by; more would take it seconds."""

WITHOUT_PROBE = {
    "all": 3.0, "width": 0.4, "depth": 0.15, "batch": 0.1, "member": 0.2, "way": 0.15, "method": 0.1, "kind": 0.1,
    "device": 1.5,
}  # fmt: skip
"""assumption: standard deviations of the deviations; those of width, depth and batch a factor of e. In the built-in
studies seconds a FLOP of micro-200k, of width 64, are 4 times those of micro-3m, of width 256."""
WITH_PROBE = {
    "all": 0.5, "width": 0.05, "depth": 0.05, "batch": 0.1, "member": 0.1, "way": 0.1, "method": 0.05, "kind": 0.1,
    "device": 1.5,
}  # fmt: skip
"""assumption: the same, where a probe has timed the width, the depth and the methods."""


class StepKind(NamedTuple):
    """What decides how long a FLOP takes; runs alike in it differ in budget, rate and seed only."""

    model: str
    method: str
    batch_size: int
    max_length: int
    negatives: int
    precision: str

    @classmethod
    def of(cls, config: RunConfig) -> Self:
        """The kind of a run."""
        return cls(*(getattr(config, name) for name in cls._fields))


class RunTime(NamedTuple):
    """What a run took, or takes by its pace."""

    kind: StepKind
    seconds_per_flop: float
    """Seconds of training for each FLOP."""
    beside: float | None = None
    """Seconds that it was loaded and measured for; None where that is not known."""
    tokens_per_pair: float | None = None
    device: str = ""
    """The device's name; empty where it is not known, which counts as the one that most runs are of."""
    worker: str = ""


class RunTimes:
    """What runs are expected to take, on the device that most of the measured ones were trained on.

    Args:
        times: what was measured.
        flops_per_second: assumed as long as nothing was.
        probed: a probe's rule for the machine that the runs are for.

    Example:
        >>> kind = StepKind("smollm2-135m:8", "full", 16, 75, 0, "float32")
        >>> round(RunTimes([RunTime(kind, 2e-11)], 4e10).seconds_per_flop(kind), 13)
        2e-11
    """

    def __init__(self, times: Sequence[RunTime], flops_per_second: float, probed: Speeds | None = None) -> None:
        counted = [time.tokens_per_pair for time in times if time.tokens_per_pair is not None]
        self._tokens_per_pair = median(counted) if counted else TOKENS_PER_PAIR
        # an assumption that is wrong by orders of magnitude would weigh on what one or two runs say
        self._assumed = median(time.seconds_per_flop for time in times) if times else 1 / flops_per_second
        self._probed = probed
        self._device = _most_frequent(time.device for time in times if time.device)
        self._beside = _Beside(times)
        self._seen: dict[StepKind, float] = {}
        grouped: dict[tuple[StepKind, str], list[float]] = defaultdict(list)
        for time in times:
            grouped[time.kind, time.device or self._device].append(time.seconds_per_flop)
        most = sorted(grouped, key=lambda group: len(grouped[group]), reverse=True)[:MOST_KINDS]
        self._rows = [_Row.of(kind, device) for kind, device in most]
        self._weights: NDArray[np.float64] | None = None
        if most:
            logs = np.array([math.log(median(grouped[group])) - self._rule(group[0]) for group in most])
            noise = np.array([NOISE**2 / len(grouped[group]) for group in most])
            self._weights = np.linalg.solve(self._covariance(self._rows) + np.diag(noise), logs)
        self._slowness = self._of_workers(times)

    def seconds_per_flop(self, kind: StepKind) -> float:
        """Seconds that an algorithmic FLOP of training takes."""
        if kind not in self._seen:
            log = self._rule(kind)
            if self._weights is not None:
                log += float((self._covariance([_Row.of(kind, self._device)]) @ self._weights)[0])
            self._seen[kind] = math.exp(log)
        return self._seen[kind]

    def beside(self, model: str) -> float:
        """Seconds that a run takes beside its training, to be loaded and measured; 0 as long as none was measured."""
        return self._beside.seconds(model)

    def slowness(self, worker: str) -> float:
        """How many times as long as the usual worker one takes; 1 as long as it has done nothing."""
        return self._slowness.get(worker, 1.0)

    def _rule(self, kind: StepKind) -> float:
        """The log of what the rule says, without any run."""
        parts = _parts(kind.model, kind.method)
        if parts is None:
            return math.log(self._assumed)
        step = Step(parts[0], parts[1], kind.batch_size * self._tokens_per_pair)
        if self._probed is not None:
            return math.log(self._probed.seconds_per_flop(step))
        return math.log(self._assumed) + _executed(step)

    def _covariance(self, rows: "Sequence[_Row]") -> NDArray[np.float64]:
        """How the deviations of these rows go with those of the measured ones, [rows, measured]."""
        width = WITHOUT_PROBE if self._probed is None else WITH_PROBE
        found = np.full((len(rows), len(self._rows)), width["all"] ** 2)
        for name in ("width", "depth", "batch"):
            one, other = (np.array([getattr(row, name) for row in which]) for which in (rows, self._rows))
            found += width[name] ** 2 * np.outer(one, other)
        for name in ("member", "way", "method", "kind", "device"):
            codes: dict[Any, int] = {}
            one, other = (
                np.array([codes.setdefault(getattr(row, name), len(codes)) for row in which])
                for which in (rows, self._rows)
            )
            found += width[name] ** 2 * (one[:, None] == other[None, :])
        return found

    def _of_workers(self, times: Sequence[RunTime]) -> dict[str, float]:
        logs: dict[str, list[float]] = defaultdict(list)
        for time in times:
            if time.worker:
                logs[time.worker].append(math.log(time.seconds_per_flop / self.seconds_per_flop(time.kind)))
        return {worker: math.exp(sum(found) / (len(found) + FEW)) for worker, found in logs.items()}


class _Row(NamedTuple):
    """What the deviations of a kind on a device hang on."""

    width: float
    depth: float
    batch: float
    member: str
    way: str
    method: str
    kind: StepKind
    device: str

    @classmethod
    def of(cls, kind: StepKind, device: str) -> Self:
        parts = _parts(kind.model, kind.method)
        width, depth = (0.0, 0.0) if parts is None else (math.log(parts[0].hidden / 512), math.log(parts[0].layers / 8))
        way = kind_of(kind.method)
        return cls(width, depth, math.log(kind.batch_size / 32), kind.model, way, kind.method, kind, device)


class _Beside:
    """Seconds beside training: a line in a model's parameters, since loading and embedding go with them."""

    def __init__(self, times: Sequence[RunTime]) -> None:
        found: dict[str, list[float]] = defaultdict(list)
        for time in times:
            if time.beside is not None:
                found[time.kind.model].append(time.beside)
        self._own = {model: median(seconds) for model, seconds in found.items()}
        sized = [(size, seconds) for model, seconds in self._own.items() if (size := _size(model))]
        self._start = median(self._own.values()) if found else 0.0
        self._slope = 0.0
        if len({size for size, _ in sized}) > 1:
            from scipy.optimize import nnls

            sizes, seconds = np.array(sized).T
            terms = np.stack([np.ones_like(sizes), sizes / sizes.max()], axis=1)
            (start, slope), _ = nnls(terms / seconds[:, None], np.ones_like(seconds))  # least relative errors
            self._start, self._slope = float(start), float(slope / sizes.max())

    def seconds(self, model: str) -> float:
        own = self._own.get(model)
        return self._start + self._slope * (_size(model) or 0.0) if own is None else own


def _most_frequent(names: Iterable[str]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for name in names:
        counts[name] += 1
    return max(counts, key=lambda name: (counts[name], name), default="")


@cache
def _parts(model: str, method: str) -> tuple[ModelShape, Method] | None:
    """The shape and the method; None where the shape is not known here, as of a folder on another machine."""
    shape = known_shape(model)
    return None if shape is None else (shape, parse_method(method))


def _size(model: str) -> float | None:
    parts = _parts(model, "full")
    return None if parts is None else float(parts[0].model_params + parts[0].embedding_params)


def _executed(step: Step) -> float:
    """The log of executed over algorithmic FLOP of a step."""
    whole = math.ceil(step.tokens)
    passes = Passes(prefix_tokens=whole, forward_tokens=whole, backward_tokens=whole)
    return math.log(executed_flops(step.method, step.shape, passes) / train_flops(step.method, step.shape, step.tokens))
