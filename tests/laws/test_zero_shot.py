"""A retriever that was cut: its members' zero-shot losses follow no law in N, and its law begins at each of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from embudget.design import World, simulate
from embudget.errors import ConfigError
from embudget.laws import Coefficients, Laws, Surface, fit
from embudget.laws.checks import supported_forms
from embudget.laws.problem import Points
from embudget.recipe import recommend
from embudget.records import RunRecord
from embudget.runs import RunTable
from tests.laws.studies import ONE, points

CUT = ("pythia-70m:2", "pythia-70m:4", "pythia-70m")
NEW = "pythia-70m:3"
STARTS = {"pythia-70m:2": 4.1, "pythia-70m:4": 3.6, "pythia-70m": 1.9, NEW: 3.9}
BUDGETS = (1e13, 4e13, 1.6e14)
BASE, RETRIEVER = "smollm2", "pythia retriever"
TRUTH = {
    "full": Coefficients(form="zero_shot", E=0.6, A=60, a=0.33, b=0.45, D0=2e5),
    "lora:32": Coefficients(form="zero_shot", E=0.6, A=60, a=0.33, b=0.45, D0=3e5),
}
FRESH = {
    "full": Coefficients(E=0.3, A=80, a=0.35, B=200, b=0.42),
    "lora:32": Coefficients(E=0.3, A=80, a=0.35, B=213, b=0.42),
}
OTHERS = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")


def cut(noise: float = 0.01) -> World:
    return World(truth=TRUTH, models=CUT, budgets=BUDGETS, noise=noise, lineage=RETRIEVER, zero_shot=STARTS)


def study(seed: int = 0) -> list[RunRecord]:
    known = dict.fromkeys(OTHERS, 5.0)
    fresh = World(truth=FRESH, models=OTHERS, budgets=BUDGETS, noise=0.01, lineage=BASE, zero_shot=known)
    return [*simulate(cut(), seed), *simulate(fresh, seed + 100)]


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(study(), draws=40)


def test_a_cut_retriever_is_given_the_law_that_begins_at_each_zero_shot_loss(laws: Laws) -> None:
    best = max(laws.ranking, key=lambda one: one.weight)
    assert best.form == "zero_shot", "which made the data"
    assert laws.noise < 0.02
    blind = fit(study(), draws=40, forms=["rectified"])
    assert blind.noise > 4 * laws.noise, "a law in N with one D0 misses what cutting did"


def test_the_losses_that_it_begins_at_are_printed_with_it(laws: Laws) -> None:
    said = ", ".join(f"{name} {STARTS[name]:.3f}" for name in CUT)
    assert f"\nL0, the loss before training: {said}\n" in laws.summary()
    assert laws.summary().count("L0, the loss before training") == 1, "the base models' law begins elsewhere"


def test_a_lineage_of_retrievers_is_continued_though_nobody_knows_its_model(laws: Laws) -> None:
    starts = {one.lineage: one.start for one in recommend(laws, 4e13).starts}
    assert starts == {RETRIEVER: "retriever", BASE: "base"}


def test_its_forecasts_hold(laws: Laws) -> None:
    world = cut()
    for model in CUT:
        for method in TRUTH:
            true = world.loss(model, method, 4 * BUDGETS[-1])
            cell = next(c for c in laws.of(RETRIEVER).cells if (c.model, c.method) == (model, method))
            tokens = 4 * BUDGETS[-1] / cell.flops_per_token
            at = method, cell.model_params, tokens
            assert laws.predict(*at, lineage=RETRIEVER) == pytest.approx(true, rel=0.03)
            low, high = laws.interval(*at, lineage=RETRIEVER)
            assert low < true < high


def test_without_training_every_measured_member_has_its_own_loss(laws: Laws) -> None:
    for cell in laws.of(RETRIEVER).cells:
        assert laws.predict(cell.method, cell.model_params, 1e-9, lineage=RETRIEVER) == pytest.approx(
            STARTS[cell.model], rel=0.02
        )


def test_a_member_that_was_not_measured_has_a_wider_interval_and_a_warning(laws: Laws) -> None:
    one = laws.of(RETRIEVER)
    sizes = sorted({cell.model_params for cell in one.cells})
    between = (sizes[1] * sizes[2]) ** 0.5
    ratios = [high / low for low, high in (one.interval("full", size, 3e5, of="law") for size in (sizes[1], between))]
    assert ratios[1] > 1.3 * ratios[0]
    low, high = one.interval("full", between, 3e5)
    assert low < TRUTH["full"].loss(between, 3e5, 2.8) < high
    far = recommend(laws, 4e13, suite="pythia")
    warned = [text for text in far.warnings if "before training was not measured: it is taken as" in text]
    assert bool(warned) == (far.lineage == RETRIEVER and far.model not in CUT)
    with_law = recommend(one, 4e13, suite="pythia", max_params=5e6, allow_unmeasured_sizes=True)
    assert any(f"the loss of {with_law.model} before training was not measured" in text for text in with_law.warnings)


def test_it_is_stored_and_read_back(laws: Laws, tmp_path: Path) -> None:
    laws.save(tmp_path / "laws.json")
    again = Laws.load(tmp_path / "laws.json")
    assert again == laws
    assert again.format_version == 7
    at = ["full"], np.array([1e7]), np.array([1e6])
    assert np.array_equal(again.of(RETRIEVER).surface.log_draws(*at), laws.of(RETRIEVER).surface.log_draws(*at))
    law = again.of(RETRIEVER).surface.coefficients("full")
    assert law.form == "zero_shot" and law.B is None and law.D0 is not None
    values = again.of(RETRIEVER).surface.model_dump() | {"zero_shot": None}
    with pytest.raises(ValidationError, match="must have zero_shot, the losses it begins at"):
        Surface.model_validate(values)


def test_one_lineage_alone_uses_its_zero_shot_losses_too() -> None:
    laws = fit(simulate(cut()), draws=20)
    assert max(laws.ranking, key=lambda one: one.weight).form.startswith("zero_shot")
    assert laws.noise < 0.02


def test_without_the_zero_shot_losses_the_form_is_left_out_or_refused_by_name() -> None:
    measured = points({"full": ONE["chinchilla"]})
    assert "zero_shot" not in supported_forms(measured, None)
    with pytest.raises(ConfigError, match="begins at the zero-shot loss of every retriever, and no cell"):
        supported_forms(measured, ["zero_shot", "chinchilla"])
    known = Points.of(RunTable.of(simulate(cut())).cells)
    assert "zero_shot" in supported_forms(known, None)
    hidden = np.where(np.arange(len(known)) == 3, np.nan, known.base)
    with pytest.raises(ConfigError, match=f"1 of {len(known)} cells do not say it"):
        supported_forms(replace(known, base=hidden), ["zero_shot"])
    far = replace(known, base=known.base + 5)
    assert "zero_shot" not in supported_forms(far, None), "from a start near chance the way is not the law's"
    assert supported_forms(far, ["zero_shot"]) == ("zero_shot",)


def test_a_world_says_the_zero_shot_losses_that_its_truth_begins_at() -> None:
    assert {one.config.model: one.base_loss for one in simulate(cut())} == {one: STARTS[one] for one in CUT}
    assert cut().loss(NEW, "full", 1e13) < STARTS[NEW]
    with pytest.raises(ConfigError, match=r"must have the loss of pythia-70m:2, since truth\.full begins at it"):
        simulate(cut().model_copy(update={"zero_shot": {}}))
