"""The page of a simulated study and its figures."""

import json
import resource
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from embudget.design import World, simulate
from embudget.errors import ConfigError
from embudget.exports.folder import RECORD_FILE
from embudget.laws import Coefficients, Laws, fit
from embudget.recipe import Crossover, Recipe, recommend
from embudget.records import Provenance, RunConfig, RunRecord
from embudget.report import agreement_figure, frontier_figure, isoflop_figure, write_report
from embudget.report.tables import recipe_rows
from embudget.study import Store
from tests.command_line import Run

METHODS = {"full": (185.0, 20.5), "freeze:0.5": (195.0, 19.5), "lora:32": (205.0, 17.0)}
MODELS = ("smollm2-135m:1", "smollm2-135m:2", "smollm2-135m:4")
BUDGETS = (1.25e11, 5e11, 2e12)
HOSTILE = "RunError: <script>alert('x')</script> & \"more\""


def study(noise: float = 0.01, **changes: Any) -> list[RunRecord]:  # noqa: ANN401 - fields of a World
    truth = {name: Coefficients(E=0.5, A=A, a=0.3, B=B, b=0.25) for name, (A, B) in METHODS.items()}
    return simulate(World(**({"truth": truth, "models": MODELS, "budgets": BUDGETS, "noise": noise} | changes)))


def failed(config: RunConfig, error: str = HOSTILE) -> RunRecord:
    return RunRecord(config=config.model_copy(update={"seed": 9}), status="failed", error=error, attempts=3)


@pytest.fixture(scope="module")
def recipe(laws: Laws) -> Recipe:
    return recommend(laws, 8e12, min_steps=1)


@pytest.fixture(scope="module")
def measured(recipe: Recipe) -> RunRecord:
    size, tokens = recipe.model_params, int(recipe.tokens)
    return RunRecord(config=recipe.run_config("simulated"), status="done", loss=2.75, model_params=size, tokens=tokens)


class Page(HTMLParser):
    """What a browser would find: elements, their attributes, and the text outside scripts and styles."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.source = file.read_text()
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("b", "span"):
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.text.append(data)

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The rows of the table of runs, which the script makes of data."""
        data = json.loads(self.source.partition('id="runs-data">')[2].partition("</script>")[0])
        names = [column["name"] for column in data["columns"]]
        return [dict(zip(names, row, strict=True)) for row in data["rows"]]

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    @property
    def words(self) -> str:
        return "".join(self.text).replace("\xa0", " ")


def traces(figure: Any) -> dict[str, list[Any]]:  # noqa: ANN401 - a plotly figure
    named: dict[str, list[Any]] = {}
    for trace in figure.data:
        named.setdefault(trace.name, []).append(trace)
    return named


def test_the_page_is_one_file_that_fetches_nothing(
    tmp_path: Path, records: list[RunRecord], laws: Laws, recipe: Recipe, measured: RunRecord
) -> None:
    from plotly.offline import get_plotlyjs

    out = write_report(tmp_path / "report.html", records, laws, recipe, measured)
    page = Page(out)
    assert list(tmp_path.iterdir()) == [out]
    assert page.source.count(get_plotlyjs()) == 1
    assert not [(tag, found) for tag, found in page.tags if {"src", "href"} & set(found) or tag in ("link", "base")]
    assert 'src="http' not in page.source and "@import" not in page.source
    policy = next(found["content"] for tag, found in page.tags if "http-equiv" in found)
    assert policy is not None and policy.startswith("default-src 'none'") and "http" not in policy


def test_the_page_counts_shared_flop_once_and_names_what_diverged(
    tmp_path: Path, records: list[RunRecord], laws: Laws
) -> None:
    config = records[0].config.model_copy(update={"seed": 9})
    diverged = RunRecord(config=config, status="diverged", error="the loss became nan at 12 %")
    branch = records[0].model_copy(update={"train_flops": 4e20, "shared_flops": 1e20, "seconds": 7200.0})
    page = Page(write_report(tmp_path / "r.html", [branch, *records[1:], diverged], laws))
    words = page.words
    assert "27 done, 1 diverged, 0 failed" in words
    assert "3e20 FLOP in 1.5 h of training" in words
    assert [(row["status"], row["error"]) for row in page.runs if row["error"]] == [
        ("diverged", "the loss became nan at 12 %")
    ]


def test_the_page_tells_what_the_study_was_and_what_it_answers(
    tmp_path: Path, records: list[RunRecord], laws: Laws, recipe: Recipe, measured: RunRecord
) -> None:
    origin = Provenance(
        versions={"torch": "2.13.0"}, model_revision="r", device="Abacus 9", threads=2, started="2026-01-02T03:04:05"
    )
    located = records[0].model_copy(update={"provenance": origin, "seconds": 7200.0})
    spent = [located, *records[1:], failed(records[0].config)]
    page = Page(write_report(tmp_path / "r.html", spent, laws, recipe, measured))
    words = page.words
    for expected in (*MODELS, *METHODS, "1.25e11", "27 done, 1 failed", "Abacus 9, 2 threads", "torch 2.13.0"):
        assert expected in words
    assert "2026-01-02" in words and "2.0 h of training" in words
    assert f"{recipe.predicted_loss:.3f} nats" in words and "Measured: 2.750 nats, off by " in words
    assert {row["id"] for row in page.runs} == {record.id for record in spent}
    assert all(
        reason in words for reason in [no.reason for no in laws.refusals] + [no.reason for no in recipe.rejected]
    )


def test_a_loss_on_other_held_out_pairs_is_not_held_against_the_prediction(
    tmp_path: Path, records: list[RunRecord], laws: Laws, recipe: Recipe, measured: RunRecord
) -> None:
    old = recipe.model_copy(update={"yardstick": None})
    words = Page(write_report(tmp_path / "r.html", records, laws, old, measured)).words
    assert "Measured: 2.750 nats, on other held-out pairs than those of the prediction." in words


def test_text_of_a_record_stays_text(tmp_path: Path, records: list[RunRecord]) -> None:
    model = "</script><script>alert('model')</script>"
    renamed = [
        record.model_copy(update={"config": record.config.model_copy(update={"model": model})})
        if record.config.model == MODELS[0]
        else record
        for record in records
    ]
    laws = fit(renamed, draws=20)
    plain = Page(write_report(tmp_path / "plain.html", records, laws))
    hostile = Page(write_report(tmp_path / "hostile.html", [*renamed, failed(renamed[0].config)], laws))
    assert hostile.count("script") == plain.count("script")
    assert HOSTILE in [row["error"] for row in hostile.runs] and model in [row["model"] for row in hostile.runs]
    assert model in hostile.words
    assert "<script>alert" not in hostile.source


def test_labels_of_figures_have_no_tags_of_ours(records: list[RunRecord]) -> None:
    model = "<b>bold</b>"
    renamed = [r.model_copy(update={"config": r.config.model_copy(update={"model": model})}) for r in records]
    figure = agreement_figure(renamed, fit(records, draws=20))
    texts = [text for trace in figure.data for text in trace.hovertext or ()]
    assert len(texts) == len(records) and all(text.startswith("&lt;b&gt;bold&lt;/b&gt; ") for text in texts)


def test_a_study_of_two_sizes_has_a_page_without_vertices(tmp_path: Path) -> None:
    few = study(models=MODELS[:2])
    laws = fit(few, draws=20)
    words = Page(write_report(tmp_path / "r.html", few, laws)).words
    assert "1.25e11, 5e11, 2e12: an isoFLOP profile needs at least 3 sizes, got 2" in words
    labels = [label.text for label in isoflop_figure(laws, "full").layout.annotations]
    assert len(labels) == 3 and all(label.endswith("no vertex") for label in labels)


def test_a_method_without_a_law_keeps_its_panel_with_the_reason(tmp_path: Path, records: list[RunRecord]) -> None:
    some = [
        r for r in records if r.config.method != "full" or (r.config.train_flops, r.config.model) == (2e12, MODELS[0])
    ]
    laws = fit(some, draws=20)
    assert "full" not in laws.methods
    words = Page(write_report(tmp_path / "r.html", some, laws)).words
    assert "any budget: a method needs at least 2 cells, got 1" in words
    assert [len(trace.x) for trace in traces(frontier_figure(laws))["full"]] == [1]


def test_the_recipes_table_has_both_intervals_and_the_crossovers(recipe: Recipe) -> None:
    text = recipe_rows(recipe)["predicted"]
    assert "{:.3f} to {:.3f} with 90 %".format(*recipe.predicted_interval) in text
    assert "without a run's noise {:.3f} to {:.3f}".format(*recipe.loss_interval) in text
    crossover = Crossover(from_method="full", to_method="lora", budget=2e12, interval=(1e12, 3e12), share=1.0)
    known = recipe_rows(recipe.model_copy(update={"crossovers": (crossover,)}))
    assert known["crossovers"] == "full to lora at 2e+12 FLOP, with 90 % 1e+12 to 3e+12"
    assert recipe_rows(recipe.model_copy(update={"crossovers": ()}))["crossovers"] == "none"


def test_the_caption_names_the_level_of_the_recipes_own_interval(
    records: list[RunRecord], laws: Laws, recipe: Recipe, tmp_path: Path
) -> None:
    at_80 = recipe.model_copy(update={"level": 0.8})
    text = "".join(Page(write_report(tmp_path / "r.html", records, laws, at_80)).text)
    assert "with the interval that holds 80\N{NO-BREAK SPACE}% of new runs" in text


def test_a_recipe_whose_run_failed_is_shown_as_failed(
    tmp_path: Path, records: list[RunRecord], laws: Laws, recipe: Recipe
) -> None:
    lost = failed(recipe.run_config("simulated"), "RunError: diverged")
    words = Page(write_report(tmp_path / "r.html", records, laws, recipe, lost)).words
    assert "Its run failed: RunError: diverged." in words
    assert "recipe, measured" not in traces(frontier_figure(laws, recipe, lost))
    assert "recipe's run" not in traces(agreement_figure(records, laws, recipe, lost))


def test_nothing_is_said_of_a_run_that_is_not_known(
    tmp_path: Path, records: list[RunRecord], laws: Laws, recipe: Recipe
) -> None:
    words = Page(write_report(tmp_path / "r.html", records, laws, recipe)).words
    assert f"{recipe.predicted_loss:.3f} nats" in words
    assert "not run" not in words and "Measured: " not in words


@pytest.fixture
def files(tmp_path: Path, records: list[RunRecord], recipe: Recipe, measured: RunRecord) -> dict[str, Path]:
    """What the command reads: a store, a recipe and the folder of the recipe's model."""
    found = {name: tmp_path / name for name in ("study.db", "recipe.yaml", "model")}
    with Store(found["study.db"]) as store:
        for record in records:
            store.add(record)
    recipe.save(found["recipe.yaml"])
    found["model"].mkdir()
    (found["model"] / RECORD_FILE).write_text(measured.model_dump_json())
    return found


def test_the_command_sets_the_model_against_the_recipe(
    run: Run, tmp_path: Path, files: dict[str, Path], measured: RunRecord
) -> None:
    arguments = ["report", files["study.db"], "--recipe", files["recipe.yaml"], "--out", tmp_path / "r.html"]
    done = run(*arguments, "--model", files["model"])
    assert done.code == 0, done.err
    assert "Measured: 2.750 nats" in Page(tmp_path / "r.html").words

    other = measured.model_copy(update={"config": measured.config.model_copy(update={"train_flops": 1e12})})
    (files["model"] / RECORD_FILE).write_text(other.model_dump_json())
    refused = run(*arguments, "--model", files["model"])
    assert refused.code == 2
    assert "is not the recipe's run: train_flops must be 8000000000000.0, got 1000000000000.0" in refused.err
    refused = run(*arguments, "--model", tmp_path)
    assert refused.code == 2 and "cannot read" in refused.err


@pytest.mark.parametrize("where", ["missing/report.html", "folder"])
def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, records: list[RunRecord], laws: Laws, where: str
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=f"cannot write .*{where}"):
        write_report(tmp_path / where, records, laws)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_a_full_disk_leaves_the_older_page(tmp_path: Path, records: list[RunRecord], laws: Laws) -> None:
    old = tmp_path / "report.html"
    old.write_text("older")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))  # a page has several million bytes
    try:
        with pytest.raises(ConfigError, match="cannot write"):
            write_report(old, records, laws)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert old.read_text() == "older" and list(tmp_path.iterdir()) == [old]


def test_the_frontier_marks_the_best_run_of_each_budget(records: list[RunRecord], laws: Laws) -> None:
    drawn = traces(frontier_figure(laws))
    for method in METHODS:
        markers = next(trace for trace in drawn[method] if trace.mode == "markers")
        runs = [record for record in records if record.config.method == method]
        best = [min(r.loss for r in runs if r.config.train_flops == c and r.loss) for c in BUDGETS]
        assert list(markers.x) == list(BUDGETS) and list(markers.y) == pytest.approx(best)
        line = next(trace for trace in drawn[method] if trace.mode == "lines")
        assert list(line.y) == pytest.approx([laws.frontiers[method].line(c) for c in (BUDGETS[0], BUDGETS[-1])])
    assert "best over all methods" in drawn and not [name for name in drawn if name.startswith("recipe")]


def test_the_frontier_shows_the_recipe_with_its_interval_and_its_run(
    laws: Laws, recipe: Recipe, measured: RunRecord
) -> None:
    figure = frontier_figure(laws, recipe, measured)
    (predicted,), (star,) = traces(figure)["recipe, predicted (90 %)"], traces(figure)["recipe, measured"]
    assert (predicted.x[0], predicted.y[0]) == (8e12, recipe.predicted_loss)
    low, high = recipe.predicted_interval
    assert predicted.y[0] - predicted.error_y.arrayminus[0] == pytest.approx(low)
    assert predicted.y[0] + predicted.error_y.array[0] == pytest.approx(high)
    assert (star.x[0], star.y[0]) == (8e12, 2.75)
    assert 10 ** figure.layout.xaxis.range[1] > 8e12 and 10 ** figure.layout.yaxis.range[0] < low


def test_an_isoflop_panel_has_a_parabola_exactly_where_one_was_fitted(records: list[RunRecord], laws: Laws) -> None:
    for method in METHODS:
        drawn, fitted = traces(isoflop_figure(laws, method)), {p.budget: p for p in laws.isoflops[method].profiles}
        for budget, name in zip(BUDGETS, ("1.25e11", "5e11", "2e12"), strict=True):
            runs = [r for r in records if (r.config.method, r.config.train_flops) == (method, budget)]
            (points,), (curve,) = drawn[f"runs of {name} FLOP"], drawn[f"curve of {name} FLOP"]
            assert dict(zip(points.x, points.y, strict=True)) == pytest.approx({r.model_params: r.loss for r in runs})
            vertex = drawn.get(f"vertex of {name} FLOP")
            assert (vertex is not None) == (budget in fitted) == (curve.line.dash == "solid")
            if vertex is not None:
                assert vertex[0].x[0] == fitted[budget].model_params
                assert min(curve.y) == pytest.approx(vertex[0].y[0], rel=1e-3)
    assert any(isoflop.profiles for isoflop in laws.isoflops.values()) and laws.refusals  # both cases were met


def test_isoflop_panels_share_their_axes(laws: Laws) -> None:
    layouts = [isoflop_figure(laws, method).layout for method in METHODS]
    assert all(a.xaxis.range == b.xaxis.range and a.yaxis.range == b.yaxis.range for a, b in pairwise(layouts))


def test_predictions_of_an_exact_law_lie_on_the_diagonal() -> None:
    exact = study(noise=0.0)
    figure = agreement_figure([*exact, failed(exact[0].config)], fit(exact, draws=20))
    points = [(x, y) for trace in figure.data if trace.mode == "markers" for x, y in zip(trace.x, trace.y, strict=True)]
    assert sorted(y for _, y in points) == sorted(record.loss for record in exact if record.loss)
    assert all(x == pytest.approx(y, rel=5e-3) for x, y in points)


def test_the_recipes_run_is_set_against_what_the_recipe_said(
    records: list[RunRecord], laws: Laws, recipe: Recipe, measured: RunRecord
) -> None:
    (star,) = traces(agreement_figure(records, laws, recipe, measured))["recipe's run"]
    assert (star.x[0], star.y[0]) == (recipe.predicted_loss, 2.75)


def test_a_method_has_one_colour_in_all_figures(records: list[RunRecord], laws: Laws) -> None:
    frontier, agreement = traces(frontier_figure(laws)), traces(agreement_figure(records, laws))
    colors = {method: agreement[method][0].marker.color for method in METHODS}
    assert len(set(colors.values())) == 3
    for method, color in colors.items():
        panel = {trace.marker.color or trace.line.color for trace in isoflop_figure(laws, method).data}
        assert panel == {trace.marker.color or trace.line.color for trace in frontier[method]} == {color}


def test_a_page_of_laws_whose_table_says_little(records: list[RunRecord], laws: Laws, tmp_path: Path) -> None:
    unknown = dict.fromkeys(("learning_rate", "batch_size", "steps", "warmup", "weight_decay", "max_epochs"))
    cells = [cell.model_copy(update=unknown) for cell in laws.table.cells]
    table = laws.table.model_copy(
        update={"cells": tuple(cells), "eval_pairs": None, "eval_candidates": None, "pairs": None}
    )
    page = Page(write_report(tmp_path / "page.html", records, laws.model_copy(update={"table": table})))
    assert "candidates each" not in page.source
    traces = isoflop_figure(laws.model_copy(update={"table": table}), "full").data
    texts = [text for trace in traces if trace.name.startswith("runs of ") for text in trace.hovertext]
    assert len(texts) == len(MODELS) * len(BUDGETS)
    assert not any("learning rate" in text or "None" in text for text in texts)


def test_what_has_no_vertex_is_known_by_fields_and_not_by_words(
    records: list[RunRecord], laws: Laws, tmp_path: Path
) -> None:
    reworded = laws.model_copy(
        update={"refusals": tuple(no.model_copy(update={"what": "something"}) for no in laws.refusals)}
    )
    pages = [Page(write_report(tmp_path / "r.html", records, one)) for one in (laws, reworded)]
    assert any(no.budget is not None for no in laws.refusals)
    assert "Why some budgets have no best size" in pages[0].source
    before, after = (page.source.partition("What the paper found")[0] for page in pages)
    assert before == after


def test_chance_stands_beside_each_loss_and_runs_without_gain_are_named(
    tmp_path: Path, records: list[RunRecord], laws: Laws
) -> None:
    config = records[0].config.model_copy(update={"seed": 9})
    idle = RunRecord(config=config, status="no_gain", error="no better than chance", loss=6.25, chance=6.2375)
    page = Page(write_report(tmp_path / "r.html", [*records, idle], laws))
    assert "27 done, 1 no better than chance, 0 failed" in page.words
    (row,) = [row for row in page.runs if row["status"] == "no_gain"]
    assert (row["error"], row["loss"], row["chance"]) == ("no better than chance", 6.25, 6.2375)


def test_a_run_of_the_study_itself_is_not_called_unseen(
    tmp_path: Path, records: list[RunRecord], laws: Laws, recipe: Recipe, measured: RunRecord
) -> None:
    """A recipe may name a run that the study has done, and the law was fitted to it."""
    said = "The law has not seen the recipe's run."
    assert said in Page(write_report(tmp_path / "new.html", records, laws, recipe, measured)).words
    assert said not in Page(write_report(tmp_path / "old.html", [*records, measured], laws, recipe, measured)).words
