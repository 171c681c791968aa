"""The parts of the laws as plain text, each as lines for a terminal or a log; `Laws.summary` puts them together."""

from collections.abc import Mapping, Sequence
from math import exp, log

import numpy as np

from embudget.laws.backtests import Backtest
from embudget.laws.checks import Refusal
from embudget.laws.diagnostics import Diagnostics, uneven_tuning, warnings_of
from embudget.laws.fitted import Fitted
from embudget.laws.forms import FORMS, Array
from embudget.laws.frontier import Frontier, FrontierRow
from embudget.laws.isoflop import Isoflop
from embudget.laws.joint import Sharing
from embudget.laws.rates import FEWEST, RateLaw, rate_text
from embudget.laws.repetition import Repetition, unique_tokens_of
from embudget.laws.size_exponent import SizeExponent, exponents_of
from embudget.laws.surface import Surface
from embudget.laws.weights import Ranked
from embudget.runs.cells import Cell, RunTable

SHARED_IN_WORDS: dict[Sharing, str] = {
    "shared": "shared by the methods",
    "pooled": "of each kind of method, drawn together",
}
PROFILE_IN_WORDS = {
    "OptimumOutsideGridError": "the best size lies outside the measured ones",
    "ConcaveProfileError": "no size between the others is best",
    "TooFewRunsError": "fewer than 3 sizes",
}
"""Why an isoFLOP profile has no minimum, by the error's name."""


def summarised(laws: Fitted, rows: Sequence[FrontierRow]) -> str:
    """All parts, for the laws of one lineage; ``rows`` are the best choices of its measured budgets."""
    warnings = warnings_of(laws.diagnostics, laws.table, laws.cells)
    parts = [
        [*describe_runs(laws.table), ""],
        [*describe_ranking(laws.ranking), ""],
        [*describe_surface(laws.surface), *describe_zero_shot(laws.surface, laws.cells)],
        describe_backtests(laws.backtests),
        [*describe_diagnostics(laws.diagnostics, warnings), ""],
        [*describe_frontier(rows), ""],
        describe_powers(laws.frontiers, laws.isoflops, exponents_of(laws.surface, laws.cells)),
        describe_repetition(laws.cells, laws.repetition),
        describe_rates(laws.cells, laws.rate_law),
        describe_refusals(laws.refusals),
    ]
    return "\n".join(line for part in parts for line in part)


def describe_runs(table: RunTable) -> list[str]:
    """How many runs and cells there are, and what was left out."""
    budgets = f"budgets {table.budgets[0]:.3g} to {table.budgets[-1]:.3g} FLOP"
    lines = [f"{table.run_count} runs in {len(table.cells)} cells, {budgets}"]
    if table.groups is not None:
        error = f"the difference of two cells has a standard error of {100 * table.groups.paired_error:.2g} %"
        lines.append(f"losses of {len(table.groups.pairs)} held-out groups: by them {error}")
    return [*lines, *table.describe_dropped()]


def describe_ranking(ranking: Sequence[Ranked]) -> list[str]:
    """A table of the forms of law, with the weights that the data give them."""
    lines = [
        f"{'form of law':<24} {'methods':<8} {'forecast error':>14} {'criterion':>10} {'parameters':>10} {'weight':>7}"
    ]
    for one in ranking:
        error = "" if one.forecast_error is None else f"{100 * one.forecast_error:.2f} %"
        criterion = "" if one.criterion is None else f"+{one.criterion:.1f}"
        judged = f"{error:>14} {criterion:>10} {one.parameters:10.1f} {100 * one.weight:5.0f} %"
        lines.append(f"{one.form:<24} {one.sharing:<8} {judged}")
    return lines


def describe_surface(surface: Surface) -> list[str]:
    """The heaviest component's equation and parameters, and the noise about the law."""
    first = surface.components[0]
    names = ", ".join(["E"] * (surface.asymptote is None) + list(FORMS[first.form].exponents))
    shared = f"{names} {SHARED_IN_WORDS[first.sharing]}"
    lines = [f"{FORMS[first.form].equation}, {shared} (medians of the draws, in brackets 90 % of them)"]
    for method in surface.methods:
        values = first.coefficients(method, surface.asymptote)
        texts = [_with_bracket(name, draws[1:]) for name, draws in values.items()]
        lines.append(f"  {method:<12} {'  '.join(texts)}")
    return [*lines, _noise(surface)]


def describe_zero_shot(surface: Surface, cells: Sequence[Cell]) -> list[str]:
    """The losses that the law begins at, a line if it does."""
    if surface.zero_shot is None:
        return []
    known = {cell.model: cell.base_loss for cell in sorted(cells, key=lambda one: one.model_params)}
    named = ", ".join(f"{name} {loss:.3f}" for name, loss in known.items() if loss is not None)
    return [f"L0, the loss before training: {named}"]


def _with_bracket(name: str, draws: Array) -> str:
    middle, low, high = np.quantile(draws, (0.5, 0.05, 0.95))
    return f"{name} {middle:.4g} [{low:.3g}, {high:.3g}]"


def _noise(surface: Surface) -> str:
    text = f"noise of one run about the law: {100 * surface.noise:.2g} % ({surface.freedom:.0f} degrees of freedom)"
    if surface.misfit:
        text += f", of which {100 * surface.misfit:.2g} % is the law's own error, corrected near the measured cells"
    if surface.discrepancy:
        ahead = 100 * surface.discrepancy * log(4) ** 0.5
        text += f"; what no form explains at 4 times the measured budgets: {ahead:.2g} %"
    return text


def describe_backtests(tests: Sequence[Backtest]) -> list[str]:
    """What the laws of the smaller budgets said of the larger ones."""
    if not tests:
        need = "no backtests, which need 4 budgets and enough cells below the largest"
        return [f"{need}: what no form explains is that of simulated studies", ""]
    lines = [f"{'fitted up to':>12} {'forecast':>9} {'cells':>6} {'bias':>8} {'error':>8} {'expected':>9}  of log loss"]
    for one in tests:
        errors = f"{100 * one.bias:+6.1f} % {100 * one.error:6.1f} % {100 * one.expected:7.1f} %"
        lines.append(f"{one.largest:12.2e} {one.budget:9.2e} {one.cells:6} {errors}")
    return [*lines, "backtests: a bias above 0 is a loss higher than the laws promised", ""]


def describe_diagnostics(diagnostics: Diagnostics, warnings: Sequence[str]) -> list[str]:
    """The numbers of the diagnosis, then the warnings."""
    return [
        f"condition number of the parameters: {diagnostics.condition:.2g}; largest leverage of a cell: "
        f"{diagnostics.leverage:.2f}; largest influence: {diagnostics.influence:.2f}",
        *(f"warning: {line}" for line in warnings),
    ]


def describe_frontier(rows: Sequence[FrontierRow]) -> list[str]:
    """A table of the best choice at each budget."""
    lines = [f"{'budget':>9}  {'best method':<12} {'model':<20} {'measured':>8} {'predicted':>9}  90 % interval"]
    for row in rows:
        low, high = row.interval
        measured = f"{row.measured_loss:8.3f}" if row.measured_loss is not None else " " * 8
        lines.append(
            f"{row.budget:9.2e}  {row.method:<12} {row.model:<20} {measured} {row.predicted_loss:9.3f}"
            f"  {low:.3f} to {high:.3f}"
        )
    return lines


def join_lineages(every: Sequence[Fitted], summaries: Sequence[str], rows: Sequence[FrontierRow]) -> str:
    """The summaries of several lineages one after the other, then a table of the best start at each budget."""
    cells = {str(one.lineage): one.cells for one in every}
    parts = [f"== lineage {name} ==\n{text}" for name, text in zip(cells, summaries, strict=True)]
    width = max(map(len, cells))
    lines = [f"{'budget':>9}  {'best start':<{width}}  {'by method':<12} {'model':<20} measured or predicted loss"]
    for row in rows:
        loss = f"{row.measured_loss:.3f}" if row.measured_loss is not None else f"{row.predicted_loss:.3f}, predicted"
        lines.append(f"{row.budget:9.2e}  {row.lineage or '':<{width}}  {row.method:<12} {row.model:<20} {loss}")
    if (uneven := uneven_tuning(cells)) is not None:
        lines.append(f"warning: {uneven}")
    return "\n\n".join([*parts, "== all lineages ==\n" + "\n".join(lines)])


def describe_powers(
    frontiers: Mapping[str, Frontier], isoflops: Mapping[str, Isoflop], exponents: Mapping[str, SizeExponent]
) -> list[str]:
    """The exponents against the budget of the best loss and of the best size, the latter by law and by parabolas."""
    lines = ["best loss against budget C; best size N* by the law (90 % interval) and by isoFLOP profiles:"]
    for name, frontier in frontiers.items():
        bent = frontier.bent
        floor = f"   or {bent.asymptote:.3g} + ~ C^{bent.line.slope:.3f}" if bent and bent.asymptote > 0 else ""
        sizes = []
        if exponent := exponents.get(name):
            low, high = exponent.interval
            sizes.append(f"C^{exponent.value:.2f} ({low:.2f} to {high:.2f})")
        if (isoflop := isoflops.get(name)) and isoflop.best_size:
            sizes.append(f"C^{isoflop.best_size.slope:.2f} by isoFLOP")
        size = f"   N* ~ {', '.join(sizes)}" if sizes else ""
        lines.append(f"  {name:<12} L ~ C^{frontier.line.slope:.3f}{floor}{size}")
    return lines


def describe_repetition(cells: Sequence[Cell], repetition: Repetition) -> list[str]:
    """What repeated tokens are worth, after an empty line; nothing where no cell repeats any."""
    if not repetition.fitted:
        return []
    repeated = int((np.array([cell.tokens for cell in cells]) > unique_tokens_of(cells)).sum())
    return [
        "",
        f"{repeated} of {len(cells)} cells repeat their tokens, up to {repetition.passes:.3g} passes: those of many "
        f"passes are worth at most 1 + R passes of new ones, {repetition}",
    ]


def describe_rates(cells: Sequence[Cell], law: RateLaw | None) -> list[str]:
    """How many cells were tuned and the law of the best rate, after an empty line; nothing if none was tuned."""
    envelopes = sum(cell.rate_inside is not None for cell in cells)
    if not envelopes:
        return []
    tuned = f"{envelopes} of {len(cells)} cells at the best of 3 or more learning rates"
    lines = ["", f"the laws describe tuned runs: {tuned}"]
    if law is None:
        return [*lines, f"  no law of the best rate: it needs {FEWEST} cells with a minimum between their rates"]
    n, d = (exp(centre) for centre in law.centre)
    slopes = f"~ N^{law.model_params_slope:.2f} D^{law.tokens_slope:.2f}"
    lines.append(f"  best rate {slopes}, by {law}; at N = {n:.3g}, D = {d:.3g}:")
    for method, intercept in law.intercepts.items():
        count = law.envelopes[method]
        low, high = (rate_text(rate) for rate in law.measured[method])
        measured = f"{count} envelopes, best rates {low} to {high}" if count > 1 else "1 envelope"
        if ended := law.ends.get(method, 0):
            measured = f"{count} envelopes, {ended} at an end, best rates {low} to {high}"
        p, q = law.slopes(method)
        lines.append(f"  {method:<12} {rate_text(exp(intercept)):<7} ~ N^{p:.2f} D^{q:.2f}, {measured}")
    return lines


def describe_refusals(refusals: Sequence[Refusal]) -> list[str]:
    """What the data did not support, after an empty line; the profiles of a method that fail alike take one line."""
    if not refusals:
        return []
    profiles: dict[tuple[str | None, str], list[Refusal]] = {}
    lines = []
    for no in refusals:
        if no.budget is None:
            lines.append(f"  {no.what}: {no.reason}")
        else:
            profiles.setdefault((no.method, no.error), []).append(no)
    for (method, error), alike in profiles.items():
        budgets = [no.budget for no in alike if no.budget is not None]
        at = (
            f"{budgets[0]:.3g}"
            if len(budgets) == 1
            else f"{len(budgets)} budgets, {min(budgets):.3g} to {max(budgets):.3g}"
        )
        lines.append(f"  isoFLOP profile of {method} at {at} FLOP: {PROFILE_IN_WORDS.get(error, alike[0].reason)}")
    return ["", "not fitted:", *lines]
