"""Laws of several lineages: what they recover, how they lean on each other, and what must name a lineage."""

from math import log
from pathlib import Path

import numpy as np
import pytest

from embudget.design import World, simulate
from embudget.errors import ConfigError, MethodError
from embudget.laws import Coefficients, Laws, fit
from embudget.laws.forms import FORMS
from embudget.laws.lineages import fit_lineages
from embudget.laws.problem import Points
from embudget.records import RunRecord
from embudget.runs import RunTable

BASE, RETRIEVER = "smollm2", "pythia retriever"
MODELS = {
    BASE: ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12"),
    RETRIEVER: ("pythia-14m", "pythia-31m", "pythia-70m"),
}
BUDGETS = (1e13, 4e13, 1.6e14)
TRUTH = {
    BASE: {
        "full": Coefficients(E=0.3, A=80, a=0.35, B=200, b=0.42),
        "lora:32": Coefficients(E=0.3, A=80, a=0.35, B=213, b=0.42),
    },
    RETRIEVER: {
        "full": Coefficients(form="rectified", E=0.6, A=60, a=0.33, B=150, b=0.45, D0=3e5),
        "lora:32": Coefficients(form="rectified", E=0.6, A=60, a=0.33, B=160, b=0.45, D0=3.46e5),
    },
}


def world(lineage: str, noise: float = 0.005) -> World:
    return World(truth=TRUTH[lineage], models=MODELS[lineage], budgets=BUDGETS, noise=noise, lineage=lineage)


def study(seed: int = 0, noise: float = 0.005) -> list[RunRecord]:
    return [record for place, name in enumerate(TRUTH) for record in simulate(world(name, noise), seed + 100 * place)]


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(study(), draws=40)


def test_each_lineage_has_the_law_of_its_own_runs(laws: Laws) -> None:
    assert set(laws.lineages) == {BASE, RETRIEVER}
    for lineage, truth in TRUTH.items():
        for method, law in truth.items():
            for cell in (one for one in laws.of(lineage).cells if one.method == method):
                predicted = laws.predict(method, cell.model_params, 4 * cell.tokens, lineage=lineage)
                assert predicted == pytest.approx(law.loss(cell.model_params, 4 * cell.tokens), rel=0.04)


def test_the_law_of_a_retriever_begins_near_its_zero_shot_loss(laws: Laws) -> None:
    """A power of the tokens alone diverges there: ten tokens of training would ruin any retriever."""
    for size in (1.2e6, 1.9e7):
        zero_shot = TRUTH[RETRIEVER]["full"].loss(size, 0)
        assert laws.predict("full", size, 1e3, lineage=RETRIEVER) == pytest.approx(zero_shot, rel=0.15)


def test_a_zero_shot_loss_that_is_known_says_where_the_law_begins() -> None:
    """Without it D0 is a guess from cells that are all far beyond it, and so is the curve below them."""
    points = Points.of(RunTable.of(study(seed=3, noise=0.01)).cells)
    blind = Points(**{**points.__dict__, "base": np.full(len(points), np.nan)})
    errors = []
    for of in (points, blind):
        fitted = fit_lineages(FORMS["rectified"], of, "shared", None)
        at = np.array(["full"]), np.log([4e6]), np.log([1e3]), np.array([RETRIEVER])
        errors.append(abs(float(fitted.predict(*at)[0]) - log(TRUTH[RETRIEVER]["full"].loss(4e6, 1e3))))
    assert errors[0] < 0.08
    assert errors[0] < errors[1]


def test_a_lineage_with_few_cells_leans_on_the_other() -> None:
    """Four cells do not determine a law; with the contrast of the methods and the exponents of the others they do."""
    few = {(model, budget) for model in MODELS[RETRIEVER][:2] for budget in BUDGETS[:2]}
    kept = [
        one
        for one in study(seed=5, noise=0.01)
        if one.lineage == BASE or (one.config.model, one.config.train_flops) in few
    ]
    laws = fit(kept, draws=40, forms=["rectified"])
    own = laws.of(RETRIEVER)
    assert len(own.cells) == 8
    for cell in own.cells:
        true = TRUTH[RETRIEVER][cell.method].loss(cell.model_params, 4 * cell.tokens)
        assert own.predict(cell.method, cell.model_params, 4 * cell.tokens) == pytest.approx(true, rel=0.1)
        low, high = own.interval(cell.method, cell.model_params, 4 * cell.tokens)
        assert low < true < high


def test_the_draws_of_the_lineages_belong_together(laws: Laws) -> None:
    draws = [one.surface.log_draws(["full"], np.array([1e7]), np.array([1e6])) for one in laws.every]
    assert draws[0].shape == draws[1].shape


def test_what_is_asked_of_a_method_names_its_lineage(laws: Laws) -> None:
    for ask in (laws.predict, laws.interval):
        with pytest.raises(ConfigError, match=r"lineage must be one of .*, got None"):
            ask("full", 1e7, 1e6)
    with pytest.raises(ConfigError, match="got bert"):
        laws.of("bert")
    with pytest.raises(ConfigError, match="got None"):
        laws.size_exponent("full")
    with pytest.raises(MethodError, match="bias has no law"):
        laws.predict("bias", 1e7, 1e6, lineage=BASE)


def test_laws_of_one_lineage_need_no_name() -> None:
    only = fit(simulate(world(BASE)), draws=3, forms=["chinchilla"])
    assert only.others == ()
    assert only.lineage == BASE
    assert only.predict("full", 1e7, 1e6) == only.predict("full", 1e7, 1e6, lineage=BASE)
    assert only.of(None) is only


def test_the_frontier_is_over_all_lineages(laws: Laws) -> None:
    rows = laws.frontier([1e13, 6.4e14])
    assert [row.lineage for row in rows] == [RETRIEVER, BASE], "the base models overtake the retriever"
    assert laws.extrapolation(6.4e14) == pytest.approx(4)


def test_they_are_read_as_they_were_written(laws: Laws, tmp_path: Path) -> None:
    laws.save(tmp_path / "laws.json")
    assert Laws.load(tmp_path / "laws.json") == laws


def test_the_frame_and_the_summary_have_every_lineage(laws: Laws) -> None:
    frame = laws.cells_frame()
    assert len(frame) == sum(len(one.cells) for one in laws.every)
    assert set(frame["lineage"]) == {BASE, RETRIEVER}
    assert frame["predicted_loss"].notna().all()
    summary = laws.summary()
    assert all(f"== lineage {name} ==" in summary for name in TRUTH)
    assert "best start" in summary


def test_a_lineage_of_single_cells_is_refused_by_name() -> None:
    lone = simulate(world(RETRIEVER))[:1]
    laws = fit([*simulate(world(BASE)), *lone], draws=3, forms=["chinchilla"])
    assert laws.lineages == (BASE,)
    assert [no.what for no in laws.refusals if "laws of" in no.what] == [f"laws of {RETRIEVER}"]
