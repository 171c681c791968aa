"""Simulated records are those that real runs of a known law would leave."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from embudget.design import TrueRate, World, planned, simulate
from embudget.errors import ConfigError, MethodError, ModelError
from embudget.laws import Coefficients
from embudget.suite import SUITES

TRUTH = {
    "full": Coefficients(E=1.5, A=300, a=0.35, B=250, b=0.4),
    "lora:32": Coefficients(E=1.5, A=320, a=0.35, B=220, b=0.4),
}
LAW = {"E": 1.5, "A": 300, "a": 0.35, "B": 250, "b": 0.4}
RATES = {"full": TrueRate(at=1e-3, p=-0.3, q=-0.1, curvature=0.05)}
PYTHIA = Path(__file__).parents[2] / "studies" / "pythia_world.yaml"


def test_without_noise_a_record_holds_the_true_loss_of_its_tokens() -> None:
    world = World(truth=TRUTH, noise=0, batch_sizes=(16, 32, 64))
    records = simulate(world)
    assert len(records) == planned(world) == len(SUITES["smollm2"]) * len(world.budgets) * len(TRUTH)
    for record in records:
        assert record.model_params and record.tokens and record.steps and record.train_flops and record.loss
        assert record.loss == pytest.approx(TRUTH[record.config.method].loss(record.model_params, record.tokens))
        assert record.train_flops >= record.config.train_flops  # a run ends at the step that reaches the budget
        step = record.train_flops / record.steps
        assert record.train_flops - step < record.config.train_flops
        assert record.pairs_seen == record.steps * record.config.batch_size
        assert record.config.batch_size == {1e12: 16, 4e12: 32, 1.6e13: 64}[record.config.train_flops]


@pytest.mark.parametrize(
    "law",
    [
        Coefficients(form="multiplicative", E=1.0, A=5000, a=0.2, b=0.3),
        Coefficients(form="rectified", E=1.0, A=300, a=0.35, B=250, b=0.4, D0=1e4),
        Coefficients(form="dense_retrieval", E=1.0, A=1e6, a=0.35, B=1e5, b=0.4),
    ],
    ids=lambda law: law.form,
)
def test_the_truth_may_have_any_form(law: Coefficients) -> None:
    record = simulate(World(truth={"full": law}, models=("smollm2-135m:4",), noise=0))[0]
    assert record.loss == pytest.approx(law.loss(record.model_params or 0, record.tokens or 0))


def test_noise_is_relative_seeded_and_as_stated() -> None:
    world = World(truth=TRUTH, noise=0.02, seeds=40)
    noisy = simulate(world, seed=3)
    assert noisy == simulate(world, seed=3)
    assert noisy != simulate(world, seed=4)
    assert len({record.id for record in noisy}) == len(noisy)
    exact = simulate(world.model_copy(update={"noise": 0.0}))
    deviations = np.log([r.loss or 0 for r in noisy]) - np.log([r.loss or 0 for r in exact])
    assert deviations.std() == pytest.approx(0.02, rel=0.1)


def test_cells_with_too_few_steps_are_not_run() -> None:
    world = World(truth=TRUTH, min_steps=30)
    steps = [record.steps or 0 for record in simulate(world)]
    assert min(steps) >= 30
    assert len(steps) == planned(world) < planned(world.model_copy(update={"min_steps": 1}))


def test_a_wrong_learning_rate_costs_what_its_law_says() -> None:
    world = World(truth=TRUTH, models=("smollm2-135m:8",), noise=0, rate_laws=RATES, rate_multiples=(0.5, 1, 2))
    records = [record for record in simulate(world) if record.config.method == "full"]
    assert len(records) == 3 * len(world.budgets)
    for low, best, high in zip(records[::3], records[1::3], records[2::3], strict=True):
        assert low.loss and best.loss and high.loss and best.model_params and best.tokens
        best_rate = 1e-3 * (best.model_params / 1e7) ** -0.3 * (best.tokens / 1e6) ** -0.1
        assert best.config.learning_rate == pytest.approx(best_rate)
        assert best.loss == pytest.approx(TRUTH["full"].loss(best.model_params, best.tokens))
        for other in (low.loss, high.loss):
            assert np.log(other / best.loss) == pytest.approx(0.05 * np.log(2) ** 2)
    lora = [record for record in simulate(world) if record.config.method == "lora:32"]
    assert {record.config.learning_rate for record in lora} == {1e-3}  # no law: its default, once a cell
    assert len(lora) == len(world.budgets)


def test_learning_rates_can_be_given_as_they_are() -> None:
    rates = (1e-4, 1e-3)
    world = World(truth=TRUTH, noise=0, rate_laws=RATES, learning_rates={"full": rates})
    assert {r.config.learning_rate for r in simulate(world) if r.config.method == "full"} == set(rates)
    at = ("smollm2-135m:4", "full", 1e13)
    assert world.loss(*at, learning_rate=1e-4) > world.loss(*at) == TRUTH["full"].loss(14160960, 1e13 / 6 / 14160960)


def test_runs_fail_and_get_lost_as_often_as_stated() -> None:
    world = World(truth=TRUTH, seeds=20)
    flawed = world.model_copy(update={"fail_probability": 0.2, "lost_probability": 0.1})
    whole = {record.id: record for record in simulate(world, seed=5)}
    records = simulate(flawed, seed=5)
    assert records == simulate(flawed, seed=5)
    failed = [record for record in records if record.status == "failed"]
    assert len(records) == pytest.approx(0.9 * planned(flawed), rel=0.05)
    assert len(failed) == pytest.approx(0.2 * len(records), rel=0.2)
    assert all(record.error and record.loss is None for record in failed)
    # what happens to one run changes no other
    assert all(record == whole[record.id] for record in records if record.status == "done")


def test_the_example_has_the_findings_of_the_paper() -> None:
    world = World.from_yaml(PYTHIA)
    members = [shape.name for shape in world.shapes()]
    assert members == list(SUITES["pythia"])
    assert (min(world.budgets), max(world.budgets)) == (1.5e15, 1.5e18)
    best = {
        budget: {method: min(world.loss(model, method, budget) for model in members) for method in world.truth}
        for budget in world.budgets
    }
    winners = [min(losses, key=losses.__getitem__) for losses in best.values()]
    switch = winners.index("lora:32")
    assert set(winners[:switch]) == {"full"}
    assert set(winners[switch:]) == {"lora:32"}
    assert {max(losses, key=losses.__getitem__) for losses in best.values()} == {"bias"}
    losses = [record.loss for record in simulate(world) if record.loss is not None]
    assert 0.2 < min(losses) < max(losses) < np.log(1024)
    assert {record.status for record in simulate(world)} == {"done", "failed"}


def test_impossible_worlds_are_refused() -> None:
    with pytest.raises(MethodError, match="bias needs a model with bias terms"):
        simulate(World(truth={"bias": TRUTH["full"]}))
    with pytest.raises(ModelError, match="suite must be one of"):
        simulate(World(truth=TRUTH, suite="mamba"))
    with pytest.raises(ConfigError, match="seed must be >= 0, got -1"):
        simulate(World(truth=TRUTH), seed=-1)
    with pytest.raises(ValidationError, match="batch_sizes must have 1 or 3 values, got 2"):
        World(truth=TRUTH, batch_sizes=(16, 32))
    with pytest.raises(ValidationError, match="rank of lora"):
        World(truth={"lora:0": TRUTH["full"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fail_probability": 1}, "fail_probability: must be < 1, got 1"),
        ({"lost_probability": -0.1}, "lost_probability: must be >= 0, got -0.1"),
        ({"models": ["smollm2-135m:1"], "suite": "pythia"}, "give either suite or models"),
        ({"models": ["smollm2-135m:1"] * 2}, "models: must not name anything twice"),
        ({"budgets": []}, "budgets: "),
        ({"rate_laws": {"bias": {"at": 1e-3, "curvature": 0.1}}}, "rate_laws names bias, which has no law in truth"),
        ({"learning_rates": {"full": [1e-3]}}, "learning_rates names full, which has none of the rate_laws"),
        ({"rate_multiples": [0]}, "rate_multiples.0: must be >= 1e-12, got 0"),
        ({"truth": {"full": {"E": 1, "A": 1, "a": 0.3, "b": 0.3}}}, "the chinchilla form needs B"),
        ({"truth": {}}, "truth: "),
        ({"truth": {"fool": LAW}}, "truth.fool: method must be full, bias, freeze:FRACTION"),
        ({"noise": 1000}, "noise: must be < 1, got 1000"),
        ({"tokens_per_pair": 1e-300}, "tokens_per_pair: must be >= 1, got 1e-300"),
        ({"budgets": [1e308]}, "budgets.0: must be <= 1e+30"),
        ({"colour": "red"}, "colour is not a known field"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    good = {"truth": {"full": LAW}}
    path = tmp_path / "world.yaml"
    path.write_text(yaml.safe_dump(good | change))
    with pytest.raises(ConfigError) as raised:
        World.from_yaml(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(raised.value).count("got ") <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"rate_laws": {"full": TrueRate(at=1e-3, q=500, curvature=0.1)}},
            "the best rate of .* tokens must lie between",
        ),
        ({"rate_laws": {"full": TrueRate(at=1e-3, q=-500, curvature=0.1)}}, "the best rate of .* change p and q"),
        (
            {"rate_laws": {"full": TrueRate(at=1e-3, curvature=1000)}, "rate_multiples": (0.1, 1, 10)},
            r"the loss at the rate 0.0001 must lie between 1e-200 and 1e200, got e\^",
        ),
        (
            {"truth": {"full": Coefficients(E=0, A=1e-300, a=9, B=0, b=9)}},
            "truth.full: the loss must be finite and > 0",
        ),
        ({"min_steps": 10**9}, "leaves no record: no run reaches min_steps=1000000000, the longest takes"),
        ({"lost_probability": 0.99999}, r"leaves no record: all \d+ runs are lost, lost_probability=0.99999"),
    ],
)
def test_a_study_that_cannot_be_simulated_is_one_line(change: dict[str, Any], message: str) -> None:
    world = World.model_validate({"truth": TRUTH} | change)
    with pytest.raises(ConfigError, match=message) as raised:
        simulate(world)
    assert "\n" not in str(raised.value)


def test_a_design_without_runs_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no runs: no run reaches min_steps=1000000000"):
        planned(World(truth=TRUTH, min_steps=10**9))


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not valid YAML"), ("- 1", "must hold a world"), (None, "cannot read")]
)
def test_what_is_no_world_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "world.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        World.from_yaml(path)
