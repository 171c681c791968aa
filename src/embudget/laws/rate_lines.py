"""What do the cells of a study share of the law of the best rate, and how far does each part scatter?

The coefficients are, with the standard deviation of their prior,

    each method     its log rate at the centre         INTERCEPT
    all methods     p and q                            SLOPE
    each kind       what its p and q differ by         APART
    each series     what the cells of one model and kind of method differ by; the evidence says how much
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import minimize_scalar

from embudget.frozen import Frozen
from embudget.laws.censored import Array, Posterior, fit_censored
from embudget.methods import kind_of

Slope = Annotated[float, Field(ge=-100, le=100)]

SLOPE = 0.46
"""Standard deviation of the prior of the common slopes about 0. Published ones are -0.713 in N and 0.307 in D (step
law, Li et al. 2025, arXiv 2503.04715), or about -0.3 in D (Bjorck et al. 2024, arXiv 2409.19913), of either sign: with
APART, a slope is about 0.5 in size."""
APART = 0.2
"""Assumption: standard deviation of a kind's slope about the common one."""
INTERCEPT = 3.0
"""Standard deviation of the prior of a method's log rate about the mean of its cells: wide, but with it a method whose
best rates all lie beyond one end of those tried has a law too."""
SCATTER, SCATTER_OFF = 0.25, 0.7
"""Median of the prior of the scatter of log rate about the law, and the standard deviation of its logarithm. The two
published studies have 0.21 (smollm2) and 0.27 (micro)."""
LEAST, MOST = 0.01, 1.5
"""Bounds of the scatter."""
SHARES = (0.0, 0.25, 0.5, 0.75)
"""Shares of the variance of the scatter that may be the models'."""


class RateLine(Frozen):
    """The best rates of a method, on any model or on a measured one."""

    deviation: Slope = Field(default=0.0, description="of the log rate at the centre from the method's")
    slopes: tuple[Slope, Slope] = Field(description="p of log N and q of log D")
    covariance: tuple[Slope, Slope, Slope, Slope, Slope, Slope] = Field(
        description="of the log rate at the centre, p and q: the upper triangle by rows"
    )
    scatter: float = Field(ge=0, le=100, description="standard deviation of a cell's log rate about the line")

    def variance(self, x: Array, z: Array) -> Array:
        """Variance of the log of the best rate, where log N and log D are x and z from the centre."""
        kk, kp, kq, pp, pq, qq = self.covariance
        line: Array = kk + 2 * (kp * x + kq * z) + pp * x**2 + 2 * pq * x * z + qq * z**2
        return np.maximum(line, 0.0) + self.scatter**2


class Scatter(NamedTuple):
    """Standard deviations of log rate about the law."""

    models: float
    """Standard deviation between the models of one kind of method."""
    cells: float


class Design(NamedTuple):
    """Which cell has which coefficients: methods, p and q, each kind's p and q, series."""

    methods: list[str]
    kinds: list[str]
    series: list[tuple[str, str]]
    """(kind, model)"""
    centre: tuple[float, float]
    columns: Array
    """(n, p)"""
    of_cells: NDArray[np.str_]
    """The method of each cell (n,)."""
    kind_by_method: dict[str, str]

    @classmethod
    def of(
        cls, methods: Sequence[str], log_sizes: Array, models: Sequence[str] | None, given: Sequence[str] | None = None
    ) -> Self:
        """Lay out the columns for cells at (log N, log D) (n, 2), with the kind of each cell's method if ``given``."""
        names, mine = list(dict.fromkeys(methods)), list(given or map(kind_of, methods))
        kinds, series = list(dict.fromkeys(mine)), list(zip(mine, models or (), strict=False))
        every = list(dict.fromkeys(series))
        centre = log_sizes.mean(axis=0)
        x = log_sizes - centre
        of_kind = np.array([[kind == one for one in kinds] for kind in mine], dtype=float)
        columns = [
            np.array([[method == one for one in names] for method in methods], dtype=float),
            x,
            (of_kind[:, :, None] * x[:, None, :]).reshape(len(x), -1),
            np.array([[one == other for other in every] for one in series], dtype=float).reshape(len(x), -1),
        ]
        at = float(centre[0]), float(centre[1])
        return cls(
            names,
            kinds,
            every,
            at,
            np.concatenate(columns, axis=1),
            np.array(methods),
            dict(zip(methods, mine, strict=True)),
        )

    def rows(self, method: str) -> NDArray[np.bool_]:
        """Which cells are of a method (n,)."""
        found: NDArray[np.bool_] = self.of_cells == method
        return found

    def models_of(self, method: str) -> list[str]:
        """The models that were measured by the kind of a method."""
        return [model for kind, model in self.series if kind == self.kind_by_method[method]]

    def precision(self, scatter: Scatter) -> Array:
        """Prior precision of the coefficients (p,)."""
        counts = len(self.methods), 2, 2 * len(self.kinds), len(self.series)
        deviations: Array = np.repeat([INTERCEPT, SLOPE, APART, max(scatter.models, LEAST)], counts)
        return 1 / deviations**2

    def line(self, posterior: Posterior, scatter: Scatter, method: str, model: str | None) -> RateLine:
        """What the posterior says of a method, on any model or on a measured one."""
        first = len(self.methods)
        kind = first + 2 + 2 * self.kinds.index(self.kind_by_method[method])
        pick = np.zeros((3, len(posterior.mean)))
        pick[0, self.methods.index(method)] = 1
        pick[1, [first, kind]] = pick[2, [first + 1, kind + 1]] = 1
        deviation = 0.0
        if model is not None:
            place = first + 2 + 2 * len(self.kinds) + self.series.index((self.kind_by_method[method], model))
            pick[0, place], deviation = 1, float(posterior.mean[place])
        _, p, q = (pick @ posterior.mean).tolist()
        kk, kp, kq, _, pp, pq, _, _, qq = (pick @ posterior.covariance @ pick.T).ravel().tolist()
        return RateLine(
            deviation=deviation,
            slopes=(p, q),
            covariance=(kk, kp, kq, pp, pq, qq),
            scatter=scatter.cells if model is not None else float(np.hypot(*scatter)),
        )

    def spread(self, values: Array, posterior: Posterior, observed: NDArray[np.bool_]) -> float | None:
        """Standard deviation of the observed values about the methods' lines; None with no more of them than methods.

        The slopes take as many degrees of freedom as a ridge with their prior does.
        """
        fixed = self.columns.shape[1] - len(self.series)
        residuals = (values - self.columns[:, :fixed] @ posterior.mean[:fixed])[observed]
        x = self.columns[observed, len(self.methods) : len(self.methods) + 2].copy()
        names = set(self.of_cells[observed].tolist())
        for name in names:
            x[self.of_cells[observed] == name] -= x[self.of_cells[observed] == name].mean(axis=0)
        if len(residuals) <= len(names):
            return None
        gram = x.T @ x
        slopes = float(np.trace(np.linalg.solve(gram + np.eye(2) * (SCATTER / SLOPE) ** 2, gram)))
        return float(np.sqrt((residuals**2).sum() / (len(residuals) - len(names) - slopes)))


def scatter_of(design: Design, values: Array, errors: Array, ends: Array) -> tuple[Scatter, Posterior]:
    """The scatter of the highest evidence, and the posterior of the coefficients with it.

    Args:
        design: of the cells.
        values: log rates or bounds, less the mean of their method (n,).
        errors: their standard deviations as measured (n,).
        ends: 0, or the side on which the best rate lies of a bound (n,).
    """

    def fitted(total: float, share: float) -> tuple[float, Scatter, Posterior]:
        scatter = Scatter(total * float(np.sqrt(share)), total * float(np.sqrt(1 - share)))
        found = fit_censored(design.columns, values, scatter.cells**2 + errors**2, ends, design.precision(scatter))
        prior = -((np.log(total / SCATTER) / SCATTER_OFF) ** 2) / 2
        return found.evidence + prior, scatter, found

    def best_total(share: float) -> float:
        found = minimize_scalar(
            lambda log_total: -fitted(float(np.exp(log_total)), share)[0],
            bounds=(np.log(LEAST), np.log(MOST)),
            method="bounded",
            options={"xatol": 0.05},
        )
        return float(np.exp(found.x))

    total, shares = best_total(SHARES[1] if design.series else 0.0), SHARES if design.series else SHARES[:1]
    share = max(shares, key=lambda one: fitted(total, one)[0])
    _, scatter, posterior = fitted(best_total(share), share)
    return scatter, posterior
