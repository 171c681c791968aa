"""L(D) of one model: its loss after fine-tuning on more and more data.

    rectified    L = E + B / (D0^b + D^b)      D may be 0
    chinchilla   L = E + B / D^b

With one size the size's term of a form is a constant, so that it takes the place of E. D counts tokens or examples. The
fit is by least squares of log residuals, without a prior. These curves are for published tables of one model; they are
no part of `Laws`, which need several sizes.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat

from embudget.errors import ConfigError, FitError, TooFewRunsError
from embudget.frozen import Frozen
from embudget.laws.forms import FORMS, Array
from embudget.laws.problem import Problem
from embudget.laws.solve import Objective, projected_starts, refine

CurveForm = Literal["rectified", "chinchilla"]


class Curve(Frozen):
    """The fitted L(D) of one model."""

    form: CurveForm
    E: NonNegativeFloat = Field(description="asymptote, nats")
    B: NonNegativeFloat
    b: PositiveFloat
    D0: PositiveFloat | None = Field(description="data that pre-training counts as; only in the rectified form")
    log_rmsd: NonNegativeFloat = Field(description="root mean square of the log residuals")

    def loss(self, data: float) -> float:
        """The loss after fine-tuning on D, nats."""
        learned = 0.0 if self.D0 is None else self.D0**self.b
        return float(self.E + self.B / (learned + data**self.b))


def fit_curve(data: Sequence[float], losses: Sequence[float], form: CurveForm = "rectified") -> Curve:
    """Fit L(D) to one model's losses (nats) at several D.

    Raises:
        ConfigError: the lengths differ, a loss is not positive, or D is negative (or 0 in the form of Chinchilla).
        TooFewRunsError: there are no more different D above 0 than parameters.
        FitError: all losses are equal.
    """
    log_d, log_loss = _checked(np.asarray(data, dtype=float), np.asarray(losses, dtype=float), form)
    centre = float(log_d[np.isfinite(log_d)].mean())
    one = np.ones((len(log_d), 1))
    problem = Problem(FORMS[form], np.zeros(len(log_d)), log_d - centre, one, log_loss, one[:, 0], asymptote=0.0)
    vectors, values = refine(problem, projected_starts(problem), Objective())
    best = vectors[[int(values.argmin())]]
    _, *exponents = np.exp(best[:, problem.searched]).T  # a does nothing at one size
    E, B = np.exp(best[:, problem.searched.stop :]).T
    raw = FORMS[form].to_raw((np.ones(1), *exponents), (E, B), 0.0, centre)
    return Curve(
        form=form,
        E=float(E[0]),
        B=float(raw["B"][0]),
        b=float(raw["b"][0]),
        D0=float(raw["D0"][0]) if "D0" in raw else None,
        log_rmsd=float(np.sqrt(np.mean((log_loss - problem.predict(best)[0]) ** 2))),
    )


def _checked(data: Array, losses: Array, form: CurveForm) -> tuple[Array, Array]:
    """Log D, which is minus infinity where D is 0, and log loss."""
    if form not in ("rectified", "chinchilla"):
        raise ConfigError(f"form of a curve must be rectified or chinchilla, got {form!r}")
    if data.shape != losses.shape or data.ndim != 1:
        raise ConfigError(f"data and losses must have one length, got {data.size} and {losses.size}")
    if bad := [loss for loss in losses.tolist() if not 0 < loss < np.inf]:
        raise ConfigError(f"losses must be finite and > 0, got {bad[0]:g}")
    least = "> 0 in the form of Chinchilla" if form == "chinchilla" else ">= 0"
    if bad := [d for d in data.tolist() if not 0 <= d < np.inf or (form == "chinchilla" and d == 0)]:
        raise ConfigError(f"data must be finite and {least}, got {bad[0]:g}")
    parameters = 2 + len(FORMS[form].exponents) - 1
    if (different := len(np.unique(data[data > 0]))) <= parameters:
        raise TooFewRunsError(f"a {form} curve needs at least {parameters + 1} different D above 0, got {different}")
    if np.ptp(np.log(losses)) < 1e-9:
        raise FitError(f"all {len(losses)} losses are equal ({losses[0]:g}): there is nothing to fit")
    with np.errstate(divide="ignore"):
        return np.log(data), np.log(losses)
