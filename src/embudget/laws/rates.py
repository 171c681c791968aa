"""The learning rates of a study: the law of the best one, and what to say of the cells that it was sought in.

A cell without a minimum between its rates says only that the best one lies beyond an end: it is no part of the law.
"""

from collections import Counter
from collections.abc import Sequence
from math import exp

from embudget.laws.envelope import RateLaw, fit_rate_law
from embudget.laws.table import Cell

FEWEST = 2
"""Envelopes with a minimum below which there is no law: a single rate is no more than the nearest cell's."""
MAX_LISTED = 5
"""Cells that are warned of one by one."""


def rate_law_of(cells: Sequence[Cell]) -> RateLaw | None:
    """The law of the best rate over the cells that know it; None with fewer than FEWEST."""
    known = [(cell, cell.learning_rate) for cell in cells if cell.rate_inside and cell.learning_rate is not None]
    if len(known) < FEWEST:
        return None
    return fit_rate_law(
        [cell.method for cell, _ in known],
        [cell.model_params for cell, _ in known],
        [cell.tokens for cell, _ in known],
        [rate for _, rate in known],
    )


def rate_text(rate: float) -> str:
    """To 2 significant digits: 1e-3, 2.1e-3."""
    mantissa, exponent = f"{rate:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def describe_rates(cells: Sequence[Cell], law: RateLaw | None) -> list[str]:
    """The envelopes and the law of the best rate, in lines that end in an empty one; nothing without envelopes."""
    envelopes = sum(cell.rate_inside is not None for cell in cells)
    if not envelopes:
        return []
    lines = [f"the laws describe tuned runs: {envelopes} of {len(cells)} cells at the best of 3 or more learning rates"]
    if law is None:
        return [*lines, f"  no law of the best rate: it needs {FEWEST} cells with a minimum between their rates", ""]
    n, d = (exp(centre) for centre in law.centre)
    slopes = f"~ N^{law.model_params_slope:.2f} D^{law.tokens_slope:.2f}"
    lines.append(f"  best rate {slopes}, by {law}; at N = {n:.3g}, D = {d:.3g}:")
    for method, intercept in law.intercepts.items():
        count = law.envelopes[method]
        low, high = (rate_text(rate) for rate in law.measured[method])
        measured = f"{count} envelopes, best rates {low} to {high}" if count > 1 else "1 envelope"
        lines.append(f"  {method:<12} {rate_text(exp(intercept)):<7} {measured}")
    return [*lines, ""]


def rate_warnings(cells: Sequence[Cell]) -> list[str]:
    """Cells whose best rate may lie beyond those tried, and cells without an envelope beside others with one."""
    ends = [_named(cell, problem) for cell in cells if (problem := at_end(cell))]
    lines = ends[:MAX_LISTED]
    if len(ends) > MAX_LISTED:
        lines.append(f"and {len(ends) - MAX_LISTED} more cells without a minimum between the rates tried")
    untuned = Counter(cell.method for cell in cells if cell.rate_inside is None)
    if 0 < untuned.total() < len(cells):
        counts = ", ".join(f"{method} {count}" for method, count in untuned.items())
        lines.append(
            f"fewer than 3 rates were tried in {untuned.total()} of {len(cells)} cells ({counts}): beside tuned cells "
            "they may look worse than they are"
        )
    return lines


def at_end(cell: Cell) -> str | None:
    """What is wrong with a cell's best rate, in words; None where it is a minimum, or no envelope was measured."""
    if cell.rate_inside is not False:
        return None
    if cell.learning_rate == cell.lowest_rate:
        return "the lowest tried"
    return "the highest tried" if cell.learning_rate == cell.highest_rate else "no clear minimum"


def _named(cell: Cell, problem: str) -> str:
    assert cell.learning_rate is not None
    name = f"{cell.model} {cell.method} at {cell.budget:.3g} FLOP"
    return f"{name}: best rate {rate_text(cell.learning_rate)} is {problem}"
