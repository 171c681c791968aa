"""What a page warns of, and what it says to do about it; and how data get into a page."""

import json

import pytest
from jinja2 import UndefinedError

from embudget.laws import Laws, Refusal
from embudget.laws.diagnostics import CellDiagnosis
from embudget.records import RunRecord
from embudget.report.doubts import doubts_of
from embudget.report.rendering import embedded, rendered
from embudget.report.run_rows import run_rows
from embudget.report.shown import counted
from tests.report.test_report import failed


def with_diagnostics(laws: Laws, **changes: object) -> Laws:
    return laws.model_copy(update={"diagnostics": laws.diagnostics.model_copy(update=changes)})


def new_doubts(records: list[RunRecord], before: Laws, after: Laws) -> dict[str, list[str]]:
    """Those that the second laws have and the first have not."""
    known = counted(records)
    old = {what for whats in doubts_of(known, before, None).values() for what in whats}
    found = {do: [what for what in whats if what not in old] for do, whats in doubts_of(known, after, None).items()}
    return {do: whats for do, whats in found.items() if whats}


def test_points_that_decide_the_law_are_named_with_how_far_they_are_off(records: list[RunRecord], laws: Laws) -> None:
    cell = CellDiagnosis(model="a", method="full", budget=1e12, ratio=0.9, leverage=0.5, influence=2.0)
    found = new_doubts(records, laws, with_diagnostics(laws, influential=(cell,), outlying=(cell,)))
    whats = [what for whats in found.values() for what in whats]
    assert len(found) == 2
    assert all("a by full at 1e12 FLOP, measured 10.0 % below the law" in what for what in whats)


@pytest.mark.parametrize(
    ("changes", "what", "do"),
    [
        ({"patterns": ("log N",)}, "its errors follow log N", "near the measured budgets"),
        ({"at_bound": ("the exponent a of full",)}, "The exponent a of full ended", "further apart"),
        ({"unlinked": ("full", "bias")}, "full and bias were measured at no common budget", "at one budget"),
        ({"asymptote": (0.02, 9.0)}, "anywhere from 0.02 to 9 nats", "far budgets little"),
    ],
)
def test_what_a_fit_leaves_open_is_said_with_what_to_do(
    records: list[RunRecord], laws: Laws, changes: dict[str, object], what: str, do: str
) -> None:
    sure = with_diagnostics(laws, patterns=(), at_bound=(), unlinked=(), asymptote=None)
    ((advice, whats),) = new_doubts(records, sure, with_diagnostics(sure, **changes)).items()
    assert len(whats) == 1
    assert what in whats[0] and do in advice


def test_refused_fits_and_failed_runs_are_said(records: list[RunRecord], laws: Laws) -> None:
    no = Refusal(what="law of bias", method="bias", error="TooFewRunsError", reason="it has 1 cell")
    more = laws.model_copy(update={"refusals": (*laws.refusals, no)})
    assert new_doubts(records, laws, more) == {
        "Add runs of it to the study.": ["Law of bias could not be fitted: it has 1 cell."]
    }
    spent = [*records, failed(records[0].config)]
    assert [whats for whats in doubts_of(counted(spent), laws, None).values() if "1 run failed." in whats]


def test_names_of_models_keep_their_letters(records: list[RunRecord], laws: Laws) -> None:
    cells = [cell.model_copy(update={"rate_inside": False, "rates": 3}) for cell in laws.table.cells]
    ends = laws.model_copy(update={"table": laws.table.model_copy(update={"cells": tuple(cells)})})
    whats = [what for whats in doubts_of(counted(records), ends, None).values() for what in whats]
    assert not [what for what in whats if what.startswith("Smollm2")]


def test_rows_of_runs_have_a_value_for_each_column(records: list[RunRecord]) -> None:
    data = run_rows([*records, failed(records[0].config, "gone")], {records[0].id: 1.23456789})
    names = [column["name"] for column in data["columns"]]
    rows = [dict(zip(names, row, strict=True)) for row in data["rows"]]
    assert len(rows) == len(records) + 1
    assert [row["predicted_loss"] for row in rows if row["predicted_loss"]] == [1.23457]
    assert "accuracy" not in names, "no run measured it"
    assert [row["method"] for row in rows] == sorted((row["method"] for row in rows), key=list(data["kinds"]).index)
    assert data["kinds"]["freeze:0.5"] == "freeze"


def test_no_text_of_data_can_end_their_element() -> None:
    texts = ["</script><!--", "a & b", "\u2028"]
    written = embedded(texts)
    assert json.loads(written) == texts
    assert not set("<>&") & set(written)


def test_a_template_that_lacks_a_value_is_no_page() -> None:
    with pytest.raises(UndefinedError, match="recipe"):
        rendered("recipe_sentence.html", outcome=None)
