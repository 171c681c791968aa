"""Budgets whose runs follow the laws of real ones."""

from math import log

import pytest

from benchmarks.spend_laws import CURVATURE, NOISE, LawsWorld, make_world, policy
from benchmarks.spend_outcomes import spend
from embudget import find_laws
from embudget.records import RunConfig, RunRecord
from embudget.spending.allocation import Purchase

MEMBERS = ("smollm2-135m:1", "smollm2-135m:4")


@pytest.fixture(scope="module")
def world() -> LawsWorld:
    """The built-in laws, whose study had these members."""
    records = [
        RunRecord(
            config=RunConfig(
                model=model, method="full", train_flops=1e12, pairs="made", batch_size=16, learning_rate=1e-3
            ),
            status="done", lineage="smollm2", base_loss=6.0, loss=4.0,
        )
        for model in MEMBERS
    ]  # fmt: skip
    return make_world(find_laws("smollm2"), records, 4e12, 0)


def test_only_recorded_members_are_sold_at_the_laws_losses(world: LawsWorld) -> None:
    assert {arm.model for arm in world.allocation.arms} == set(MEMBERS)
    best = world.best(4e12)
    arm = world.allocation.arm(best)
    law = world.laws.predict(arm.method, arm.model_params, arm.tokens(4e12))
    assert world.lowest(4e12) == pytest.approx(law, rel=0.01)
    off = best.model_copy(update={"learning_rate": 2 * best.learning_rate})
    assert log(world.true_loss(off, 4e12) / world.lowest(4e12)) == pytest.approx(CURVATURE * log(2) ** 2, rel=0.1)


def test_the_same_run_has_the_same_noise(world: LawsWorld) -> None:
    bought = Purchase(setting=world.best(4e12), train_flops=1e12, cost=1e12)
    first, again = world.measure(bought), world.measure(bought)
    assert first == again
    assert first.loss == pytest.approx(world.true_loss(bought.setting, 1e12), rel=4 * NOISE)


@pytest.mark.parametrize("name", ["largest", "retriever", "spend", "spend-before"])
def test_policies_spend_it_without_a_regret_below_zero(world: LawsWorld, name: str) -> None:
    assert spend(world, policy(name, world.allocation)).regret >= -1e-9
