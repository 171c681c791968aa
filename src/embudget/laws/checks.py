"""What the cells must offer for a law, and what is said where they do not.

Cells that determine no L(N, D) at all raise an error (`check_support`); a fit beside it that they do not support, such
as a parabola over two sizes, becomes a `Refusal` in the laws. What may be wrong with a law that was fitted is the
business of `embudget.laws.diagnostics`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np
from pydantic import Field

from embudget.errors import ConfigError, FitError, TooFewRunsError
from embudget.frozen import Frozen
from embudget.laws.forms import FORMS, FormName
from embudget.laws.problem import Points
from embudget.laws.sharing import parameters_of
from embudget.runs.cells import Cell


class Refusal(Frozen):
    """A fit that the data do not support."""

    what: str = Field(description="e.g. isoFLOP profile of full at 1e+12 FLOP")
    method: str | None = Field(default=None, description="whose fit; None over all methods")
    budget: float | None = Field(default=None, description="FLOP; None where it is not of one budget")
    error: str = Field(description="its name in `embudget.errors`")
    reason: str

    @classmethod
    def of(cls, what: str, error: FitError, method: str | None, budget: float | None = None) -> Self:
        """The refusal that an error of a fit becomes."""
        return cls(what=what, method=method, budget=budget, error=type(error).__name__, reason=str(error))


def check_support(cells: Sequence[Cell], points: Points, asymptote: float | None) -> None:
    """Refuse cells that determine no law.

    Raises:
        ConfigError: the given asymptote is not positive, or not below every loss.
        FitError: all losses are equal, or methods without a common budget cannot be fitted apart.
        TooFewRunsError: there are fewer than 2 sizes or budgets, or no more cells than parameters.
    """
    if len(points) > 1 and np.ptp(points.log_loss) < 1e-9:
        raise FitError(f"all {len(points)} losses are equal ({cells[0].loss:g}): there is nothing to fit")
    if asymptote is not None:
        _check_asymptote(cells, asymptote)
    _check_counts(points)
    linked = linked_methods(points)
    for group in linked if len(linked) > 1 and len(points.lineages) == 1 else ():
        try:
            _check_counts(points.where(np.isin(points.method, sorted(group))))
        except TooFewRunsError as error:
            names = " and ".join(", ".join(sorted(one)) for one in linked)
            raise FitError(
                f"{names} have no budget in common, so that neither can lean on the other: measure them at a common "
                f"budget, or fit them separately ({error})"
            ) from None


def _check_asymptote(cells: Sequence[Cell], asymptote: float) -> None:
    if not 0 < asymptote < float("inf"):
        raise ConfigError(f"asymptote must be finite and > 0, got {asymptote:g}")
    lowest = min(cells, key=lambda cell: cell.loss)
    if asymptote >= lowest.loss:
        raise ConfigError(
            f"asymptote must be below every loss, got {asymptote:g} and a loss of {lowest.loss:g} "
            f"({lowest.model} {lowest.method} at {lowest.budget:.3g} FLOP)"
        )


def _check_counts(points: Points) -> None:
    name = ", ".join(points.methods)
    for what, found in (("sizes", points.log_n), ("budgets", points.budget)):
        if len(np.unique(found)) < 2:
            raise TooFewRunsError(f"the law of {name} needs at least 2 {what}, got {len(np.unique(found))}")
    parameters = parameters_of("tied", points)
    if len(points) <= parameters:
        raise TooFewRunsError(
            f"the law of {name} has {parameters} parameters and needs at least {parameters + 1} cells "
            f"(model, method, budget), got {len(points)}"
        )


def supported_forms(points: Points, forms: Sequence[str] | None) -> tuple[FormName, ...]:
    """The forms, or those asked for, that have fewer parameters than there are cells.

    Without a wish the tied form is left to cells that are too few for two exponents and two terms. Where a lineage of
    retrievers is good before any training, forms that do not begin at its loss are left out: `embudget.laws.lineages`.
    The form that begins at each member's own zero-shot loss is left out where no lineage of retrievers has all of these
    losses; of one lineage alone that has them all it can be asked for, whatever its kind.

    Raises:
        ConfigError: a form is unknown, or none was asked for, or the one asked for needs zero-shot losses.
        TooFewRunsError: there are too few cells for each form that was asked for.
    """
    asked = tuple(FORMS) if forms is None else tuple(forms)
    if unknown := [form for form in asked if form not in FORMS]:
        raise ConfigError(f"form must be one of {', '.join(FORMS)}, got {unknown[0]!r}")
    if not asked:
        raise ConfigError(f"forms must name at least one of {', '.join(FORMS)}, got none")
    wanted = tuple(form for form in FORMS if form in asked)
    if not points.begins:
        needing = [form for form in wanted if FORMS[form].by_member]
        if forms is not None and needing and (len(points.lineages) > 1 or not np.isfinite(points.base).all()):
            raise ConfigError(
                f"the {needing[0]} form begins at the zero-shot loss of every retriever, and {_without_base(points)}: "
                "leave the form out, or give the losses in a column base_loss"
            )
        wanted = tuple(form for form in wanted if forms is not None or not FORMS[form].by_member)
    supported = tuple(form for form in wanted if parameters_of(form, points) < len(points))
    if forms is None and "chinchilla" in supported:
        supported = tuple(form for form in supported if form != "tied")
    if forms is None and points.near_start.any():
        supported = tuple(form for form in supported if FORMS[form].begins) or supported
    if not supported:
        needed = {form: parameters_of(form, points) + 1 for form in wanted}
        raise TooFewRunsError(
            ", ".join(f"{form} needs at least {count} cells" for form, count in needed.items()) + f", got {len(points)}"
        )
    return supported


def _without_base(points: Points) -> str:
    count = int((~np.isfinite(points.base)).sum())
    if not count:
        return "none here is a retriever that is good before training"
    return f"{count} of {len(points)} cells do not say it" if count < len(points) else "no cell says it"


def linked_methods(points: Points) -> list[set[str]]:
    """The methods in groups that common budgets tie together: within one they can be compared by measured losses."""
    if len(points.lineages) > 1:
        points = replace(points, method=np.array([line.replace("\n", " ") for line in points.lines.tolist()]))
    budgets = {method: set(points.budget[points.method == method].tolist()) for method in points.methods}
    groups: list[set[str]] = []
    for method in points.methods:
        tied = [group for group in groups if any(budgets[method] & budgets[other] for other in group)]
        groups = [group for group in groups if group not in tied] + [{method}.union(*tied)]
    return sorted(groups, key=min)
