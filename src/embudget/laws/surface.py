"""The parametric law L(N, D) = E + A / N^a + B / D^b (Hoffmann et al. 2022, approach 3), for several methods at once.

N is the model's parameters without embeddings, D the tokens processed. Each method has its own A and B; E, a and b are
shared by the methods or not (`embudget.laws.joint`): 3 + 2M parameters for M methods, or 5M. Where Hoffmann et al.
search all five parameters from a grid of starts, only a and b are searched here (`embudget.laws.varpro`).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field

from embudget.laws.joint import Grid, Parameters, fit_jointly
from embudget.laws.law import Law
from embudget.laws.parameters import Coefficients
from embudget.laws.table import Cell
from embudget.laws.varpro import Array


class ChinchillaLaw(Law):
    """The fitted law of every method."""

    kind: Literal["chinchilla"] = "chinchilla"
    shared: bool = Field(description="whether E, a and b are the same for all methods")
    coefficients: dict[str, Coefficients] = Field(description="by method: the fit of the data themselves")
    draws: dict[str, tuple[tuple[float, float, float, float, float], ...]] = Field(
        description="by method: E, A, a, B, b of each bootstrap draw"
    )

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods it was fitted to."""
        return tuple(self.coefficients)

    def fitted(self, method: str, model_params: float, tokens: float) -> float:
        """The loss at (N, D) by the fit of the data themselves, nats."""
        return self.coefficients[method].loss(model_params, tokens)

    def drawn(self, method: str, model_params: float, tokens: float) -> Array:
        """The loss at (N, D) by each bootstrap draw (draws,), nats."""
        E, A, a, B, b = self._draws[method]
        loss: Array = E + A / model_params**a + B / tokens**b
        return loss

    @cached_property
    def _draws(self) -> dict[str, Array]:
        return {method: np.array(rows).T for method, rows in self.draws.items()}

    def describe(self) -> list[str]:
        """The equation and its parameters, in lines of text."""
        sharing = "E, a and b shared by the methods" if self.shared else "not shared by all methods"
        lines = [f"L = E + A/N^a + B/D^b, {sharing} (medians of the bootstrap draws, in brackets 90 % of them)"]
        for method, draws in self._draws.items():
            values = zip("EAaBb", *np.quantile(draws, (0.5, 0.05, 0.95), axis=1), strict=True)
            texts = [f"{name} {value:.4g} [{low:.3g}, {high:.3g}]" for name, value, low, high in values]
            lines.append(f"  {method:<12} {'  '.join(texts)}")
        return lines


class ChinchillaForm:
    """The law as a separable form: columns 1, N^-a and D^-b, the last two for each method."""

    exponents = 2

    def columns(self, theta: Array, grid: Grid) -> Array:
        """The columns (n, 1 + 2M) that E, the A and the B weigh."""
        size = np.exp(-theta[0] * grid.log_n)[:, None] * grid.of_method
        data = np.exp(-theta[1] * grid.log_d)[:, None] * grid.of_method
        return np.hstack([np.ones((len(grid.log_n), 1)), size, data])

    def parameters(self, theta: Array, coefficients: Array, grid: Grid) -> dict[str, Parameters]:
        """E, A, a, B and b of each method."""
        a, b = float(theta[0]), float(theta[1])
        E, linear = float(coefficients[0]), coefficients[1:].reshape(2, -1)
        A = linear[0] * np.exp(a * grid.centre_n)
        B = linear[1] * np.exp(b * grid.centre_d)
        return {method: (E, float(A[i]), a, float(B[i]), b) for i, method in enumerate(grid.methods)}


def fit_chinchilla(
    cells: Sequence[Cell], *, share: bool | None = None, seed: int = 0, draws: int = 200
) -> ChinchillaLaw:
    """Fit the law to cells.

    Args:
        cells: of one or several methods.
        share: whether E, a and b are shared between the methods; None lets the data choose.
        seed: of the bootstrap.
        draws: bootstrap resamples.

    Raises:
        TooFewRunsError: fewer than 2 sizes or budgets, or no more cells than parameters.
        FitError: all losses are equal, or methods without a common budget cannot be fitted apart.
    """
    fit = fit_jointly(ChinchillaForm(), cells, share, seed, draws)
    return ChinchillaLaw.model_validate(
        {
            "noise": fit.noise,
            "freedom": fit.freedom,
            "shared": fit.shared,
            "coefficients": {name: dict(zip("EAaBb", values, strict=True)) for name, values in fit.parameters.items()},
            "draws": fit.draws,
            "outlying": [
                {"model": cell.model, "method": cell.method, "budget": cell.budget, "ratio": ratio}
                for cell, ratio in fit.outlying
            ],
        }
    )
