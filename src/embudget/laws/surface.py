"""The loss over N, D and method: several forms of law, each with bootstrap draws, as many as its weight.

Predictions are made by the mean of the draws, not by the one fit of the data (bagging, Breiman 1996), so that the
prediction, its interval and the comparison of choices over the draws belong together; the uncertainty about the form
is part of the draws.

The interval at a level, for a loss predicted as f (log f the mean of the draws' log predictions):

    log L  in  log f  +-  t(n - p) sqrt((INFLATION sd)^2 + shift^2 + (discrepancy steps)^2 + error^2 + noise^2)

sd is the draws' robust standard deviation (from the 5 % and 95 % quantiles), shift the distance from log f to the fits
of the data themselves, which is not 0 where the data determine them badly. Error is what is left of the law's own error
(`embudget.laws.misfit`) where there is one, after its correction (`embudget.laws.kriging`), which is part of f. Noise,
that of one run without that error, is there only where the measured loss of a new run is meant and not the loss itself.
Discrepancy is by how much the forecasts of the largest budgets from the smaller ones (`embudget.laws.ranking`) missed
more than the noise of runs and the draws explain, per step of the budgets: what no form here captures. Student's t, for
the noise is estimated from n - p.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from scipy.stats import norm
from scipy.stats import t as student

from embudget.errors import ConfigError
from embudget.frozen import Frozen
from embudget.laws.base import Array
from embudget.laws.joint import Sharing
from embudget.laws.kriging import Correction
from embudget.laws.parameters import FORMS, Coefficients, FormName
from embudget.laws.problem import log_loss_of, split

SHARED_IN_WORDS: dict[Sharing, str] = {
    "shared": "shared by the methods",
    "pooled": "of each kind of method, drawn together",
    "separate": "of each kind of method",
}
INFLATION = 1.1
"""Of the draws' spread: without it nominal 90 % intervals of the best loss at 4 times the budget held the truth in 88 %
of 320 simulated studies, in 84 % of the small ones (docs/log.md)."""
_QUANTILES, _WIDTH = (0.05, 0.95), 2 * 1.6449

Kind = Literal["run", "law"]
"""What an interval is for: the measured loss of a new run, or the loss without noise."""


class Branch(Frozen):
    """The methods that have one E and one set of exponents: `embudget.laws.joint.Group` with its draws."""

    basis: dict[str, tuple[float, ...]] = Field(min_length=1, description="method -> weights of its coefficients")
    centre_n: float
    centre_d: float
    fit: tuple[float, ...] = Field(description="log E, log exponents, log coefficients")
    draws: tuple[tuple[float, ...], ...] = Field(min_length=1, description="the same for each draw")

    @model_validator(mode="after")
    def _even(self) -> Self:
        if any(len(draw) != len(self.fit) for draw in self.draws):
            raise ValueError(f"every draw must have as many values as the fit of its branch, {len(self.fit)}")
        if len({len(weights) for weights in self.basis.values()}) > 1:
            raise ValueError("all methods of a basis must have as many weights")
        return self

    def __eq__(self, other: object) -> bool:
        """By the fields alone: pydantic would compare the cached arrays too, and fail."""
        return isinstance(other, Branch) and all(
            getattr(self, name) == getattr(other, name) for name in Branch.model_fields
        )

    @cached_property
    def vectors(self) -> Array:
        """The fit, then the draws (1 + draws, P)."""
        return np.array([self.fit, *self.draws])


class Component(Frozen):
    """One form of law, with as many draws as its weight deserves."""

    form: FormName
    sharing: Sharing
    weight: float = Field(ge=0, le=1)
    branches: tuple[Branch, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _even(self) -> Self:
        if len(counts := {len(branch.draws) for branch in self.branches}) > 1:
            raise ValueError(f"all branches of a component must have as many draws, got {sorted(counts)}")
        return self

    def log_losses(self, methods: Sequence[str], log_n: Array, log_d: Array, asymptote: float | None) -> Array:
        """By the fit and by the draws (1 + draws, m)."""
        logs = np.empty((len(self.branches[0].vectors), len(methods)))
        for branch in self.branches:
            rows = [row for row, method in enumerate(methods) if method in branch.basis]
            if rows:
                basis = np.array([branch.basis[methods[row]] for row in rows])
                at = log_n[rows] - branch.centre_n, log_d[rows] - branch.centre_d
                logs[:, rows] = log_loss_of(FORMS[self.form], branch.vectors, basis, *at, asymptote)
        return logs

    def coefficients(self, method: str, asymptote: float | None) -> dict[str, Array]:
        """The parameters of the equation for a method, by the fit and by the draws (1 + draws,) each."""
        branch = next(branch for branch in self.branches if method in branch.basis)
        base, exponents, own = split(FORMS[self.form], branch.vectors, asymptote)
        mixed = tuple((c @ np.array(branch.basis[method]))[:, None] for c in own)
        raw = FORMS[self.form].to_raw(exponents, mixed, branch.centre_n, branch.centre_d)
        return {name: values[:, 0] for name, values in {"E": base, **raw}.items()}


class Surface(Frozen):
    """A fitted function L(N, D) for each method."""

    components: tuple[Component, ...] = Field(min_length=1, description="by weight, the heaviest first")
    asymptote: float | None = Field(default=None, description="E where it was given, nats")
    noise: NonNegativeFloat = Field(description="relative standard deviation of one run about the law")
    misfit: NonNegativeFloat = Field(default=0.0, description="part of the noise that is the law's own error")
    correction: Correction | None = Field(default=None, description="of that error, where there is one")
    freedom: PositiveFloat = Field(description="degrees of freedom: cells minus parameters")
    discrepancy: NonNegativeFloat = Field(
        description="unexplained relative error of forecasts, per step of the budgets"
    )
    step: float = Field(gt=1, description="ratio of neighbouring budgets")
    reach: dict[str, tuple[PositiveFloat, PositiveFloat]] = Field(
        description="method -> smallest and largest measured N D"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for component in self.components:
            if (methods := sorted(method for one in component.branches for method in one.basis)) != [*self.methods]:
                raise ValueError(f"the methods of a component must be those of reach, {[*self.methods]}, got {methods}")
            form = FORMS[component.form]
            for branch in component.branches:
                columns = len(next(iter(branch.basis.values())))
                needed = int(self.asymptote is None) + len(form.exponents) + len(form.coefficients) * columns
                if len(branch.fit) != needed:
                    raise ValueError(
                        f"the fit of a {form.name} branch must have {needed} values, got {len(branch.fit)}"
                    )
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods it was fitted to, sorted."""
        return tuple(sorted(self.reach))

    def drawn(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array:
        """The loss of m choices by each draw (draws, m), nats; a row's values belong together."""
        losses: Array = np.exp(self._logs(methods, model_params, tokens)[1])
        return losses

    def log_draws(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array:
        """Log losses by each draw, as far from their mean as the 90 % interval of the loss asks for (draws, m).

        The deviations from the mean are scaled so that the draws' standard deviation becomes
        t / z sqrt((INFLATION sd)^2 + (discrepancy steps)^2), t and z Student's and the normal 95 % quantile. Every
        comparison of choices over the draws is made with these.
        """
        logs = self._logs(methods, model_params, tokens)[1]
        mean = logs.mean(axis=0)
        factor = np.full(len(mean), INFLATION)
        beyond = self.discrepancy * self._steps(methods, model_params * tokens) if len(mean) else mean
        if (far := beyond > 0).any():
            low, high = np.quantile(logs[:, far], _QUANTILES, axis=0)
            sd = (high - low) / _WIDTH
            factor[far] = np.where(sd > 0, np.hypot(INFLATION, beyond[far] / np.where(sd > 0, sd, 1.0)), INFLATION)
        widened: Array = mean + float(student.ppf(0.95, self.freedom) / norm.ppf(0.95)) * factor * (logs - mean)
        return widened

    def predict(self, method: str, model_params: float, tokens: float) -> float:
        """The loss at (N, D), nats: the geometric mean of the draws."""
        return float(np.exp(self._one(method, model_params, tokens)[1].mean()))

    def fitted(self, method: str, model_params: float, tokens: float) -> float:
        """The loss at (N, D) by the fits of the data themselves, each with its weight, nats."""
        return float(np.exp(self._one(method, model_params, tokens)[0][0]))

    def interval(
        self, method: str, model_params: float, tokens: float, level: float = 0.9, of: Kind = "run"
    ) -> tuple[float, float]:
        """Where the measured loss of a new run, or the law itself, lies with probability ``level``, nats."""
        low, high = self.intervals([method], np.array([model_params]), np.array([tokens]), level, of)
        return float(low[0]), float(high[0])

    def intervals(
        self, methods: Sequence[str], model_params: Array, tokens: Array, level: float = 0.9, of: Kind = "run"
    ) -> tuple[Array, Array]:
        """`interval` of m choices at once (m,) and (m,)."""
        fitted, logs = self._logs(methods, model_params, tokens)
        mean = logs.mean(axis=0)
        low, high = np.quantile(logs, _QUANTILES, axis=0)
        beyond = self.discrepancy * self._steps(methods, model_params * tokens)
        own_error = self._own_error(methods, model_params, tokens)
        of_run = max(self.noise**2 - self.misfit**2, 0.0) if of == "run" else 0.0
        squares = (INFLATION * (high - low) / _WIDTH) ** 2 + (mean - fitted) ** 2 + beyond**2 + own_error + of_run
        half = float(student.ppf((1 + level) / 2, self.freedom)) * np.sqrt(squares)
        return np.exp(mean - half), np.exp(mean + half)

    def _own_error(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array | float:
        """What the law's own error adds to the variance of a log loss (m,)."""
        if self.correction is None:
            return self.misfit**2
        return self.correction.variance(methods, np.log(model_params), np.log(tokens))

    def _steps(self, methods: Sequence[str], product: Array) -> Array:
        """How many steps of the budgets a choice lies outside those measured of its method (m,)."""
        lowest, highest = np.log([self.reach[method] for method in methods]).T
        outside = np.maximum(np.log(product) - highest, lowest - np.log(product))
        steps: Array = np.maximum(outside, 0.0) / float(np.log(self.step))
        return steps

    def _one(self, method: str, model_params: float, tokens: float) -> tuple[Array, Array]:
        return self._logs([method], np.array([model_params]), np.array([tokens]))

    def _logs(self, methods: Sequence[str], model_params: Array, tokens: Array) -> tuple[Array, Array]:
        """Log losses by the fits (m,) and by the draws (draws, m)."""
        log_n, log_d = np.log(model_params), np.log(tokens)
        every = [component.log_losses(methods, log_n, log_d, self.asymptote) for component in self.components]
        counts = np.array([len(logs) - 1 for logs in every], dtype=float)
        fitted = np.average([logs[0] for logs in every], axis=0, weights=counts)
        drawn = np.concatenate([logs[1:] for logs in every])
        if self.correction is None:
            return fitted, drawn
        corrected = self.correction.mean(methods, log_n, log_d)
        return fitted + corrected, drawn + corrected

    def coefficients(self, method: str, form: FormName | None = None) -> Coefficients:
        """The parameters of a method by the fit of the heaviest component, or of the heaviest with a form.

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

    def describe(self) -> list[str]:
        """The heaviest component's equation and parameters, in lines of text."""
        first = self.components[0]
        shared = SHARED_IN_WORDS[first.sharing]
        names = ", ".join(["E"] * (self.asymptote is None) + list(FORMS[first.form].exponents))
        lines = [f"{FORMS[first.form].equation}, {names} {shared} (medians of the draws, in brackets 90 % of them)"]
        for method in self.methods:
            values = first.coefficients(method, self.asymptote)
            texts = [_with_bracket(name, draws[1:]) for name, draws in values.items()]
            lines.append(f"  {method:<12} {'  '.join(texts)}")
        return lines


def _with_bracket(name: str, draws: Array) -> str:
    middle, low, high = np.quantile(draws, (0.5, 0.05, 0.95))
    return f"{name} {middle:.4g} [{low:.3g}, {high:.3g}]"
