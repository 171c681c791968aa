"""What fitted laws predict and refuse, and their file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embudget.design import World, simulate
from embudget.errors import BudgetError, ConfigError, MethodError
from embudget.laws import Laws, fit
from tests.laws.studies import MODELS, SHARED

TRUTH = {method: SHARED[method] for method in ("full", "lora:32")}
Data = dict[str, Any]


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(World(truth=TRUTH, models=MODELS, noise=0.01)), draws=40)


def test_the_frontier_at_measured_budgets_is_the_best_measured_cell(laws: Laws) -> None:
    rows, records = laws.frontier(), simulate(World(truth=TRUTH, models=MODELS, noise=0.01))
    assert [row.budget for row in rows] == [1e12, 4e12, 1.6e13]
    for row in rows:
        best = min((r for r in records if r.config.train_flops == row.budget), key=lambda record: record.loss or 0)
        assert (row.model, row.method) == (best.config.model, best.config.method)
        assert row.measured_loss == pytest.approx(best.loss)
        assert row.interval[0] < row.predicted_loss < row.interval[1]


def test_predictions_check_their_arguments(laws: Laws) -> None:
    assert laws.predict("lora:32", 1e7, 1e6) == laws.surface.predict("lora:32", 1e7, 1e6)
    with pytest.raises(MethodError, match="method must be"):
        laws.predict("lora", 1e7, 1e6)
    with pytest.raises(ConfigError, match="tokens must be finite and > 0, got 0"):
        laws.predict("full", 1e7, 0)
    with pytest.raises(ConfigError, match="level must be in"):
        laws.interval("full", 1e7, 1e6, level=1)


def test_extrapolation_is_a_factor_on_both_sides(laws: Laws) -> None:
    assert laws.extrapolation(6.4e13) == pytest.approx(4)
    assert laws.extrapolation(2e12) == 1
    assert laws.extrapolation(1e11) == pytest.approx(10)
    with pytest.raises(BudgetError, match="got -1"):
        laws.extrapolation(-1)


def test_extrapolation_of_a_method_is_from_its_own_budgets() -> None:
    records = simulate(World(truth=TRUTH, models=MODELS, noise=0.01))
    laws = fit(
        [r for r in records if r.config.method == "full" or r.config.train_flops == 1e12], draws=2, forms=["chinchilla"]
    )
    assert laws.extrapolation(6.4e13, "full") == pytest.approx(4)
    assert laws.extrapolation(6.4e13, "lora:32") == pytest.approx(64)
    with pytest.raises(MethodError, match="bias has no law"):
        laws.extrapolation(6.4e13, "bias")


def test_laws_survive_their_file(laws: Laws, tmp_path: Path) -> None:
    laws.save(tmp_path / "laws.json")
    loaded = Laws.load(tmp_path / "laws.json")
    assert loaded == laws
    assert loaded.interval("full", 1e7, 1e6) == laws.interval("full", 1e7, 1e6)
    assert [path.name for path in tmp_path.iterdir()] == ["laws.json"]


def test_a_bad_file_of_laws_is_one_line(laws: Laws, tmp_path: Path) -> None:
    path = tmp_path / "laws.json"
    laws.save(path)
    whole = path.read_text()
    newer = json.dumps(json.loads(whole) | {"format_version": 99})
    older = json.dumps(json.loads(whole) | {"format_version": 6})
    lacking = json.dumps({name: value for name, value in json.loads(whole).items() if name != "surface"})
    for text, message in (
        (whole[: len(whole) // 2], "not valid JSON, perhaps cut short"),
        ("", "not valid JSON"),
        ("[1]", "not a file of laws"),
        ('{"a": 1}', "not a file of laws"),
        (newer, "format_version 99 is newer"),
        (older, "format_version 6 is older than this embudget's 7: fit again"),
        (lacking, "surface is required"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message) as error:
            Laws.load(path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)


def test_laws_are_compared_after_predictions_too(laws: Laws, tmp_path: Path) -> None:
    laws.save(tmp_path / "laws.json")
    loaded = Laws.load(tmp_path / "laws.json")
    assert loaded.predict("full", 1e7, 1e6) == laws.predict("full", 1e7, 1e6)
    assert loaded == laws


def drop_a_value(data: Data) -> None:
    data["surface"]["components"][0]["branches"][0]["draws"][-1].pop()


def drop_draws(data: Data) -> None:
    data["surface"]["components"][0]["branches"][0]["draws"] = []


def lengthen_all(data: Data) -> None:
    branch = data["surface"]["components"][0]["branches"][0]
    for values in (branch["fit"], *branch["draws"]):
        values.append(0.0)


def double_a_branch(data: Data) -> None:
    component = data["surface"]["components"][0]
    component["branches"].append(component["branches"][0] | {"draws": component["branches"][0]["draws"][:1]})


def shorten_a_basis(data: Data) -> None:
    data["surface"]["components"][0]["branches"][0]["basis"]["full"].pop()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_a_value, r"every draw must have as many values as the fit of its branch, \d"),
        (drop_draws, r"surface.components.0.branches.0.draws: must have at least 1, got 0"),
        (lengthen_all, r"the fit of a \w+ branch must have \d+ values, got \d+"),
        (double_a_branch, r"all branches of a component must have as many draws, got \[1, \d+\]"),
        (shorten_a_basis, r"all methods of a basis must have as many weights"),
        (lambda data: data["surface"]["components"][0].update(branches=[]), r"branches: must have at least 1, got 0"),
        (lambda data: data["surface"].update(reach={}), r"must be those of reach, \[\], got \['full', 'lora:32'\]"),
        (
            lambda data: data["surface"]["reach"].pop("full"),
            r"those of reach, \['lora:32'\], got \['full', 'lora:32'\]",
        ),
        (lambda data: data["surface"]["reach"]["full"].update(product=[0, 1]), r"reach.full.product.0: must be > 0"),
        (lambda data: data["domain"].pop("full"), r"domain must have the methods of surface.* got \['lora:32'\]"),
        (lambda data: data["table"].update(cells=[]), r"table must have the methods of surface.* got \[\]"),
    ],
)
def test_laws_that_do_not_hang_together_are_one_line(
    laws: Laws, tmp_path: Path, spoil: Callable[[Data], None], message: str
) -> None:
    data = laws.model_dump(mode="json")
    spoil(data)
    path = tmp_path / "laws.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=message) as error:
        Laws.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_file_nested_deeply_is_one_line(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "laws.json"
    path.write_text('{"format_version": 2, "table": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(ConfigError, match=r"laws\.json: ") as error:
        Laws.load(path)
    assert "\n" not in str(error.value)
