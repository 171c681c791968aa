"""The loss over N, D and method: several forms of law, each with as many bootstrap draws as its weight deserves.

Predictions are made by the mean of the draws, not by the one fit of the data (bagging, Breiman 1996), so that the
prediction, its interval and the comparison of choices over the draws belong together, and so that the uncertainty about
the form is part of the draws.

The interval of a loss predicted as f (log f the mean of the draws' log predictions) is that of
`embudget.laws.uncertainty`, with these errors that the draws do not show:

    shift         the distance from log f to the fits of the data themselves: not 0 where the data determine them badly
    discrepancy   by how much forecasts of larger budgets missed more than noise, own error and draws explain
                  (`embudget.laws.backtests`), for a choice whose N D lies outside the measured ones by a factor e; it
                  grows with the root of that factor's logarithm: what no form here captures. By which factor a choice
                  lies outside, `embudget.laws.reach` says. Where the law itself changes faster than along the largest
                  budgets, as it does below the smallest ones, it is larger in proportion
    own error     what is left of the law's misfit after its correction (`embudget.laws.misfit`), which is part of f.
                  Outside it grows by GROWTH of the misfit for each factor e: a law that bends away from the data
                  inside goes on to do so. The part of it that is constant along a series, as where one model is better
                  than its size says, grows with the distance in size alone
    noise         that of one run without the own error; only where the measured loss of a new run is meant
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from embudget.errors import ConfigError
from embudget.frozen import Frozen
from embudget.laws.coefficients import Coefficients
from embudget.laws.components import Component, log_losses_of
from embudget.laws.forms import FORMS, Array, FormName
from embudget.laws.misfit import Correction
from embudget.laws.reach import Reach
from embudget.laws.uncertainty import half_width, variance_of, widened, with_error
from embudget.laws.zero_shot_losses import ZeroShotLosses

BETWEEN_KINDS = 0.4
"""Share of the discrepancy in the difference between two kinds of method; the rest is common to them. Assumption: the
errors of forecasts of two kinds correlate by 0.92. In 116 simulated studies the intervals of crossovers held 97 %."""
GROWTH = 0.5
"""By how much of the misfit the own error grows as a choice lies outside by a factor e; see `benchmarks/prior.py`."""
_INSIDE = 1e-9  # distance that is none but for rounding
Kind = Literal["run", "law"]
"""What an interval is for: the measured loss of a new run, or the loss without noise."""


class Surface(Frozen):
    """A fitted function L(N, D) for each method."""

    components: tuple[Component, ...] = Field(min_length=1, description="by weight, the heaviest first")
    asymptote: PositiveFloat | None = Field(default=None, description="E where it was given, nats")
    noise: NonNegativeFloat = Field(le=100, description="relative standard deviation of one run about the law")
    misfit: NonNegativeFloat = Field(
        default=0.0, le=100, description="the part of the noise that is the law's own error"
    )
    constant: NonNegativeFloat = Field(
        default=0.0, le=1, description="share of the misfit that is constant along the budgets of a model and method"
    )
    correction: Correction | None = Field(default=None, description="near the measured cells; None without misfit")
    freedom: PositiveFloat = Field(description="degrees of freedom: cells minus parameters")
    discrepancy: NonNegativeFloat = Field(
        le=100, description="unexplained relative error of forecasts, a factor e outside the measured budgets"
    )
    fall: PositiveFloat = Field(
        default=1.0, description="by how much the lowest log loss falls, along the largest budgets, as log C rises by 1"
    )
    step: float = Field(gt=1, description="ratio of neighbouring budgets")
    reach: dict[str, Reach] = Field(description="method -> what was measured of it")
    zero_shot: ZeroShotLosses | None = Field(
        default=None, description="of the measured members; there where a form begins at them"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for component in self.components:
            if (methods := sorted(method for one in component.branches for method in one.basis)) != [*self.methods]:
                raise ValueError(f"the methods of a component must be those of reach, {[*self.methods]}, got {methods}")
            form = FORMS[component.form]
            if form.by_member and self.zero_shot is None:
                raise ValueError(f"a surface with the {form.name} form must have zero_shot, the losses it begins at")
            for branch in component.branches:
                columns = len(next(iter(branch.basis.values())))
                needed = int(self.asymptote is None) + len(form.exponents) + len(form.coefficients) * columns
                if len(branch.fit) != needed:
                    raise ValueError(
                        f"the fit of a {form.name} branch must have {needed} values, got {len(branch.fit)}"
                    )
        return self

    @property
    def by_groups(self) -> bool:
        """Whether comparisons of choices carry the error of the held-out pairs."""
        return bool(self.components[0].branches[0].moved)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it was fitted to, sorted."""
        return tuple(sorted(self.reach))

    def log_draws(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array:
        """The log losses of m choices by every draw (draws, m), as wide as the 90 % intervals of a loss are.

        This is what choices are compared by: a row is one law that the data allow, so that the share of rows in which
        one choice has a lower loss than another is how sure the laws are of it. The mean over the draws is the log of
        `predict`. Their spread is that of the 90 % interval without the discrepancy.

        Args:
            methods: of each choice, m.
            model_params: N of each choice (m,).
            tokens: D of each choice (m,).

        Example:
            >>> logs = laws.surface.log_draws(["full", "lora:8"], np.array([1e8, 1e8]), np.array([1e6, 1e6]))
            >>> share = (logs[:, 0] < logs[:, 1]).mean()  # share of draws in which full fine-tuning wins
        """
        _, logs = self._logs(methods, model_params, tokens)
        wide = widened(logs, self.freedom)
        if not self.by_groups:
            return wide
        at = methods, np.log(model_params), np.log(tokens), self.asymptote
        base = None if self.zero_shot is None else self.zero_shot.drawn(np.log(model_params), 0)
        moves = np.concatenate([component.group_moves(*at, base) for component in self.components])
        with_groups: Array = wide + (moves - moves.mean(axis=0))
        return with_groups

    def with_discrepancy(self, gaps: Array, mean: Array, times: Array) -> Array:
        """Log losses of one kind of method minus another's (draws, b), with what no form of law explains at b budgets.

        Args:
            gaps: the differences of `log_draws` (draws, b).
            mean: those of the predictions (b,).
            times: factors by which the budgets lie outside the measured ones, 1 inside (b,).
        """
        return with_error(gaps, mean, self.freedom, BETWEEN_KINDS * self.discrepancy * np.sqrt(np.log(times)))

    def predict(self, method: str, model_params: float, tokens: float) -> float:
        """The loss at (N, D), nats: the geometric mean of the draws."""
        _, logs = self._logs([method], np.array([model_params]), np.array([tokens]))
        return float(np.exp(logs.mean()))

    def interval(
        self, method: str, model_params: float, tokens: float, level: float = 0.9, of: Kind = "run"
    ) -> tuple[float, float]:
        """Where the measured loss of a new run, or the law itself, lies with probability ``level``, nats."""
        low, high = self.intervals([method], np.array([model_params]), np.array([tokens]), level, of)
        return float(low[0]), float(high[0])

    def intervals(
        self, methods: Sequence[str], model_params: Array, tokens: Array, level: float = 0.9, of: Kind = "run",
        more: Array | float = 0.0,
    ) -> tuple[Array, Array]:  # fmt: skip
        """The ends of `interval` for m choices at once, (m,) and (m,); ``more`` variance of the log losses is added."""
        mean, logs, variances = self._errors(methods, model_params, tokens)
        of_run = max(self.noise**2 - self.misfit**2, 0.0) if of == "run" else 0.0
        variances = variances + self._beyond(methods, model_params, tokens, mean) + of_run + more
        half = half_width(logs, self.freedom, level, variances)
        return np.exp(mean - half), np.exp(mean + half)

    def expected_errors(
        self, methods: Sequence[str], model_params: Array, tokens: Array, seeds: Array
    ) -> tuple[Array, Array]:
        """Predicted log losses of m cells (m,), and the mean square errors that all but the discrepancy explains (m,).

        ``seeds`` (m,) are the runs of each cell.
        """
        mean, logs, variances = self._errors(methods, model_params, tokens)
        of_cell = max(self.noise**2 - self.misfit**2, 0.0) / seeds
        return mean, variance_of(logs) + variances + of_cell

    def _errors(self, methods: Sequence[str], model_params: Array, tokens: Array) -> tuple[Array, Array, Array]:
        """Log predictions (m,), the draws (draws, m), and the squares of the shift and of the own error (m,).

        Each draw is corrected by its own residuals at the cells, so that the draws differ by what the cells leave open.
        """
        fitted, logs = self._logs(methods, model_params, tokens)
        mean = logs.mean(axis=0)
        if self.correction is None:
            return mean, logs, (mean - fitted) ** 2 + self.misfit**2
        weights, own_error = self.correction.weights(methods, np.log(model_params), np.log(tokens))
        of_fits, of_draws = self.deviations
        shift = mean - fitted + weights @ of_fits
        return mean, logs - of_draws @ weights.T, shift**2 + own_error

    @cached_property
    def deviations(self) -> tuple[Array, Array]:
        """Log losses of the correction's cells by the fits (cells,) and the draws (draws, cells), about their mean."""
        assert self.correction is not None
        at = self.correction.methods, np.array(self.correction.log_n), np.array(self.correction.log_d)
        fitted, drawn = log_losses_of(self.components, *at, self.asymptote, self.zero_shot)
        return fitted - drawn.mean(axis=0), drawn - drawn.mean(axis=0)

    def _beyond(self, methods: Sequence[str], model_params: Array, tokens: Array, mean: Array) -> Array:
        """The squares of the discrepancy and of the grown misfit (m,), outside of what was measured; inside 0.

        ``mean`` (m,) are the log predictions.
        """
        log_n, log_d = np.log(model_params), np.log(tokens)
        edge_n, edge_d, distance, of_size = log_n.copy(), log_d.copy(), np.zeros(len(mean)), np.zeros(len(mean))
        for method in set(methods):
            rows = np.array([name == method for name in methods])
            reach, at = self.reach[method], (log_n[rows], log_d[rows])
            distance[rows], of_size[rows] = reach.distance(*at), reach.distance_of_size(at[0])
            edge_n[rows], edge_d[rows] = reach.edge(*at)
        out = np.flatnonzero(distance > _INSIDE)
        steeper = np.ones(len(mean))
        if self.discrepancy and len(out):
            _, logs = self._logs([methods[row] for row in out.tolist()], np.exp(edge_n[out]), np.exp(edge_d[out]))
            steeper[out] = np.maximum(1.0, np.abs(mean[out] - logs.mean(axis=0)) / (distance[out] * self.fall))
        grown = (1 - self.constant) * distance**2 + self.constant * of_size**2
        return (self.discrepancy * steeper) ** 2 * distance + (GROWTH * self.misfit) ** 2 * grown

    def _logs(self, methods: Sequence[str], model_params: Array, tokens: Array) -> tuple[Array, Array]:
        """Log losses by the fits (m,) and by the draws (draws, m), corrected but not widened."""
        at = methods, np.log(model_params), np.log(tokens)
        fitted, drawn = log_losses_of(self.components, *at, self.asymptote, self.zero_shot)
        corrected = 0.0 if self.correction is None else self.correction.mean(*at)
        return fitted + corrected, drawn + corrected

    def coefficients(self, method: str, form: FormName | None = None) -> Coefficients:
        """The parameters of a method by the heaviest component's fit, or by the heaviest one of a form.

        Raises:
            ConfigError: no component has this form.
        """
        component = next((one for one in self.components if form in (None, one.form)), None)
        if component is None:
            have = ", ".join(dict.fromkeys(one.form for one in self.components))
            raise ConfigError(f"form must be one that has draws, {have}, got {form}")
        values = component.coefficients(method, self.asymptote)
        return Coefficients.model_validate(
            {"form": component.form, **{name: float(value[0]) for name, value in values.items()}}
        )
