"""Simulated records are those that real runs of a known law would leave."""

import numpy as np
import pytest
from pydantic import ValidationError

from embudget.errors import MethodError
from embudget.laws import Coefficients
from embudget.simulate import World, simulate

TRUTH = {
    "full": Coefficients(E=1.5, A=300, a=0.35, B=250, b=0.4),
    "lora:32": Coefficients(E=1.5, A=320, a=0.35, B=220, b=0.4),
}


def test_without_noise_a_record_holds_the_true_loss_of_its_tokens() -> None:
    world = World(truth=TRUTH, noise=0, batch_sizes=(16, 32, 64))
    records = simulate(world)
    assert len(records) == len(world.models) * len(world.budgets) * len(TRUTH)
    for record in records:
        assert record.model_params and record.tokens and record.steps and record.train_flops and record.loss
        assert record.loss == pytest.approx(TRUTH[record.config.method].loss(record.model_params, record.tokens))
        assert record.train_flops >= record.config.train_flops  # a run ends at the step that reaches the budget
        step = record.train_flops / record.steps
        assert record.train_flops - step < record.config.train_flops
        assert record.pairs_seen == record.steps * record.config.batch_size
        assert record.config.batch_size == {1e12: 16, 4e12: 32, 1.6e13: 64}[record.config.train_flops]


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
    assert len(steps) < len(simulate(world.model_copy(update={"min_steps": 1})))


def test_impossible_worlds_are_refused() -> None:
    with pytest.raises(MethodError, match="bias needs a model with bias terms"):
        simulate(World(truth={"bias": TRUTH["full"]}))
    with pytest.raises(ValidationError, match="batch_sizes must have 1 or 3 values, got 2"):
        World(truth=TRUTH, batch_sizes=(16, 32))
    with pytest.raises(ValidationError, match="rank of lora"):
        World(truth={"lora:0": TRUTH["full"]})
