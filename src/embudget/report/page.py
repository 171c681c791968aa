"""The page of a study of any size: its figures and tables."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from embudget.errors import ConfigError, ModelError
from embudget.files import save_text
from embudget.laws import Laws
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.report.agreement import agreement_figure
from embudget.report.answer import answer_section
from embudget.report.document import document, figure_element
from embudget.report.facts import answer_of, facts_list
from embudget.report.formats import html, methods_in_order, number
from embudget.report.frontier import frontier_figure
from embudget.report.isoflop import isoflop_figure
from embudget.report.shown import Runs, counted, records_by_id
from embudget.report.tables import failed_table, recipe_table, rejected_table, runners_up_table, runs_table


def write_report(
    out: str | Path,
    records: Runs,
    laws: Laws,
    recipe: Recipe | None = None,
    measured: RunRecord | None = None,
    source: str = "laws.json",
) -> Path:
    """Write a study as one HTML file that opens offline, whole or not at all.

    It begins with a field for a budget, which the page answers itself as `embudget recipe` does; figures and tables
    follow.

    Args:
        out: the file; an older one is replaced.
        records: all runs of the study, failed ones included; or its `Store`, of whose runs only those that are listed
            are then held in memory. Of more than 1,000 runs the best of each cell are listed, which the page says.
        laws: fitted to the records.
        recipe: an answer from the laws, shown beside.
        measured: the record of the recipe's run. The page says that the law has not seen it, unless it is among
            ``records``.
        source: file or name of the laws, in the command that the page shows.

    Returns:
        The file.

    Raises:
        ConfigError: the file cannot be written.

    Example:
        >>> with eb.Store("study.db") as store:
        ...     page = eb.write_report("report.html", store, laws=eb.fit(store.records()))
        >>> page
        PosixPath('report.html')
    """
    answer, data = _answer(laws, source, recipe)
    sections = [*answer, *_sections(records, laws, recipe, measured)]
    save_text(out, document("embudget: scaling study", "How contrastive fine-tuning scales", sections, data))
    return Path(out)


def _answer(laws: Laws, source: str, recipe: Recipe | None) -> tuple[list[str], dict[str, Any] | None]:
    """The section that answers for any budget, and its data; why there is none where no budget has a recipe."""
    try:
        section, data = answer_section(laws, source, budget=None if recipe is None else recipe.train_flops)
    except (ConfigError, ModelError) as error:
        return [f'<p class="lead">This page cannot answer for a budget: {html(str(error))}</p>'], None
    return [section], data


def _sections(runs: Runs, laws: Laws, recipe: Recipe | None, measured: RunRecord | None) -> Iterator[str]:
    known = counted(runs)
    records = list(records_by_id(runs, known.listed).values())
    unseen = measured is not None and measured.id not in known.ids
    if recipe is not None:
        yield answer_of(recipe, measured)
    yield facts_list(known, laws)
    if known.thinned is not None:
        yield f'<p class="lead">{html(str(known.thinned))} <code>embudget records --csv</code> writes all.</p>'
    if not laws.others:
        yield from _figures("", records, laws, recipe, measured, unseen)
    for place, one in enumerate(laws.every if laws.others else ()):  # each lineage has figures of its own
        own = recipe if recipe is not None and recipe.lineage == one.lineage else None
        mine = [record for record in records if record.config.model in one.table.models]
        yield f"<h2>Lineage {html(str(one.lineage))}</h2>"
        yield from _figures(f"-of-{place}", mine, one, own, measured if own is not None else None, unseen)
    if recipe is not None:
        yield _recipe(recipe)
    yield f"<h2>Laws</h2>\n<pre>{html(laws.summary())}</pre>"
    yield "<h2>Runs</h2>"
    if failed := list(records_by_id(runs, known.failed).values()):
        yield "<h3>Without a loss that counts</h3>\n" + failed_table(failed)
        if len(failed) < known.failures:
            yield f'<p class="lead">These are the first {len(failed)} of {known.failures:,}.</p>'
        yield "<h3>All</h3>" if known.thinned is None else "<h3>The best of each cell</h3>"
    yield '<p class="lead">Click a column to sort.</p>' + runs_table(records, laws)


def _figures(
    of: str, records: Sequence[RunRecord], laws: Laws, recipe: Recipe | None, measured: RunRecord | None, unseen: bool
) -> Iterator[str]:
    """The figures of one lineage's laws; ``of`` ends their names in the document."""
    yield _frontier(of, laws, recipe, measured)
    yield _isoflops(of, laws)
    yield _agreement(of, records, laws, recipe, measured, unseen)


def _frontier(of: str, laws: Laws, recipe: Recipe | None, measured: RunRecord | None) -> str:
    over_budgets = [no for no in laws.refusals if no.budget is None]  # an isoFLOP profile is of one budget
    missing = [no.reason for no in over_budgets if no.method is None or no.method in laws.methods]
    caption = "Markers: the best run of each budget. Lines: power laws through them, dotted beyond measured budgets."
    if missing:
        caption += f" Without a line: {html('; '.join(sorted(set(missing))))}."
    figure = frontier_figure(laws, recipe, measured)
    return "<h2>Best loss against budget</h2>\n" + figure_element(f"frontier{of}", figure, caption)


def _isoflops(of: str, laws: Laws) -> str:
    panels = [
        f"<div><h3>{html(method)}</h3>"
        + figure_element(f"isoflop-{place}{of}", isoflop_figure(laws, method), _refusals(laws, method))
        + "</div>"
        for place, method in enumerate(methods_in_order(laws.table.methods))
    ]
    lead = (
        "Loss against model size at a fixed budget, which is written at each curve in FLOP; × marks the vertex of the "
        "parabola. To the left models are too small for the budget, to the right they see too little data."
    )
    return f'<h2>IsoFLOP profiles</h2>\n<p class="lead">{lead}</p>\n<div class="panels">{"".join(panels)}</div>'


def _refusals(laws: Laws, method: str) -> str:
    """Why a method's profiles have no vertex; budgets with the same reason together."""
    by_reason = defaultdict(list)
    for no in laws.refusals:
        if no.method == method and no.budget is not None:
            by_reason[no.reason].append(number(no.budget))
        elif no.method == method and method not in laws.methods:
            by_reason[no.reason].append("any budget")
    if not by_reason:
        return ""
    reasons = "".join(f"<li>{html(', '.join(at))}: {html(reason)}</li>" for reason, at in by_reason.items())
    return f"No vertex at<ul>{reasons}</ul>"


def _agreement(
    of: str, records: Sequence[RunRecord], laws: Laws, recipe: Recipe | None, measured: RunRecord | None, unseen: bool
) -> str:
    caption = f"Runs of the methods that have a law; the noise of one run about it is {100 * laws.noise:.2g} %."
    if unseen and measured is not None:
        caption += " The law has not seen the recipe's run."
    figure = agreement_figure(records, laws, recipe, measured)
    return "<h2>Predicted and measured</h2>\n" + figure_element(f"agreement{of}", figure, caption, kind="narrow")


def _recipe(recipe: Recipe) -> str:
    parts = ["<h2>Recipe</h2>", recipe_table(recipe)]
    parts += [f'<p class="warning">{html(warning)}</p>' for warning in recipe.warnings]
    if recipe.flat:
        parts += ["<h3>As good within the noise</h3>", runners_up_table(recipe)]
    if recipe.rejected:
        parts += ["<h3>Rejected</h3>", rejected_table(recipe)]
    return "\n".join(parts)
