"""All findings of one study."""

from embudget.choices import Choices, measured_candidates
from embudget.errors import FitError
from embudget.findings.best_size import best_size
from embudget.findings.bias_only import bias_only
from embudget.findings.finding import Finding
from embudget.findings.freezing import fraction, freezing
from embudget.findings.ranks import lora_ranks
from embudget.findings.straight import straight
from embudget.findings.switch import switch
from embudget.laws import Laws

MIN_DRAWS = 20
"""Draws below which shares of them decide nothing."""


def explain(laws: Laws) -> tuple[Finding, ...]:
    """Look for findings 1 to 7 of the paper in the laws of a study, within the budgets that it measured.

    Example:
        >>> import embudget as eb
        >>> findings = eb.explain(eb.find_laws("smollm2"))
        >>> [finding.number for finding in findings if finding.verdict == "reproduced"]
        [6]

    Raises:
        FitError: the laws have fewer than 20 draws.
        ConfigError: they are of several lineages, of which one must be chosen: `Laws.of`.
    """
    laws = laws.of(None)
    candidates = measured_candidates(laws.cells, laws.surface.step)
    draws = len(Choices.of(laws.on_study, candidates, laws.table.budgets[:1]).log_losses)
    if draws < MIN_DRAWS:
        raise FitError(f"findings need laws with at least {MIN_DRAWS} draws, got {draws}: fit again with more")
    return tuple(
        find(laws, candidates) for find in (switch, best_size, freezing, fraction, bias_only, lora_ranks, straight)
    )
