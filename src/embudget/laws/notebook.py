"""What does a notebook show of laws that end a cell? The best choice at each measured budget, and what to doubt.

It is HTML without colours of its own, so that it suits the light and the dark theme. `summary()` says more, and
`plot()` draws.
"""

from collections.abc import Sequence
from html import escape
from typing import Protocol

from embudget.choices import methods_in_order
from embudget.laws.diagnostics import warnings_of
from embudget.laws.fitted import Fitted
from embudget.laws.frontier import FrontierRow

MOST_BUDGETS = 12
"""Measured budgets that are shown, the largest ones."""
_LEFT = ' style="text-align:left"'


class _Shown(Protocol):
    """What is asked of `Laws`."""

    @property
    def every(self) -> Sequence[Fitted]: ...

    def frontier(self) -> Sequence[FrontierRow]: ...


def laws_html(laws: _Shown) -> str:
    """A heading, a table of the frontier and the warnings, as HTML; names are escaped."""
    rows = laws.frontier()
    parts = []
    for one in laws.every:
        table = one.table
        name = "" if one.lineage is None else f" of {escape(one.lineage)}"
        parts.append(
            f"<p><b>Laws{name}</b>: {table.run_count:,} runs in {len(table.cells):,} cells, "
            f"{escape(', '.join(methods_in_order(one.methods)))}; a run's noise is {100 * one.noise:.2g} %</p>"
        )
    parts.append(_frontier(rows[-MOST_BUDGETS:]))
    if len(rows) > MOST_BUDGETS:
        parts.append(f"<p>These are the largest {MOST_BUDGETS} of {len(rows)} budgets.</p>")
    warnings = [text for one in laws.every for text in warnings_of(one.diagnostics, one.table, one.cells)]
    if warnings:
        parts.append(f"<p>Warnings:</p><ul>{''.join(f'<li>{escape(text)}</li>' for text in warnings)}</ul>")
    parts.append("<p><code>summary()</code> says more, <code>plot()</code> draws.</p>")
    return f"<div>{''.join(parts)}</div>"


def _frontier(rows: Sequence[FrontierRow]) -> str:
    names = ("budget, FLOP", "best model", "method", "measured loss, nats", "predicted", "90 % of new runs")
    head = "".join(f"<th{_LEFT}>{name}</th>" for name in names)
    body = "".join(
        f"<tr><td{_LEFT}>{row.budget:.3g}</td><td{_LEFT}>{escape(row.model)}</td><td{_LEFT}>{escape(row.method)}</td>"
        f"<td>{'' if row.measured_loss is None else f'{row.measured_loss:.3f}'}</td><td>{row.predicted_loss:.3f}</td>"
        f"<td>{row.interval[0]:.3f} to {row.interval[1]:.3f}</td></tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
