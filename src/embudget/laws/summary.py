"""The laws as plain text, for a terminal or a log."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embudget.laws.result import Laws


def summarise(laws: "Laws") -> str:
    """Runs, equation, frontier, isoFLOP minima and refusals, in this order."""
    table = laws.table
    lines = [
        f"{table.run_count} runs in {len(table.cells)} cells, "
        f"budgets {table.budgets[0]:.3g} to {table.budgets[-1]:.3g} FLOP",
        *table.describe_dropped(),
        *laws.surface.describe(),
        f"noise of one run about the law: {100 * laws.noise:.2g} % ({laws.surface.freedom} degrees of freedom)",
        *_outlying(laws),
        "",
        *_frontier(laws),
        "",
        *_powers(laws),
    ]
    if laws.refusals:
        lines += ["", "not fitted:", *(f"  {no.what}: {no.reason} ({no.error})" for no in laws.refusals)]
    return "\n".join(lines)


def _outlying(laws: "Laws") -> list[str]:
    cells = [
        f"  {cell.model} {cell.method} at {cell.budget:.3g} FLOP: {100 * (cell.ratio - 1):+.3g} % from the law"
        for cell in laws.surface.outlying
    ]
    return ["outlying cells, of little weight in the fit and its noise:", *cells] if cells else []


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
        lines.append(f"  {name:<12} L ~ C^{frontier.line.slope:.3f}{size}")
    return lines
