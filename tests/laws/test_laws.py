"""From records to laws: what is fitted, refused, predicted, saved and loaded."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embudget.errors import BudgetError, ConfigError, MethodError, TooFewRunsError
from embudget.laws import Coefficients, Laws, RunTable, fit
from embudget.simulate import World, simulate

TRUTH = {
    "full": Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42),
    "lora:32": Coefficients(E=1.8, A=330, a=0.35, B=210, b=0.42),
}
MODELS = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(World(truth=TRUTH, models=MODELS, noise=0.01)), draws=40)


def test_a_world_without_noise_is_predicted_at_four_times_its_budget() -> None:
    world = World(truth=TRUTH, models=MODELS, noise=0)
    laws = fit(simulate(world), draws=5)
    (row,) = laws.frontier([6.4e13])
    assert row.predicted_loss == pytest.approx(world.loss(row.model, row.method, 6.4e13), rel=1e-3)
    assert row.predicted_loss == pytest.approx(
        min(world.loss(model, method, 6.4e13) for model in MODELS for method in TRUTH), rel=1e-3
    )
    assert row.measured_loss is None


def test_the_frontier_at_measured_budgets_is_the_best_measured_cell(laws: Laws) -> None:
    rows, records = laws.frontier(), simulate(World(truth=TRUTH, models=MODELS, noise=0.01))
    assert [row.budget for row in rows] == [1e12, 4e12, 1.6e13]
    for row in rows:
        best = min((r for r in records if r.config.train_flops == row.budget), key=lambda record: record.loss or 0)
        assert (row.model, row.method) == (best.config.model, best.config.method)
        assert row.measured_loss == pytest.approx(best.loss)
        assert row.interval[0] < row.predicted_loss < row.interval[1]


def test_every_fit_or_its_refusal_is_there(laws: Laws) -> None:
    assert set(laws.frontiers) == {"full", "lora:32", "over all"}
    assert all(frontier.line.slope < 0 for frontier in laws.frontiers.values())
    fitted = sum(len(isoflop.profiles) for isoflop in laws.isoflops.values())
    refused = [refusal for refusal in laws.refusals if refusal.what.startswith("isoFLOP profile")]
    assert fitted + len(refused) == 2 * 3
    assert {refusal.error for refusal in refused} <= {"OptimumOutsideGridError", "ConcaveProfileError"}
    assert {(no.method, no.budget) for no in refused} <= {(m, c) for m in TRUTH for c in (1e12, 4e12, 1.6e13)}
    assert all(no.what == f"isoFLOP profile of {no.method} at {no.budget:.3g} FLOP" for no in refused)
    assert laws.domain["full"].budgets == (1e12, 1.6e13)


def test_a_table_is_fitted_as_its_records_are(laws: Laws) -> None:
    assert fit(RunTable.of(simulate(World(truth=TRUTH, models=MODELS, noise=0.01))), draws=40) == laws


def test_a_method_with_one_cell_is_refused_by_name() -> None:
    records = simulate(World(truth=TRUTH, models=MODELS, noise=0.01))
    records = [
        r for r in records if r.config.method == "full" or (r.config.train_flops, r.config.model) == (1e12, MODELS[0])
    ]
    laws = fit(records, draws=5)
    assert laws.methods == ("full",)
    assert [refusal.error for refusal in laws.refusals if refusal.what == "law of lora:32"] == ["TooFewRunsError"]
    with pytest.raises(MethodError, match="lora:32 has no law"):
        laws.predict("lora:32", 1e7, 1e6)


def test_a_study_too_small_for_any_law_is_refused() -> None:
    with pytest.raises(TooFewRunsError, match="at least 2 budgets"):
        fit(simulate(World(truth=TRUTH, models=MODELS, budgets=(1e12,))))
    with pytest.raises(TooFewRunsError, match="at least 2 sizes"):
        fit(simulate(World(truth=TRUTH, models=MODELS[:1])))
    with pytest.raises(TooFewRunsError, match=r"needs at least 6 cells .* got 5"):
        fit(simulate(World(truth={"full": TRUTH["full"]}, models=MODELS, budgets=(1e12, 4e12)))[:5])


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
    laws = fit([r for r in records if r.config.method == "full" or r.config.train_flops == 1e12], draws=2)
    assert laws.extrapolation(6.4e13, "full") == pytest.approx(4)
    assert laws.extrapolation(6.4e13, "lora:32") == pytest.approx(64)
    with pytest.raises(MethodError, match="bias has no law"):
        laws.extrapolation(6.4e13, "bias")


@pytest.mark.parametrize(("option", "value"), [("seed", -1), ("draws", 0)])
def test_bad_bootstrap_options_are_refused(option: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{option} must be >= ., got {value}"):
        fit([], **{option: value})


def test_the_summary_and_the_file_name_outlying_cells(tmp_path: Path) -> None:
    records = simulate(World(truth=TRUTH, models=MODELS, noise=0.01))
    records[4] = records[4].model_copy(update={"loss": (records[4].loss or 0) * 1.6})
    laws = fit(records, draws=5)
    config = records[4].config
    assert f"{config.model} {config.method} at {config.train_flops:.3g} FLOP: +" in laws.summary()
    laws.save(tmp_path / "laws.json")
    assert [cell.model for cell in Laws.load(tmp_path / "laws.json").surface.outlying] == [config.model]


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
    lacking = json.dumps({name: value for name, value in json.loads(whole).items() if name != "surface"})
    for text, message in (
        (whole[: len(whole) // 2], "not valid JSON, perhaps cut short"),
        ("", "not valid JSON"),
        ("[1]", "not a file of laws"),
        ('{"a": 1}', "not a file of laws"),
        (newer, "format_version 99 is newer"),
        (lacking, "surface is required"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message) as error:
            Laws.load(path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)


def test_the_summary_names_methods_budgets_and_refusals(laws: Laws) -> None:
    text = laws.summary()
    assert "18 runs in 18 cells" in text
    for method in laws.methods:
        medians = np.median(laws.surface.draws[method], axis=0)
        assert f"B {medians[3]:.4g} [" in text
    for row in laws.frontier():
        assert f"{row.measured_loss:.3f}" in text
    assert all(refusal.reason in text for refusal in laws.refusals)


def test_fitting_and_planning_import_no_torch() -> None:
    heavy = "{'torch', 'transformers'} & set(sys.modules)"
    code = f"import sys, embudget.laws, embudget.recipe, embudget.simulate; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
