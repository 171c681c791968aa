"""The laws as plain text, for a terminal or a log."""

from typing import TYPE_CHECKING

from embudget.laws.mixed_settings import mixed_setting_warnings
from embudget.laws.rates import describe_rates, rate_warnings

if TYPE_CHECKING:
    from embudget.laws.result import Laws
    from embudget.laws.surface import Surface


def summarise(laws: "Laws") -> str:
    """Runs, ranking, equation, warnings, frontier, isoFLOP minima, rates, other objectives, refusals, in this order."""
    table, surface = laws.table, laws.surface
    lines = [
        f"{table.run_count} runs in {len(table.cells)} cells, "
        f"budgets {table.budgets[0]:.3g} to {table.budgets[-1]:.3g} FLOP",
        *table.describe_dropped(),
        "",
        *_ranking(laws),
        "",
        *surface.describe(),
        _noise(surface),
        f"condition number of the parameters: {laws.diagnostics.condition:.2g}; largest leverage of a cell: "
        f"{laws.diagnostics.leverage:.2f}; largest influence: {laws.diagnostics.influence:.2f}",
        *(f"warning: {line}" for line in _warnings(laws)),
        "",
        *_frontier(laws),
        "",
        *_powers(laws),
        "",
        *describe_rates(laws.cells, laws.rate_law),
        *_alternatives(laws),
    ]  # fmt: skip
    if laws.refusals:
        lines += ["", "not fitted:", *(f"  {no.what}: {no.reason} ({no.error})" for no in laws.refusals)]
    return "\n".join(lines)


def _warnings(laws: "Laws") -> list[str]:
    return [*laws.diagnostics.warnings(), *rate_warnings(laws.cells), *mixed_setting_warnings(laws.cells)]


def _noise(surface: "Surface") -> str:
    text = f"noise of one run about the law: {100 * surface.noise:.2g} % ({surface.freedom:.0f} degrees of freedom)"
    if surface.misfit:
        text += f", of which {100 * surface.misfit:.2g} % is the law's own error, corrected near the measured cells"
    if surface.discrepancy:
        text += f"; unexplained, per {surface.step:.2g} times the budget: {100 * surface.discrepancy:.2g} %"
    return text


def _ranking(laws: "Laws") -> list[str]:
    lines = [
        f"{'form of law':<24} {'methods':<8} {'forecast error':>14} {'criterion':>10} {'parameters':>10} {'weight':>7}"
    ]
    for one in laws.ranking:
        error = "" if one.forecast_error is None else f"{100 * one.forecast_error:.2f} %"
        criterion = "" if one.criterion is None else f"+{one.criterion:.1f}"
        judged = f"{error:>14} {criterion:>10} {one.parameters:10.1f} {100 * one.weight:5.0f} %"
        lines.append(f"{one.form:<24} {one.sharing:<8} {judged}")
    return lines


def _alternatives(laws: "Laws") -> list[str]:
    found = laws.alternatives()
    if not found:
        return []
    lines = [
        "L = E + A/N^a + B/D^b, shared by the methods, under other objectives (b/(a+b): N* ~ C^it):",
        f"  {'objective':<17} {'E':>7} {'a':>7} {'b':>7} {'b/(a+b)':>8} {'Huber 1e-3':>11}",
    ]
    for one in found:
        numbers = f"{one.E:7.3f} {one.a:7.3f} {one.b:7.3f} {one.size_exponent:8.3f} {one.huber:11.3g}"
        lines.append(f"  {one.name:<17} {numbers}   {one.starts}".rstrip())
    return lines


def _frontier(laws: "Laws") -> list[str]:
    lines = [f"{'budget':>9}  {'best method':<12} {'model':<20} {'measured':>8} {'predicted':>9}  90 % interval"]
    for row in laws.frontier():
        low, high = row.interval
        measured = f"{row.measured_loss:8.3f}" if row.measured_loss is not None else " " * 8
        lines.append(
            f"{row.budget:9.2e}  {row.method:<12} {row.model:<20} {measured} {row.predicted_loss:9.3f}"
            f"  {low:.3f} to {high:.3f}"
        )
    return lines


def _powers(laws: "Laws") -> list[str]:
    lines = ["best loss against budget C, and best size N* of the isoFLOP profiles:"]
    for name, frontier in laws.frontiers.items():
        isoflop = laws.isoflops.get(name)
        size = f"   N* ~ C^{isoflop.best_size.slope:.2f}" if isoflop and isoflop.best_size else ""
        bent = frontier.bent
        floor = f"   or {bent.asymptote:.3g} + ~ C^{bent.line.slope:.3f}" if bent and bent.asymptote > 0 else ""
        lines.append(f"  {name:<12} L ~ C^{frontier.line.slope:.3f}{floor}{size}")
    return lines
