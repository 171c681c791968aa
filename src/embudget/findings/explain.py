"""All findings of one study."""

from embudget.errors import FitError
from embudget.findings.best_size import best_size
from embudget.findings.bias_only import bias_only
from embudget.findings.choices import Choices
from embudget.findings.finding import Finding
from embudget.findings.freezing import fraction, freezing
from embudget.findings.ranks import ranks
from embudget.findings.straight import straight
from embudget.findings.switch import switch
from embudget.laws import Laws

MIN_DRAWS = 20
"""Draws below which shares of them decide nothing."""


def explain(laws: Laws) -> tuple[Finding, ...]:
    """Look for findings 1 to 7 of the paper in the laws of a study, within the budgets that it measured.

    Raises:
        FitError: the laws have fewer than 20 draws.
    """
    choices = Choices.of(laws)
    draws = len(choices.log_losses(laws.table.budgets[0]))
    if draws < MIN_DRAWS:
        raise FitError(f"findings need laws with at least {MIN_DRAWS} draws, got {draws}: fit again with more")
    return tuple(find(laws, choices) for find in (switch, best_size, freezing, fraction, bias_only, ranks, straight))
