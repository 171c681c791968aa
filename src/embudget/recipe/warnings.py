"""What the reader of a recipe should mistrust, and the methods it could not consider."""

from collections import Counter
from math import ceil

from embudget.laws import Laws
from embudget.laws.diagnostics import mixed_setting_warnings
from embudget.methods import Bias, Freeze, Full, LoRA, parse_method
from embudget.recipe.members import base_of
from embudget.recipe.options import Option
from embudget.recipe.values import Choice, Rejection
from embudget.runs import Cell
from embudget.suite import ModelShape

MAX_TRUSTED = 4.0
"""Times outside the measured budgets up to which the intervals' coverage was checked in simulation."""


def warnings_for(laws: Laws, suite: str | None, members: tuple[ModelShape, ...], best: Choice) -> tuple[str, ...]:
    """On models not measured, distant budgets, methods never measured side by side, and mixed schedules."""
    warnings = []
    measured = list(dict.fromkeys(map(base_of, laws.table.models)))
    base = base_of(best.model)
    bases = ", ".join(measured[:4]) + (f" and {len(measured) - 4} more" if len(measured) > 4 else "")
    if not set(measured) & {base_of(shape.name) for shape in members}:
        warnings.append(
            f"no member of {suite or 'the suite'} was measured: the laws come from {bases}, and the losses of "
            f"{base} may lie elsewhere; measure a few members"
        )
    elif base not in measured:
        warnings.append(
            f"the laws were measured on {bases}, not on {base}: its losses may lie elsewhere, measure it or a few "
            "members of its suite"
        )
    if best.extrapolation > MAX_TRUSTED:
        warnings.append(
            f"the budget is {best.extrapolation:.3g} times outside those that {best.method} was measured at; "
            f"intervals are checked up to {MAX_TRUSTED:g} times"
        )
    if laws.diagnostics.unlinked:
        groups = " and ".join(laws.diagnostics.unlinked)
        warnings.append(f"{groups} were measured at no common budget: which of them is better is extrapolated")
    return (*warnings, *mixed_setting_warnings(laws.cells))


def repetition(option: Option, nearest: Cell, pairs_available: int | None) -> tuple[str, ...]:
    """On more passes over the pairs than the nearest measured run may have made: laws count repeated pairs as fresh."""
    if pairs_available is None:
        return ()
    whole = pairs_available // option.batch_size * option.batch_size
    passes, measured = ceil(option.pairs / whole), ceil(nearest.max_epochs or 1)
    if passes <= measured:
        return ()
    return (
        f"the pairs are seen up to {passes} times, and in the measured runs at most {measured}: the laws take repeated "
        "pairs for new ones, so that the loss may be higher",
    )


def without_law(laws: Laws) -> tuple[Rejection, ...]:
    """The methods that were measured too little, and the kinds of method that were not measured at all."""
    few = Counter(cell.method for cell in laws.table.cells if cell.method not in laws.methods)
    measured = {parse_method(method).name for method in laws.table.methods}
    kinds = [kind.name for kind in (Full, Freeze, Bias, LoRA)]
    return (
        *(Rejection(method=name, reason=f"measured in {n} cells, too few for a law") for name, n in few.items()),
        *(Rejection(method=name, reason="not measured") for name in kinds if name not in measured),
    )
