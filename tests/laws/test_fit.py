"""From records to laws: what is fitted, and what is refused."""

import subprocess
import sys
from collections.abc import Sequence
from math import log

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from embudget.design import World, simulate
from embudget.errors import MethodError
from embudget.laws import FORMS, FormName, Laws, fit
from embudget.laws.problem import Points
from embudget.laws.weights import JudgedForm, rank
from embudget.runs import RunTable
from tests.laws.studies import MODELS, ONE, SHARED, cells

TRUTH = {method: SHARED[method] for method in ("full", "lora:32")}


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(World(truth=TRUTH, models=MODELS, noise=0.01)), draws=40)


def test_a_world_without_noise_is_predicted_at_four_times_its_budget() -> None:
    world = World(truth=TRUTH, models=MODELS, noise=0)
    laws = fit(simulate(world), draws=2)
    (row,) = laws.frontier([6.4e13])
    assert row.predicted_loss == pytest.approx(world.loss(row.model, row.method, 6.4e13), rel=1e-3)
    assert row.predicted_loss == pytest.approx(
        min(world.loss(model, method, 6.4e13) for model in MODELS for method in TRUTH), rel=1e-3
    )
    assert row.measured_loss is None
    assert row.extrapolation == pytest.approx(4)


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


def test_a_table_is_fitted_as_its_records_are() -> None:
    records = simulate(World(truth=TRUTH, models=MODELS, noise=0.01))
    of_records, of_table = (fit(of, draws=3, forms=["multiplicative"]) for of in (records, RunTable.of(records)))
    assert of_records == of_table


def blas_threads() -> set[int]:
    return {int(pool["num_threads"]) for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_a_fit_uses_one_blas_thread_and_leaves_the_others_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two a fit takes several times the CPU and no less time, since its matrices are small."""
    seen: list[set[int]] = []

    def watched(points: Points, forms: Sequence[FormName], asymptote: float | None) -> list[JudgedForm]:
        seen.append(blas_threads())
        return rank(points, forms, asymptote)

    monkeypatch.setitem(fit.__globals__, "rank", watched)
    with threadpool_limits(2, user_api="blas"):
        fit(simulate(World(truth=TRUTH, models=MODELS, noise=0.01)), draws=2, forms=["chinchilla"])
        assert (seen, blas_threads()) == ([{1}], {2})


def test_a_method_with_one_cell_is_refused_by_name() -> None:
    records = simulate(World(truth=TRUTH, models=MODELS, noise=0.01))
    records = [
        r for r in records if r.config.method == "full" or (r.config.train_flops, r.config.model) == (1e12, MODELS[0])
    ]
    laws = fit(records, draws=5, forms=["chinchilla"])
    assert laws.methods == ("full",)
    assert [refusal.error for refusal in laws.refusals if refusal.what == "law of lora:32"] == ["TooFewRunsError"]
    with pytest.raises(MethodError, match="lora:32 has no law"):
        laws.predict("lora:32", 1e7, 1e6)


def test_ranking_and_weights_are_part_of_the_result(laws: Laws) -> None:
    assert {one.form for one in laws.ranking} == set(FORMS) - {"tied", "zero_shot", "zero_shot_level"}, (
        "which are for fewer cells, and for known starts"
    )
    assert sum(one.weight for one in laws.ranking) == pytest.approx(1)
    errors = [one.forecast_error for one in laws.ranking if one.forecast_error is not None]
    assert errors == sorted(errors)
    assert min(one.criterion for one in laws.ranking if one.criterion is not None) == 0
    heaviest = max(laws.ranking, key=lambda one: one.weight)
    assert (heaviest.form, heaviest.sharing) == (laws.surface.components[0].form, laws.surface.components[0].sharing)


def test_five_cells_are_enough_for_the_tied_form() -> None:
    five = [cells({"full": ONE["tied"]})[place] for place in (0, 2, 4, 6, 8)]
    laws = fit(RunTable(cells=tuple(five), run_count=5), draws=20)
    assert {one.form for one in laws.ranking} == {"tied", "multiplicative"}
    assert laws.surface.components[0].form == "tied"
    assert laws.backtests == ()
    for cell in cells({"full": ONE["tied"]}):
        assert laws.predict("full", cell.model_params, cell.tokens) == pytest.approx(cell.loss, rel=0.03)


def test_repeated_seeds_tell_the_noise_of_one_run() -> None:
    laws = fit(simulate(World(truth=TRUTH, models=MODELS, noise=0.03, seeds=4)), draws=2, forms=["chinchilla"])
    assert laws.noise == pytest.approx(0.03, rel=0.25)  # not 0.015, the noise of a cell's mean


def test_one_diverged_run_ruins_neither_noise_nor_intervals_and_is_named() -> None:
    records = simulate(World(truth=TRUTH, models=MODELS, noise=0.01), seed=2)
    worse = records[9].model_copy(update={"loss": (records[9].loss or 0) * 1.5})
    before, after = (fit(of, draws=60, forms=["chinchilla"]) for of in (records, [*records[:9], worse, *records[10:]]))
    cell = max(after.diagnostics.outlying, key=lambda cell: cell.ratio)
    assert (cell.model, cell.method, cell.budget) == (worse.config.model, worse.config.method, worse.config.train_flops)
    assert cell.ratio == pytest.approx(1.5, abs=0.1)
    assert after.noise < 2.5 * before.noise
    widths = [log(high / low) for low, high in (one.interval("full", 1.4e7, 1.5e5) for one in (before, after))]
    assert widths[1] < 2 * widths[0]  # inside the budgets; what the forecasts missed is added beyond them


def test_ranks_that_were_measured_together_are_predicted_together() -> None:
    truth = {
        f"lora:{rank}": TRUTH["lora:32"].model_copy(update={"B": B}) for rank, B in ((8, 260), (32, 220), (128, 240))
    }
    laws = fit(simulate(World(truth=truth, models=MODELS, noise=0.002)), draws=10, forms=["chinchilla"])
    assert laws.methods == ("lora:128", "lora:32", "lora:8")
    losses = {method: laws.predict(method, 1.4e7, 1e6) for method in laws.methods}
    assert min(losses, key=losses.__getitem__) == "lora:32"
    with pytest.raises(MethodError, match="lora:64 has no law"):
        laws.predict("lora:64", 1.4e7, 1e6)


def test_the_same_seed_gives_the_same_laws() -> None:
    records = simulate(World(truth=TRUTH, models=MODELS, noise=0.01))
    first, again, other = (fit(records, seed=seed, draws=3, forms=["chinchilla"]) for seed in (5, 5, 6))
    assert first == again
    assert first.surface != other.surface
    assert (first.ranking, first.noise) == (other.ranking, other.noise)


def test_fitting_and_planning_import_no_torch() -> None:
    heavy = "{'torch', 'transformers'} & set(sys.modules)"
    code = f"import sys, embudget.laws, embudget.recipe, embudget.design; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
