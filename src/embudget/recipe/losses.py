"""What the laws predict for options: the one place where a recipe asks for losses.

The prediction is the geometric mean of the bootstrap draws, as `Laws.predict` has it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from embudget.laws import Laws
from embudget.laws.surface import Kind
from embudget.recipe.options import Option

Array = NDArray[np.float64]


def losses_of(laws: Laws, options: Sequence[Option]) -> Array:
    """The loss of every option by each bootstrap draw (draws, options), nats; the draws of a row belong together."""
    return laws.surface.drawn(*_places(options))


def predicted(losses: Array) -> Array:
    """The predicted loss of each option (options,), nats, from the draws' (draws, options)."""
    means: Array = np.exp(np.log(losses).mean(axis=0))
    return means


def intervals_of(laws: Laws, options: Sequence[Option], level: float, of: Kind) -> list[tuple[float, float]]:
    """Of the measured loss of a new run of every option, or of its loss itself; nats."""
    low, high = laws.surface.intervals(*_places(options), level, of)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _places(options: Sequence[Option]) -> tuple[list[str], Array, Array]:
    """The options' methods, N and D."""
    sizes = np.array([option.candidate.model_params for option in options], dtype=float)
    return [option.candidate.name for option in options], sizes, np.array([option.tokens for option in options])
