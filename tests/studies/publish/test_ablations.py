"""What a change of a default does to the loss: at its best rates, on fresh seeds, against the noise of its runs."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from studies.publish.ablations import compared, losses_of
from studies.publish.files import read_lines
from tests.studies.publish.made import record

ROOT = Path(__file__).parents[3]

WORSE = {1e12: {2e-3: 0.0, 1e-3: 0.05, 4e-3: 0.2}, 4e12: {1e-3: 0.0, 2e-3: 0.05, 4e-3: 0.2}}
"""What each rate costs at each budget."""
ABLATED = [  # batch size, rate, member, budget, seed: three rates on seed 0, the two best on three others
    (size, rate, depth, budget, seed)
    for size in (4, 8, 16) for rate in (1e-3, 2e-3, 4e-3) for depth in (2, 3) for budget in WORSE for seed in range(4)
    if seed == 0 or rate < 4e-3
]  # fmt: skip


def ablated(effects: dict[int, float], noise: float, opposite: bool = False, misled: bool = False) -> dict[str, Any]:
    """The ablations of batches of 4 and 8 from 16, whose losses are 3 + effect + noise, and at other rates worse.

    The effect changes its sign from budget to budget where it is opposite; what has an effect of 3 is at chance. Where
    misled, seed 0 has the best rate of batch 8 for the second best.
    """
    rng = np.random.default_rng(0)
    by_seed, by_run = rng.normal(0, 0.1, 4), {(size, depth, seed): rng.normal(0, noise) for size in (4, 8, 16)
                                              for depth in (2, 3) for seed in range(4)}  # fmt: skip

    def loss(size: int, rate: float, depth: int, budget: float, seed: int) -> float:
        effect = effects.get(size, 0.0)
        run = 6.0 if effect == 3 else 3 + by_seed[seed] + by_run[size, depth, seed]
        change = 0.0 if effect == 3 else -effect if opposite and budget > 1e12 else effect
        rates = WORSE[budget][rate] + 0.07 * (misled and size == 8 and seed == 0 and WORSE[budget][rate] == 0)
        return float(run + change + rates)

    runs = [
        record(loss(size, rate, depth, budget, seed), method="lora:32", batch_size=size, learning_rate=rate,
               model=f"m:{depth}", seed=seed, schedule="wsd", train_flops=budget)
        for size, rate, depth, budget, seed in ABLATED
    ]  # fmt: skip
    return compared(losses_of(runs), chance=6.0)


def test_the_published_ablations_are_those_of_the_runs() -> None:
    folder = ROOT / "results" / "ablations"
    records = read_lines(folder / "records.jsonl")
    found = compared(losses_of(records), chance=math.log(512))
    assert found == json.loads((folder / "ablations.json").read_text())


def test_an_ablation_is_taken_at_its_best_rates_and_compared_on_fresh_seeds() -> None:
    found = ablated({8: 0.05}, noise=0.01)
    none, row = found["changes"]
    assert (row["change"], row["base"]) == ("batch_size 8", "lora:32")
    assert [(at["train_flops"], at["rate"], at["at_an_end"]) for at in row["rates"]] == [
        (1e12, 2e-3, False), (4e12, 1e-3, True)
    ]  # fmt: skip
    assert [[of["rate"] for of in at["of"]] for at in row["rates"]] == [[1e-3, 2e-3, 4e-3]] * 2
    low, high = ([of["first_seed"] for of in at["of"]] for at in row["rates"])
    assert [loss - low[0] for loss in low] == pytest.approx([0, -0.05, 0.15], abs=1e-3)
    assert [loss - high[0] for loss in high] == pytest.approx([0, 0.05, 0.2], abs=1e-3)
    assert [of["other_seeds"] is None for of in row["rates"][0]["of"]] == [False, False, True]
    assert row["differences"] == pytest.approx([0.05, 0.05, 0.05], abs=0.015)
    assert all(
        abs(one) < smallest for one, smallest in zip(none["differences"], found["outside_the_noise"], strict=True)
    )
    assert all(one > smallest for one, smallest in zip(row["differences"], found["outside_the_noise"], strict=True))
    assert (found["budgets"], found["seeds"]) == ([1e12, 4e12], 3)
    assert found["freedom"] == (3 - 1) * 2 * (3 - 1)  # settings, members, seeds
    assert found["standard_error"] == pytest.approx([0.01 * (2 / 6) ** 0.5] * 3, rel=0.5)
    quantile = student.ppf(1 - 0.025 / (2 * 3), 8)  # two changes, three differences of each
    assert found["outside_the_noise"] == pytest.approx([quantile * one for one in found["standard_error"]], abs=2e-3)
    (base,) = found["bases"]
    assert (base["change"], base["standard_deviation"]) == ("lora:32", found["standard_deviation"])
    assert base["losses_at_first_rates"] == base["losses_at_rates_of_other_seeds"] == base["losses"]


def test_of_the_two_best_rates_of_one_seed_the_others_choose() -> None:
    found = ablated({8: 0.05}, noise=0.01, misled=True)
    right = ablated({8: 0.05}, noise=0.01)
    row, expected = (of["changes"][1] for of in (found, right))
    for same in ("differences", "at_rates_of_other_seeds", "runs_below_the_base"):
        assert row[same] == expected[same]
    assert row["at_first_rates"] == pytest.approx([one + 0.05 for one in expected["at_first_rates"]], abs=1e-3)


def test_the_rate_of_a_seed_can_be_chosen_on_the_rest() -> None:
    runs = [  # each of two rates is bad on one seed, where the other is not; one cell
        record(loss, method="lora:32", schedule="wsd", learning_rate=rate, seed=seed, batch_size=size)
        for size in (8, 16) for rate, losses in ((1e-3, [3.0, 4.0, 3.0, 3.0]), (2e-3, [3.1, 3.0, 3.9, 3.3]))
        for seed, loss in enumerate(losses if size == 8 else [3.0] * 4)
    ]  # fmt: skip
    (row,) = compared(losses_of(runs), chance=6.0)["changes"]
    assert row["rates"][0]["rate"] == 1e-3  # means of the other seeds 3.333 and 3.4
    assert row["differences"][0] == pytest.approx(1 / 3, abs=1e-4)
    # without seed 1 that is 3.0 against 3.6, without 2 it is 3.5 against 3.15, without 3 it is 3.5 against 3.45
    assert row["at_rates_of_other_seeds"][0] == pytest.approx((4.0 + 3.9 + 3.3) / 3 - 3, abs=1e-4)
    assert row["runs_below_the_base"] == [0]


def test_opposite_effects_at_two_budgets_are_seen_though_the_mean_is_none() -> None:
    found = ablated({8: 0.05}, noise=0.01, opposite=True)
    low, high, both = found["changes"][1]["differences"]
    assert (low, high) == (pytest.approx(0.05, abs=0.015), pytest.approx(-0.05, abs=0.015))
    assert low > found["outside_the_noise"][0] and -high > found["outside_the_noise"][1]
    assert abs(both) < found["outside_the_noise"][2]


def test_what_seeds_share_is_not_noise_of_an_ablation() -> None:
    assert ablated({8: 0.05}, noise=0.0)["standard_error"] == [0, 0, 0]


def test_an_ablation_that_learns_nothing_tells_nothing_of_the_noise() -> None:
    found = ablated({4: 3.0}, noise=0.01)
    assert [row["learned"] for row in found["changes"]] == [False, True]
    assert found["freedom"] == (2 - 1) * 2 * (3 - 1)
    assert found["standard_error"] == pytest.approx([0.01 * (2 / 6) ** 0.5] * 3, rel=0.9)  # the seeds' 0.1 is not in it


def test_an_ablation_within_the_noise_is_not_outside_it() -> None:
    found = ablated({8: 0.01}, noise=0.05)
    for row in found["changes"]:
        assert all(abs(one) < most for one, most in zip(row["differences"], found["outside_the_noise"], strict=True))


def test_ablations_that_lack_runs_are_not_compared() -> None:
    runs = [record(3.0, method="lora:32", learning_rate=1e-3, seed=seed, schedule="wsd") for seed in range(3)]
    with pytest.raises(SystemExit, match=r"same fresh runs at its best rates at 1e\+12 FLOP, has \{0.002: 0\}"):
        other = record(3.0, method="lora:32", schedule="wsd", batch_size=8, learning_rate=2e-3)
        compared(losses_of([*runs, other]), chance=6.0)
    with pytest.raises(SystemExit, match="must have the same runs"):
        fewer = [record(3.0, method="lora:32", schedule="wsd", batch_size=8, seed=seed) for seed in range(2)]
        compared(losses_of([*runs, *fewer]), chance=6.0)
    with pytest.raises(SystemExit, match="no runs of seed 0"):
        compared(losses_of(runs[1:]), chance=6.0)
