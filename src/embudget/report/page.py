"""The page of a study of any size: the answer, figures, findings, warnings, runs, provenance. Its HTML is page.html."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embudget.errors import ConfigError, FitError, ModelError
from embudget.files import save_text
from embudget.findings import explain
from embudget.laws import Laws
from embudget.laws.laws import OVER_ALL
from embudget.palette import strokes
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.report.agreement import agreement_figure, law_loss
from embudget.report.answer import answer_scripts, answer_section
from embudget.report.doubts import doubts_of
from embudget.report.facts import answer_of, study_facts, study_sentence
from embudget.report.formats import number
from embudget.report.frontier import frontier_figure
from embudget.report.isoflop import isoflop_figure
from embudget.report.look import method_looks
from embudget.report.rendering import drawing_of, rendered
from embudget.report.run_rows import run_rows
from embudget.report.shown import Runs, counted, records_by_id
from embudget.report.tables import recipe_rows, rejected, runners_up

VERDICTS = {
    "reproduced": "holds here",
    "not reproduced": "does not hold here",
    "undetermined": "these runs cannot tell",
}
"""The verdicts of findings, in the words of the page."""


def write_report(
    out: str | Path,
    records: Runs,
    laws: Laws,
    recipe: Recipe | None = None,
    measured: RunRecord | None = None,
    source: str = "laws.json",
) -> Path:
    """Write a study as one HTML file that opens offline, whole or not at all.

    It begins with a field for a budget, which the page answers itself as `embudget recipe` does. Figures, the paper's
    findings, warnings and a table of the runs follow, and last where they come from.

    Args:
        out: the file; an older one is replaced.
        records: all runs of the study, failed ones included; or its `Store`, of whose runs only those that are listed
            are then held in memory. Of more than 10,000 runs the best of each cell are listed, which the page says.
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
    known = counted(records)
    runs = list(records_by_id(records, dict.fromkeys([*known.listed, *known.failed])).values())
    predicted = {run.id: loss for run in runs if (loss := law_loss(laws, run)) is not None}
    unseen = measured is not None and measured.id not in known.ids
    lineages = [_lineage(one, place, laws, runs, predicted, recipe, measured) for place, one in enumerate(laws.every)]
    page = rendered(
        "page.html",
        **_answer(laws, source, recipe),
        answer_parts=answer_scripts(),
        title="embudget: scaling study",
        heading="How contrastive fine-tuning scales",
        study=study_sentence(known),
        recipe=None if recipe is None else _recipe(recipe, measured),
        unseen=unseen,
        methods=method_looks(method for one in laws.every for method in one.table.methods),
        several=bool(laws.others),
        lineages=lineages,
        verdicts=VERDICTS,
        doubts=doubts_of(known, laws, recipe),
        thinned=known.thinned,
        unlisted=known.unlisted,
        runs=run_rows(runs, predicted),
        facts=study_facts(known, laws),
        summary=laws.summary(),
    )
    save_text(out, page)
    return Path(out)


def _answer(laws: Laws, source: str, recipe: Recipe | None) -> dict[str, Any]:
    """The section that answers for any budget, and its data; why there is none where no budget has a recipe."""
    try:
        section, data = answer_section(laws, source, budget=None if recipe is None else recipe.train_flops)
    except (ConfigError, ModelError) as error:
        return {"answer": None, "answers": None, "why_no_answer": str(error)}
    return {"answer": section, "answers": data}


def _recipe(recipe: Recipe, measured: RunRecord | None) -> dict[str, Any]:
    return {
        "sentence": answer_of(recipe, measured),
        "rows": recipe_rows(recipe),
        "as_good": runners_up(recipe),
        "rejected": rejected(recipe),
    }


def _lineage(
    own: Laws,
    place: int,
    laws: Laws,
    runs: Sequence[RunRecord],
    predicted: Mapping[str, float],
    recipe: Recipe | None,
    measured: RunRecord | None,
) -> dict[str, Any]:
    """The figures and the findings of one lineage's laws; ``place`` ends the figures' names in the document."""
    mine = list(runs)
    if laws.others:
        if recipe is None or recipe.lineage != own.lineage:
            recipe = measured = None
        mine = [run for run in runs if run.config.model in own.table.models]
    of = f"-of-{place}" if laws.others else ""
    over_budgets = [no for no in own.refusals if no.budget is None]  # an isoFLOP profile is of one budget
    missing = {no.reason for no in over_budgets if no.method is None or no.method in own.methods}
    return {
        "name": own.lineage,
        "noise": own.noise,
        "over_all": OVER_ALL in own.frontiers,
        "level": None if recipe is None else recipe.level,
        "run": measured is not None and measured.loss is not None,
        "frontier": drawing_of(f"frontier{of}", frontier_figure(own, recipe, measured)),
        "missing": sorted(missing),
        "isoflops": [
            drawing_of(f"isoflop-{panel}{of}", isoflop_figure(own, method))
            | {"method": method, "no_vertex": _refused(own, method)}
            for panel, method in enumerate(strokes(own.table.methods))
        ],
        "agreement": drawing_of(f"agreement{of}", agreement_figure(mine, own, recipe, measured, predicted)),
        **_findings(own),
    }


def _refused(laws: Laws, method: str) -> Mapping[str, Sequence[str]]:
    """Why a method's profiles have no vertex -> at which budgets."""
    by_reason = defaultdict(list)
    for no in laws.refusals:
        if no.method == method and no.budget is not None:
            by_reason[no.reason].append(number(no.budget))
        elif no.method == method and method not in laws.methods:
            by_reason[no.reason].append("any budget")
    return by_reason


def _findings(laws: Laws) -> dict[str, Any]:
    """The paper's findings in these laws, or why none can be looked for."""
    try:
        return {"findings": explain(laws), "why_no_findings": None}
    except FitError as error:
        return {"findings": (), "why_no_findings": str(error)}
