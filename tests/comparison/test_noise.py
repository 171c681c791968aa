"""The luck of training is pooled over the settings that have several seeds, and over those only."""

import math

import numpy as np
import pytest

from embudget.comparison import seed_noise
from tests.comparison.made import made


def test_the_deviation_of_a_run_is_recovered() -> None:
    rng = np.random.default_rng(5)
    records = [
        made(loss, seed=seed, luck=0.02, rng=rng, learning_rate=loss / 1000)
        for loss in np.linspace(2, 5, 60)
        for seed in range(3)
    ]
    found = seed_noise(records)
    assert found.deviation == pytest.approx(0.02, rel=0.15)
    assert (found.freedom, found.settings) == (120, 60)


def test_other_rates_and_budgets_are_no_seeds() -> None:
    records = [made(3.0), made(4.0, learning_rate=2e-3), made(2.0, train_flops=2e12)]
    found = seed_noise(records)
    assert math.isnan(found.deviation)
    assert (found.freedom, found.settings) == (0, 0)


def test_for_ndcg_it_is_in_its_own_unit() -> None:
    records = [made(3.0).model_copy(update={"ndcg": 0.5}), made(3.0, seed=1).model_copy(update={"ndcg": 0.6})]
    assert seed_noise(records, "ndcg").deviation == pytest.approx(0.1 / math.sqrt(2))


def test_what_differs_between_groups_is_no_luck_common_to_all() -> None:
    """With a tenth of a nat on each of 60 groups, the mean moves by 0.013 nats, which the error by groups explains."""
    rng = np.random.default_rng(6)
    kinds = [f"lora:{rank}" for rank in range(1, 61)]
    varied = [made(3.0, seed=seed, own=0.1, rng=rng, method=kind) for kind in kinds for seed in range(3)]
    found = seed_noise(varied)
    assert found.deviation == pytest.approx(0.1 / math.sqrt(60) / 3, rel=0.15)
    assert found.by_groups == pytest.approx(found.deviation, rel=0.2)
    assert found.common == pytest.approx(found.deviation / math.sqrt(2))  # few seeds cannot show that it is none
    both = [made(3.0, seed=seed, own=0.1, luck=0.02, rng=rng, method=kind) for kind in kinds for seed in range(3)]
    assert seed_noise(both).common == pytest.approx(0.02, rel=0.15)


def test_without_groups_the_whole_deviation_counts() -> None:
    records = [made(3.0, seed=seed, luck=0.02).model_copy(update={"groups": {}}) for seed in range(3)]
    found = seed_noise(records)
    assert found.by_groups == 0
    assert found.common == found.deviation > 0
