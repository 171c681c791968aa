"""How long does a step take? A rule between the steps that were timed, for the members and methods that were not.

    seconds of a step = a + b (launches) + e (trained parameters) + (1/P) (1 + g/h) (executed FLOP)      a, b, e, g >= 0

a is paid once a step, b for each block that a chunk goes through there and back, e for the optimiser's pass over what
trains. P is the throughput that large matrices reach; a hidden size h comes short of it by 1 + g/h, since smaller
matrices leave more of the hardware idle. The coefficients minimise the squared relative errors; none is negative, so
that the rule stays sensible beyond the sizes it was fitted to. What it leaves unexplained of a member and method that
were timed, or else of the same kind of method, is multiplied on.

It serves the probe of a machine (`embudget.spend.probe`) and the records of a study (`embudget recipe --hours`) alike.
"""

from collections.abc import Sequence
from functools import cached_property
from math import ceil, exp, log
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from embudget.flops import Passes, executed_flops, train_flops
from embudget.memory import CHUNK_TOKENS
from embudget.methods import Method
from embudget.suite.shapes import ModelShape

Array = NDArray[np.float64]


class Step(NamedTuple):
    """A training step: what it trains, on how many tokens."""

    shape: ModelShape
    method: Method
    tokens: float
    """Non-pad tokens of all its texts."""

    @property
    def train_flops(self) -> float:
        """Algorithmic FLOP."""
        return train_flops(self.method, self.shape, self.tokens)


class TimedStep(NamedTuple):
    """A step and how long it took."""

    step: Step
    seconds: float


class Speeds:
    """The fitted rule.

    Args:
        timed: one step or more that were timed under the same conditions: device, precision and threads.

    Example:
        >>> from embudget.methods import parse_method
        >>> shape, full = find_shape("smollm2-135m:2"), parse_method("full")
        >>> speeds = Speeds([TimedStep(Step(shape, full, 880), 0.5)])
        >>> round(speeds.step_seconds(Step(shape, full, 880)), 3)
        0.5
    """

    def __init__(self, timed: Sequence[TimedStep]) -> None:
        assert timed, "a rule needs a step that was timed"
        self.timed = tuple(timed)
        self._coefficients = _fitted(self.timed)
        self._rest = [log(one.seconds / self._rule(one.step)) for one in self.timed]

    def step_seconds(self, step: Step) -> float:
        """Seconds of a step."""
        return self._rule(step) * exp(self._unexplained(step))

    def seconds_per_flop(self, step: Step) -> float:
        """Seconds that an algorithmic FLOP of such steps takes."""
        return self.step_seconds(step) / step.train_flops

    @cached_property
    def error(self) -> float | None:
        """Relative error of the rule where it has not timed a step; None from fewer than three different ones.

        The root mean square over the timed steps of what the rule says of each without it.
        """
        different = list(dict.fromkeys(_key(one.step) for one in self.timed))
        if len(different) < 3:
            return None
        squares = []
        for key in different:
            rest = Speeds([one for one in self.timed if _key(one.step) != key])
            squares += [
                log(rest.step_seconds(one.step) / one.seconds) ** 2 for one in self.timed if _key(one.step) == key
            ]
        return exp(float(np.mean(squares)) ** 0.5) - 1

    @classmethod
    def joined(cls, every: "Sequence[Speeds]") -> Self:
        """The rule of all steps together."""
        return cls([one for speeds in every for one in speeds.timed])

    def _rule(self, step: Step) -> float:
        return float(_terms(step) @ self._coefficients)

    def _unexplained(self, step: Step) -> float:
        """Mean log of measured over rule, of the timed steps most like this one."""
        method, wide = str(step.method), step.shape.hidden
        likes = (
            lambda one: (one.shape.name, str(one.method)) == (step.shape.name, method),
            lambda one: str(one.method) == method and one.shape.hidden == wide,
            lambda one: one.method.name == step.method.name,
        )
        for like in likes:
            if found := [rest for one, rest in zip(self.timed, self._rest, strict=True) if like(one.step)]:
                return float(np.mean(found))
        return float(np.mean(self._rest))


def _key(step: Step) -> tuple[str, str]:
    return step.shape.name, str(step.method)


def _terms(step: Step) -> Array:
    """What a step is made of, one number for each coefficient."""
    shape, method, tokens = step
    whole = ceil(tokens)
    work = executed_flops(method, shape, Passes(prefix_tokens=whole, forward_tokens=whole, backward_tokens=whole))
    passed = shape.layers + 2 * method.backward_layers(shape)
    chunks = max(1.0, tokens / CHUNK_TOKENS)
    return np.array([work, 1.0, chunks * passed, work / shape.hidden, method.trained_params(shape)])


def _fitted(timed: Sequence[TimedStep]) -> Array:
    """The coefficients of least squared relative error, none negative; no more of them than steps, the first first."""
    from scipy.optimize import nnls

    rows = np.array([_terms(one.step) / one.seconds for one in timed])
    used = min(len({_key(one.step) for one in timed}), rows.shape[1])
    scale = np.maximum(rows.max(axis=0), 1e-300)  # the terms differ by ten orders of magnitude
    found, _ = nnls((rows / scale)[:, :used], np.ones(len(rows)))
    coefficients: Array = np.concatenate([found, np.zeros(rows.shape[1] - used)]) / scale
    return coefficients
