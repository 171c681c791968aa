"""What a notebook shows of laws: the frontier, what to doubt, and nothing that a name could smuggle in."""

from html import unescape

from embudget.laws import Laws, find_laws, fit
from embudget.laws.diagnostics import warnings_of
from embudget.laws.notebook import MOST_BUDGETS
from embudget.runs import RunTable
from tests.report.test_report import study

HOSTILE = "<img src=x onerror=alert(1)>"


def named(laws: Laws, name: str) -> Laws:
    """The same laws of models of another name, without the checks that a table's names go through."""
    cells = tuple(cell.model_copy(update={"model": name}) for cell in laws.table.cells)
    table = RunTable.model_construct(
        **{field: getattr(laws.table, field) for field in RunTable.model_fields} | {"cells": cells}
    )
    return laws.model_copy(update={"table": table, "lineage": name})


def test_it_shows_the_best_choice_of_each_budget_and_every_warning() -> None:
    laws = find_laws("smollm2")
    shown = laws._repr_html_()
    for row in laws.frontier():
        assert f">{row.budget:.3g}</td>" in shown
        assert f"<td>{row.measured_loss:.3f}</td><td>{row.predicted_loss:.3f}</td>" in shown
    warnings = warnings_of(laws.diagnostics, laws.table, laws.cells)
    assert warnings, "else the next line asserts nothing"
    assert all(text in unescape(shown) for text in warnings)
    assert "color" not in shown and "background" not in shown, "else it would not suit a dark theme"
    assert len(shown) < 20_000


def test_names_are_escaped() -> None:
    shown = named(fit(study(), draws=20), HOSTILE)._repr_html_()
    assert "<img" not in shown and HOSTILE in unescape(shown)


def test_of_many_budgets_the_largest_are_shown() -> None:
    budgets = tuple(1.25e11 * 2**step for step in range(MOST_BUDGETS + 3))
    laws = fit(study(budgets=budgets, seeds=1), draws=5, forms=["chinchilla"])
    shown = laws._repr_html_()
    assert f"the largest {MOST_BUDGETS} of {MOST_BUDGETS + 3} budgets" in shown
    assert f">{budgets[-1]:.3g}</td>" in shown and f">{budgets[2]:.3g}</td>" not in shown
