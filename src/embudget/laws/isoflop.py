"""IsoFLOP profiles: the losses of one method at one budget over the model sizes, and where they are lowest.

    loss = c0 + c1 x + c2 x^2,  x = log N;     the optimum N* = exp(-c1 / (2 c2)), N*(C) = k C^s over the budgets

Approach 2 of Hoffmann et al. 2022 (Chinchilla), and what the paper's figures show. The vertex of a parabola is biased
when the grid is off-centre and noisier than a direct fit (arXiv 2603.22339), so it serves figures and comparison; the
recipe uses L(N, D). A parabola without a minimum inside the measured sizes is refused by name, never extrapolated.
"""

from collections.abc import Sequence
from itertools import groupby
from math import exp, log

import numpy as np

from embudget.errors import ConcaveProfileError, FitError, OptimumOutsideGridError, TooFewRunsError
from embudget.frozen import Frozen
from embudget.laws.frontier import PowerLine, fit_line
from embudget.runs.cells import Cell


class Profile(Frozen):
    """The parabola of one method at one budget."""

    budget: float
    """FLOP"""
    coefficients: tuple[float, float, float]
    """c0, c1, c2 for x = log N - log(the geometric mean size), nats"""
    centre: float
    """log of the geometric mean size"""
    model_params: float
    """N*, the size at the vertex"""
    loss: float
    """the loss at the vertex, nats"""

    def __call__(self, model_params: float) -> float:
        """The parabola's loss at a size, nats."""
        x = log(model_params) - self.centre
        c0, c1, c2 = self.coefficients
        return c0 + c1 * x + c2 * x * x


class Isoflop(Frozen):
    """The profiles of one method that have a minimum, budgets rising."""

    profiles: tuple[Profile, ...]
    best_size: PowerLine | None
    """N*(C); None with fewer than two profiles"""


def fit_isoflop(cells: Sequence[Cell]) -> tuple[Isoflop, dict[float, FitError]]:
    """Fit the profiles of one method's cells, sorted by budget, and N*(C) through them.

    Returns:
        The profiles, and for each budget without one the error that says why.
    """
    profiles: list[Profile] = []
    refused: dict[float, FitError] = {}
    for budget, group in groupby(cells, key=lambda cell: cell.budget):
        try:
            profiles.append(fit_profile(list(group)))
        except FitError as error:
            refused[budget] = error
    enough = len(profiles) >= 2
    sizes = fit_line([p.budget for p in profiles], [p.model_params for p in profiles]) if enough else None
    return Isoflop(profiles=tuple(profiles), best_size=sizes), refused


def fit_profile(cells: Sequence[Cell]) -> Profile:
    """Fit the parabola through the cells of one method and budget.

    Raises:
        TooFewRunsError: there are fewer than 3 sizes.
        ConcaveProfileError: the parabola opens downwards.
        OptimumOutsideGridError: its minimum is not between the smallest and the largest measured size.
    """
    sizes = np.array([cell.model_params for cell in cells], dtype=float)
    losses = np.array([cell.loss for cell in cells])
    if len(set(sizes)) < 3:
        raise TooFewRunsError(f"an isoFLOP profile needs at least 3 sizes, got {len(set(sizes))}")
    centre = float(np.log(sizes).mean())
    x = np.log(sizes) - centre
    c2, c1, c0 = (float(c) for c in np.polyfit(x, losses, 2))
    if c2 <= 1e-9 * float(np.ptp(losses)):
        raise ConcaveProfileError(f"the losses over {len(sizes)} sizes have no minimum: curvature {c2:.3g} nats")
    vertex = -c1 / (2 * c2)
    if not x.min() <= vertex <= x.max():
        side = "smallest" if vertex < x.min() else "largest"
        raise OptimumOutsideGridError(
            f"the best size lies beyond the {side} measured one ({sizes.min():.3g} to {sizes.max():.3g} parameters)"
        )
    return Profile(
        budget=cells[0].budget,
        coefficients=(c0, c1, c2),
        centre=centre,
        model_params=exp(centre + vertex),
        loss=c0 - c1 * c1 / (4 * c2),
    )
