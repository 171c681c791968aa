"""The luck of training is pooled over the settings that have several seeds, and over those only."""

import math
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from embudget.comparison import seed_noise
from embudget.comparison.noise import SHARED
from embudget.records import RunConfig, RunRecord
from embudget.study.trunks import tasks
from studies.publish.files import read_lines
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


def trunk(method: str, seeds: int = 2) -> list[RunRecord]:
    """Seeds of a method at three budgets, which branch off one trunk."""
    return [
        made(3.0, seed=seed, luck=0.02, method=method, schedule="wsd", train_flops=budget, warmup=1e11 / budget)
        for budget in (1e12, 2e12, 4e12)
        for seed in range(seeds)
    ]


def test_budgets_of_a_trunk_know_less_than_settings_of_their_own() -> None:
    """Three budgets of one trunk that correlate by a half count as two settings: 3^2 / (3 + 6 / 4)."""
    one = seed_noise(trunk("full"))
    assert (one.freedom, one.settings, one.runs) == (2.0, 3, 6)
    assert seed_noise(trunk("full") + trunk("bias")).freedom == 4.0
    apart = [made(3.0, seed=seed, train_flops=budget) for budget in (1e12, 2e12, 4e12) for seed in (0, 1)]
    assert seed_noise(apart).freedom == 3.0
    only_first = [run for run in trunk("full") if run.config.train_flops == 1e12 or run.config.seed == 0]
    assert seed_noise(only_first + trunk("bias")).freedom == pytest.approx(4**2 / (4 + 6 / 4))


@pytest.mark.parametrize("study", ["micro", "smollm2"])
def test_the_luck_that_budgets_of_a_trunk_share_is_no_more_than_assumed(study: str) -> None:
    """The mean correlation of a seed's luck over all pairs of budgets of the published studies' trunks."""
    losses: defaultdict[RunConfig, dict[int, float]] = defaultdict(dict)
    for run in read_lines(Path(__file__).parents[2] / "results" / study / "records.jsonl"):
        if run.status == "done" and run.loss is not None:
            losses[run.config.model_copy(update={"seed": 0})][run.config.seed] = math.log(run.loss)
    several = {setting: found for setting, found in losses.items() if len(found) > 1}
    luck = {one: {seed: x - np.mean([*found.values()]) for seed, x in found.items()} for one, found in several.items()}
    products = [
        (luck[one][seed] * luck[other][seed], luck[one][seed] ** 2, luck[other][seed] ** 2)
        for trunk in tasks(several)
        for one, other in combinations(trunk, 2)
        for seed in luck[one].keys() & luck[other].keys()
    ]
    shared, first, second = np.sum(products, axis=0)
    assert 0.1 < shared / math.sqrt(first * second) < SHARED
