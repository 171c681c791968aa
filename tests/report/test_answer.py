"""What the page is given to answer by itself: complete, small, and safe whatever the laws are called."""

import json
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from embudget.errors import ConfigError
from embudget.laws import fit
from embudget.laws.builtin import find_laws
from embudget.recipe.options import Question
from embudget.report.answer import DATA, SPAN, answer_script, answer_section, answer_style
from embudget.report.answer_data import answer_data
from embudget.report.answer_law import packed
from embudget.runs import RunTable
from tests.laws.test_lineages import BASE, RETRIEVER, study


@pytest.mark.parametrize("name", ["smollm2", "micro"])
def test_the_data_of_built_in_laws_are_small(name: str) -> None:
    assert len(json.dumps(answer_data(find_laws(name), name))) < 3e5


def test_draws_travel_to_the_last_bit() -> None:
    branch = find_laws("smollm2").surface.components[0].branches[0]
    read = np.frombuffer(b64decode(packed(branch.vectors)), dtype="<f8")
    assert (read.reshape(branch.vectors.shape) == branch.vectors).all()


def test_all_candidates_and_cells_are_there() -> None:
    laws = find_laws("smollm2")
    (found,) = answer_data(laws, "smollm2")["lineages"]
    question = Question.of(laws, {})
    assert [(one["model"], one["method"], one["flopsPerToken"]) for one in found["candidates"]] == [
        (one.model, str(one.method), one.flops_per_token) for one in question.candidates
    ]
    assert len(found["cells"]) == len(laws.cells)
    assert {one["settings"] for one in found["cells"]} == set(range(len(found["settings"])))


def test_the_slider_reaches_beyond_what_the_runs_support_on_both_sides() -> None:
    laws = find_laws("micro")
    _, data = answer_section(laws, "micro")
    low, high = laws.table.budgets[0], laws.table.budgets[-1]
    assert data["span"] == [low / SPAN, high * SPAN]
    assert data["budget"] == 4 * high


@pytest.mark.parametrize(("budget", "typed"), [(1.234567e13, "1.234567e13"), (1.1e11, "1.1e11"), (1e12, "1e12")])
def test_the_field_begins_at_the_budget_that_is_given(budget: float, typed: str) -> None:
    html, _ = answer_section(find_laws("micro"), "micro", budget=budget)
    assert f'value="{typed}"' in html


def test_names_from_outside_are_data_and_never_html() -> None:
    html, data = answer_section(find_laws("micro"), "</script><img src=x onerror=alert(1)>")
    assert "onerror" not in html
    assert data["source"] == "</script><img src=x onerror=alert(1)>"


def test_lineages_are_compared_with_what_is_said_of_uneven_tuning() -> None:
    laws = fit(study(), draws=20, forms=["rectified"])
    data = answer_data(laws, "laws.json")
    assert data["several"]
    assert [one["lineage"] for one in data["lineages"]] == list(laws.lineages)
    assert {BASE, RETRIEVER} == set(laws.lineages)


def test_laws_of_unknown_models_ask_for_a_suite(tmp_path: Path) -> None:
    rows = [
        {"model_params": size, "tokens": tokens, "loss": 1 + 20 / size**0.2 + 30 / tokens**0.3}
        for size in (1e6, 4e6, 1.6e7)
        for tokens in (1e6, 4e6, 1.6e7)
    ]
    (tmp_path / "runs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    laws = fit(RunTable.read(tmp_path / "runs.jsonl"), draws=10, forms=["chinchilla"])
    with pytest.raises(ConfigError, match="suite must be given"):
        answer_section(laws)
    _, data = answer_section(laws, suite="pythia")
    assert data["lineages"][0]["candidates"][0]["model"].startswith("pythia")


def test_nothing_is_fetched() -> None:
    for text in (answer_script(), answer_style()):
        assert not [word for word in ("http:", "https:", "import(", "fetch(", "@import", "url(") if word in text]
    html, _ = answer_section(find_laws("micro"), "micro")
    assert "src=" not in html
    assert DATA in answer_script()
