"""The law of the best learning rate: what rate to train a new model size on a new number of tokens with.

    log rate* = log K_method + p_kind (log N - mean log N) + q_kind (log D - mean log D) + u_model,kind + e

It is fitted to what the cells with at least two rates tell (`embudget.laws.rate_points`), bounds included. A best
rate at an end of those tried is an observation as well: without it the law would be that of the cells which happen to
lie between the ends, and too flat.

Slopes differ by kind of method, but are drawn towards common ones, and these weakly towards 0. Each measured model has
a deviation u of its own from the law, drawn towards 0 by its share of the scatter; e is what a cell scatters by. So all
coefficients have a normal prior, and their posterior gives every rate its standard error. The scatter of u and e is
that of the highest evidence (`embudget.laws.censored`).
"""

from collections.abc import Sequence
from math import exp
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator

from embudget.errors import MethodError, TooFewRunsError
from embudget.frozen import Frozen
from embudget.laws.censored import Array
from embudget.laws.rate_lines import Design, RateLine, Slope, scatter_of
from embudget.laws.rate_points import VERTEX, curvatures_of, end_of, noise_of, rate_point
from embudget.methods import kind_of
from embudget.runs.cells import Cell
from embudget.runs.envelope import STEEP, logs_of

FEWEST = 2
"""Envelopes with a minimum that a law needs: with a single one it could say no more than that cell's rate."""
FLOATS = 700.0
"""Logarithms that a float can hold the exponential of; a recipe refuses rates long before."""
REACH = 3.0
"""Factor from the best rates measured of a method beyond which a recipe says that its rate is far."""


class RateLaw(Frozen):
    """The best rate of any model size and number of tokens, for the methods that had envelopes."""

    intercepts: dict[str, Slope] = Field(min_length=1, description="method -> log rate at the centre")
    model_params_slope: Slope = Field(description="p, of log N: the mean over the cells of their kinds'")
    tokens_slope: Slope = Field(description="q, of log D, likewise")
    centre: tuple[float, float] = Field(description="log N and log D of the centre")
    measured: dict[str, tuple[PositiveFloat, PositiveFloat]] = Field(
        description="method -> lowest and highest best rate of a cell, at an end of those tried included"
    )
    envelopes: dict[str, NonNegativeInt] = Field(description="method -> cells with a minimum between their rates")
    ends: dict[str, NonNegativeInt] = Field(
        description="method -> cells whose best rate is the lowest or the highest tried, as the better of two is"
    )
    residual_sd: NonNegativeFloat | None = Field(
        description="standard deviation of log rate about the law; None with no more cells than methods"
    )
    lines: dict[str, RateLine] = Field(description="method -> its line")
    members: dict[str, dict[str, RateLine]] = Field(default={}, description="method -> measured model -> its line")
    curvatures: dict[str, Annotated[float, Field(gt=0, le=100)]] = Field(
        default={}, description="kind of method -> log loss per squared natural log of rate / best rate"
    )

    @model_validator(mode="after")
    def _of_the_same_methods(self) -> Self:
        for name in ("measured", "envelopes", "ends", "lines"):
            if (found := set(getattr(self, name))) != set(self.intercepts):
                raise ValueError(
                    f"{name} must have the methods of intercepts {[*self.intercepts]}, got {sorted(found)}"
                )
        if unknown := set(self.members) - set(self.intercepts):
            raise ValueError(f"members must have methods of intercepts {[*self.intercepts]}, got {min(unknown)}")
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods it predicts for."""
        return tuple(self.intercepts)

    def __str__(self) -> str:
        """What it rests on, such as: the rate law of 12 envelopes and 3 ends, spread x1.20."""
        ended = sum(self.ends.values())
        ends = f" and {ended} end{'' if ended == 1 else 's'}" if ended else ""
        spread = "" if self.residual_sd is None else f", spread x{exp(self.residual_sd):.2f}"
        return f"the rate law of {sum(self.envelopes.values())} envelopes{ends}{spread}"

    def slopes(self, method: str) -> tuple[float, float]:
        """The powers of N and D of a method; errors as `predict`."""
        return self._line(method, None).slopes

    def predict(self, method: str, model_params: float, tokens: float, model: str | None = None) -> float:
        """The best rate at (N, D), on a measured model if it is named.

        Raises:
            MethodError: no envelope of the method was measured.
        """
        line, (x, z) = self._line(method, model), self._from_centre(model_params, tokens)
        p, q = line.slopes
        log_rate = self.intercepts[method] + line.deviation + p * float(x) + q * float(z)
        return exp(min(max(log_rate, -FLOATS), FLOATS))

    def error(self, method: str, model_params: ArrayLike, tokens: ArrayLike, model: str | None = None) -> Array:
        """Standard error of the log of the best rate at each (N, D), of a cell there; errors as `predict`."""
        line, (x, z) = self._line(method, model), self._from_centre(model_params, tokens)
        return np.sqrt(line.variance(x, z))

    def excess(self, method: str, model_params: ArrayLike, tokens: ArrayLike, model: str | None = None) -> Array:
        """How far the log loss at the predicted rate lies above that at the best one, on average; errors as `predict`.

        This is its second derivative times the variance of the log rate / 2, at most STEEP, since a rate that is so far
        off shows itself early in a run. It is 0 for a kind of method without a curvature.
        """
        curvature = self.curvatures.get(kind_of(method), 0.0)
        excess: Array = np.minimum(curvature * self.error(method, model_params, tokens, model) ** 2, STEEP)
        return excess

    def beyond(self, method: str, rate: float) -> float:
        """Factor by which a rate is above the best ones measured of its method, < 1 where below; 1 between them."""
        low, high = self.measured[method]
        return min(rate / low, 1.0) * max(rate / high, 1.0)

    def _line(self, method: str, model: str | None) -> RateLine:
        if method not in self.intercepts:
            raise MethodError(f"{method} has no measured learning rates, only {', '.join(self.methods)}")
        if model is not None and model in self.members.get(method, {}):
            return self.members[method][model]
        return self.lines[method]

    def _from_centre(self, model_params: ArrayLike, tokens: ArrayLike) -> tuple[Array, Array]:
        return np.log(model_params) - self.centre[0], np.log(tokens) - self.centre[1]


def fit_rate_law(
    methods: Sequence[str],
    model_params: ArrayLike,
    tokens: ArrayLike,
    learning_rates: ArrayLike,
    *,
    models: Sequence[str] | None = None,
    errors: ArrayLike | None = None,
    ends: ArrayLike | None = None,
    kinds: Sequence[str] | None = None,
) -> RateLaw:
    """Fit the law of the best rate to n cells.

    A few cells within a factor 2 of each other keep nearly one rate per method, a study over a decade follows its own
    slopes, and where N and D did not vary apart the prior shares the trend out between them.

    Args:
        methods: of each cell.
        model_params: N (n,).
        tokens: D (n,).
        learning_rates: the best rates, or bounds of them (n,).
        models: the cells' models; without them no model has a deviation of its own.
        errors: standard deviation of each log rate as measured (n,); VERTEX by default.
        kinds: of the methods, each cell's, where the names in ``methods`` do not say them.
        ends: -1 where the best rate lies below the one given, 1 where above, 0 where it is that (n,); 0 by default.

    Example:
        >>> law = fit_rate_law(["full"] * 3, [1e7, 4e7, 1.6e8], [1e8, 2e8, 4e8], [4e-3, 2e-3, 1e-3])
        >>> f"{law.predict('full', 4e7, 2e8):.1e}"
        '2.0e-03'

    Raises:
        TooFewRunsError: no cell.
        FitError: a value is not positive and finite.
    """
    if not methods:
        raise TooFewRunsError("a law of the learning rate needs the best rate of at least 1 cell, got 0")
    sizes = np.stack([logs_of("model_params", model_params), logs_of("tokens", tokens)], axis=1)
    log_rates = logs_of("learning rate", learning_rates)
    off = np.full(len(methods), VERTEX) if errors is None else np.asarray(errors, dtype=float)
    sides = np.zeros(len(methods)) if ends is None else np.asarray(ends, dtype=float)
    design = Design.of(methods, sizes, models, kinds)
    means = {name: float(log_rates[design.rows(name)].mean()) for name in design.methods}
    values = log_rates - np.array([means[name] for name in methods])
    scatter, posterior = scatter_of(design, values, off, sides)
    lines = {name: design.line(posterior, scatter, name, None) for name in design.methods}
    at_centre = {name: means[name] + float(posterior.mean[design.methods.index(name)]) for name in design.methods}
    mean_slopes = np.average([lines[name].slopes for name in methods], axis=0)
    return RateLaw(
        intercepts=at_centre,
        model_params_slope=float(mean_slopes[0]),
        tokens_slope=float(mean_slopes[1]),
        centre=design.centre,
        measured={name: _span(log_rates[design.rows(name)]) for name in design.methods},
        envelopes={name: int((sides[design.rows(name)] == 0).sum()) for name in design.methods},
        ends={name: int((sides[design.rows(name)] != 0).sum()) for name in design.methods},
        residual_sd=design.spread(values, posterior, sides == 0),
        lines=lines,
        members={
            name: {model: design.line(posterior, scatter, name, model) for model in design.models_of(name)}
            for name in design.methods
        }
        if scatter.models > 0
        else {},
    )


def _span(log_rates: Array) -> tuple[float, float]:
    return exp(log_rates.min()), exp(log_rates.max())


def rate_laws_of(cells: Sequence[Cell]) -> dict[str | None, RateLaw | None]:
    """By lineage, the law of the best rate over the cells that tell it.

    Every method of a lineage has a rate of its own; how rates go with N and D is shared by the kinds of method of all
    lineages. None with fewer than FEWEST cells that have a minimum, and for a lineage of which no cell tells a rate.
    """
    lineages = list(dict.fromkeys(cell.lineage for cell in cells))
    if len(lineages) == 1:
        return {lineages[0]: rate_law_of(cells)}
    law = rate_law_of(cells, apart=True)
    return {lineage: None if law is None else _of_lineage(law, lineage, cells) for lineage in lineages}


def _of_lineage(law: RateLaw, lineage: str | None, cells: Sequence[Cell]) -> RateLaw | None:
    """The part of a law of several lineages that is one lineage's, by its methods' plain names."""
    mine = [cell for cell in cells if cell.lineage == lineage]
    names = {_labelled(cell): cell.method for cell in mine if _labelled(cell) in law.methods}
    if not names:
        return None
    models, kinds = {cell.model for cell in mine}, {kind_of(method) for method in names.values()}
    parts: dict[str, Any] = {
        field: {plain: getattr(law, field)[name] for name, plain in names.items()}
        for field in ("intercepts", "measured", "envelopes", "ends", "lines")
    }
    parts["members"] = {
        plain: {model: line for model, line in law.members[name].items() if model in models}
        for name, plain in names.items()
        if name in law.members
    }
    parts["curvatures"] = {kind: value for kind, value in law.curvatures.items() if kind in kinds}
    return law.model_copy(update=parts)


def _labelled(cell: Cell) -> str:
    return f"{cell.lineage}\n{cell.method}"


def rate_law_of(cells: Sequence[Cell], *, apart: bool = False) -> RateLaw | None:
    """The law of the best rate over the cells that tell it; None with fewer than FEWEST that have a minimum.

    With ``apart``, methods of different lineages are different methods of one kind.
    """
    if sum(bool(cell.rate_inside) and cell.learning_rate is not None for cell in cells) < FEWEST:
        return None
    curvatures, noise = curvatures_of(cells), noise_of(cells)
    label = _labelled if apart else (lambda cell: cell.method)
    law: RateLaw | None = None
    for _ in range(2):  # a law of the rate says how far it lies from those tried, and that how surely a cell tells it
        found = [
            (cell, rate_point(cell, curvatures[kind_of(cell.method)], noise, best_by_law(law, cell, label(cell))))
            for cell in cells
        ]
        known = [(cell, point) for cell, point in found if point is not None]
        law = fit_rate_law(
            [label(cell) for cell, _ in known],
            [cell.model_params for cell, _ in known],
            [cell.tokens for cell, _ in known],
            [exp(point.log_rate) for _, point in known],
            models=[cell.model for cell, _ in known],
            errors=[point.error for _, point in known],
            ends=[point.end for _, point in known],
            kinds=[kind_of(cell.method) for cell, _ in known],
        )
    assert law is not None
    best = {name: [c.learning_rate for c, _ in known if label(c) == name and c.learning_rate] for name in law.methods}
    inside = {name: sum(bool(c.rate_inside) for c, _ in known if label(c) == name) for name in law.methods}
    return law.model_copy(
        update={
            "measured": {name: (min(rates), max(rates)) for name, rates in best.items()},
            "envelopes": inside,
            "ends": {name: len(rates) - inside[name] for name, rates in best.items()},
            "curvatures": {
                kind: value for kind, value in curvatures.items() if kind in {kind_of(c.method) for c, _ in known}
            },
        }
    )


def best_by_law(law: RateLaw | None, cell: Cell, name: str | None = None) -> float | None:
    """The best rate of a cell by a law, which may know its method by another ``name``; None where it knows none."""
    method = name or cell.method
    if law is None or method not in law.methods:
        return None
    return law.predict(method, cell.model_params, cell.tokens, cell.model)


def rate_text(rate: float) -> str:
    """A rate to 2 significant digits, such as 1e-3 or 2.1e-3."""
    mantissa, exponent = f"{rate:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def at_end(cell: Cell) -> str | None:
    """What is wrong with a cell's best rate, in words; None where it is a minimum, or no envelope was measured."""
    if cell.rate_inside is not False:
        return None
    return {-1: "the lowest tried", 0: "no clear minimum", 1: "the highest tried"}[end_of(cell)]
