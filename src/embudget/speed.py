"""How long does a step take? A rule between the steps that were timed, for the members and methods that were not.

    seconds of a step = a + b (launches) + e (trained parameters) + (1/P) (1 + g/h) (executed FLOP)      a, b, e, g >= 0

a is paid once a step, b for each block that a chunk goes through there and back, e for the optimiser's pass over what
trains. P is the throughput that large matrices reach; a hidden size h comes short of it by 1 + g/h, since smaller
matrices leave more of the hardware idle. The coefficients minimise the squared relative errors. None is negative, and P
is at most FASTER times the highest throughput of a timed step, so that the rule stays sensible beyond the sizes it was
fitted to: steps that were all slowed by something else would leave P to chance, up to a whole model that takes no
longer than its first block. What the rule leaves unexplained of a member and method that were timed is multiplied on;
for others, what it leaves of the same method in models as wide, or else of the same kind of method.

It serves the probe of a machine (`embudget.spending.probe`) and the records of a study (`embudget recipe --hours`)
alike.
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

FASTER = 4.0
"""Assumption: how many times the highest throughput of a timed step the largest matrices may reach. In the built-in
studies members and methods differ by a factor of 4 (micro) and 9 (smollm2)."""


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
        terms = np.array([_terms(one.step) for one in self.timed])
        seconds = np.array([one.seconds for one in self.timed])
        self.coefficients: Array = _fitted(terms, seconds, len({_key(one.step) for one in self.timed}))
        self._rest = np.log(seconds / (terms @ self.coefficients)).tolist()

    def step_seconds(self, step: Step) -> float:
        """Seconds of a step."""
        return self._rule(step) * exp(self.unexplained(step))

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
        return float(_terms(step) @ self.coefficients)

    def unexplained(self, step: Step) -> float:
        """Mean log of measured over rule, of the timed steps most like this one; the tokens of it do not matter."""
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


def _fitted(terms: Array, seconds: Array, different: int) -> Array:
    """The coefficients of least squared relative error; no more of them than different steps, the first first.

    The first, which is 1/P, is at least what FASTER allows, and the others are not negative.
    """
    from scipy.optimize import nnls

    rows = terms / seconds[:, None]
    used = min(different, rows.shape[1])
    least = 1 / (FASTER * rows[:, 0].max())
    scale = np.maximum(rows.max(axis=0), 1e-300)  # the terms differ by ten orders of magnitude
    found, _ = nnls((rows / scale)[:, :used], 1 - least * rows[:, 0])
    coefficients: Array = np.concatenate([found, np.zeros(rows.shape[1] - used)]) / scale
    coefficients[0] += least
    return coefficients
