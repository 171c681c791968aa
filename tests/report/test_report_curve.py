"""The folder of a curve: its three files, and the figure."""

import csv
import json
import re
from math import log10
from pathlib import Path

import pytest

from embudget.contents import LISTING
from embudget.design import simulate
from embudget.errors import ConfigError
from embudget.laws import Laws, fit
from embudget.recipe import CurvePoint, recipe_curve
from embudget.report import curve_figure, write_curve
from embudget.report.curve_folder import COLUMNS
from embudget.report.tables import curve_listed
from tests.recipe.worlds import NOISY, TRUTH

Points = tuple[CurvePoint, ...]


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(NOISY, seed=1), draws=20)


@pytest.fixture(scope="module")
def points(laws: Laws) -> Points:
    """The first is without a recipe."""
    return recipe_curve(laws, 1e10, 1e15, points_per_decade=2)


def test_the_json_is_the_points(laws: Laws, points: Points, tmp_path: Path) -> None:
    folder = write_curve(tmp_path / "new" / "curve", points, laws)
    assert {path.name for path in folder.iterdir()} == {"curve.json", "curve.csv", "curve.html", LISTING}
    read = tuple(CurvePoint.model_validate(one) for one in json.loads((folder / "curve.json").read_text()))
    assert read == points


def test_the_csv_has_a_row_for_each_budget(laws: Laws, points: Points, tmp_path: Path) -> None:
    with (write_curve(tmp_path / "curve", points, laws) / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [float(row["budget"]) for row in rows] == [point.budget for point in points]
    assert rows[0]["model"] == ""
    assert rows[0]["reason"] == points[0].reason
    last, recipe = rows[-1], points[-1].recipe
    assert recipe is not None
    assert (last["model"], last["method"], last["reason"]) == (recipe.model, recipe.method, "")
    assert [float(last[name]) for name in ("low", "high")] == list(recipe.predicted_interval)
    assert [float(last[name]) for name in ("loss_low", "loss_high")] == list(recipe.loss_interval)
    assert last["warnings"].startswith("these runs do not support a recipe for 1e+15 FLOP: 62.5 times outside")
    assert int(last["model_params"]) == recipe.model_params
    found = [str(point.recipe.supported) if point.recipe else "" for point in points]
    assert [row["supported"] for row in rows] == found
    assert last["supported"] == "False"
    assert last["flat"].split("; ") == [f"{choice.model} {choice.method}" for choice in recipe.flat]


def test_the_page_has_figure_table_and_refusals_and_fetches_nothing(laws: Laws, points: Points, tmp_path: Path) -> None:
    text = (write_curve(tmp_path / "curve", points, laws) / "curve.html").read_text()
    assert text.count('data-figure="curve"') == 1
    assert "<h2>Without a recipe</h2>" in text
    assert "as at 1e+15: these runs do not support a recipe for 1e+15 FLOP: 62.5 times outside" in text
    outside = re.sub(r"(<script[^>]*>).*?(</script>)", r"\1\2", text, flags=re.DOTALL)  # Plotly's code names addresses
    assert 'src="http' not in outside and "default-src 'none'" in outside
    found = sum(point.recipe is not None for point in points)
    assert text.count("<tr><td") == found


def test_the_table_is_narrow_enough_for_1100_pixels(points: Points) -> None:
    """Letters of 7 pixels and 13 pixels between columns, in a page of 1045 without its margins."""
    table = curve_listed(points)
    rows = [table.heads, *table.rows]
    assert len(rows) > 5
    assert sum(13 + 7 * max(map(len, column)) for column in zip(*rows, strict=True)) < 1000


def test_the_figure_shows_loss_interval_size_and_method(laws: Laws, points: Points) -> None:
    figure = curve_figure(points, laws)
    recipes = [(point.budget, point.recipe) for point in points if point.recipe is not None]
    for method in TRUTH:
        mine = [(budget, recipe) for budget, recipe in recipes if recipe.method == method]
        drawn = [trace for trace in figure.data if trace.legendgroup == method]
        assert len(drawn) == (2 if mine else 0)
        if mine:
            assert list(drawn[0].x) == list(drawn[1].x) == [budget for budget, _ in mine]
            assert list(drawn[0].y) == [recipe.predicted_loss for _, recipe in mine]
            assert list(drawn[1].y) == [recipe.model_params for _, recipe in mine]
            assert drawn[1].yaxis == "y2"
    band = next(trace for trace in figure.data if trace.fill == "tonexty")
    assert list(band.y) == [recipe.predicted_interval[1] for _, recipe in recipes]
    (shaded,) = figure.layout.shapes
    assert (shaded.x0, shaded.x1) == (1e12, 1.6e13)


def test_budgets_without_a_recipe_keep_their_place_on_the_axis(laws: Laws, points: Points) -> None:
    assert points[0].recipe is None
    assert curve_figure(points, laws).layout.xaxis.range[0] < log10(points[0].budget)
    with pytest.raises(ValueError, match="no point of the curve has a recipe"):
        curve_figure(points[:1], laws)


def test_nothing_is_shaded_where_nothing_was_measured(laws: Laws) -> None:
    assert not curve_figure(recipe_curve(laws, 1e15, 1e16), laws).layout.shapes


def test_an_older_curve_is_replaced_and_nothing_else_is(laws: Laws, points: Points, tmp_path: Path) -> None:
    folder = write_curve(tmp_path / "curve", points, laws)
    write_curve(folder, points[-2:], laws)
    assert len(json.loads((folder / "curve.json").read_text())) == 2
    (folder / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match=r"holds other files, such as mine\.txt"):
        write_curve(folder, points, laws)
    assert (folder / "mine.txt").read_text() == "precious"
    with pytest.raises(ConfigError, match="out must be a folder, got the file"):
        write_curve(folder / "mine.txt", points, laws)


def test_a_folder_that_cannot_be_written_is_one_line(laws: Laws, points: Points, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write .*file/curve: ") as error:
        write_curve(tmp_path / "file" / "curve", points, laws)
    assert "\n" not in str(error.value)
