"""A comparison finds a difference that is there, and calls one noise that is not; and it says what it would take."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embudget as eb
from embudget.comparison import compare, seed_noise
from embudget.errors import ConfigError
from embudget.records import RunRecord
from tests.comparison.made import made

FULL, HALF = "smollm2-135m:2/full", "smollm2-135m:2/freeze:0.5"


def study(apart: float, seeds: int = 3, *, own: float = 0.05, luck: float = 0.01, **more: Any) -> list[RunRecord]:  # noqa: ANN401
    """Seeds of two methods whose true losses lie so far apart, nats, and of other settings, which tell the noise."""
    rng = np.random.default_rng(more.pop("draw", 0))
    kinds = [("full", 3.0), ("freeze:0.5", 3.0 + apart), *((f"lora:{2**k}", 3.5) for k in range(1, 8))]
    return [
        made(loss, seed=seed, own=own, luck=luck, rng=rng, method=method, **more)
        for method, loss in kinds
        for seed in range(seeds)
    ]


def test_a_difference_is_found_with_both_errors() -> None:
    (found,) = compare(study(0.3), HALF, FULL).budgets
    assert found.loss.more_than_noise
    assert found.loss.difference == pytest.approx(0.3, abs=0.1)
    assert found.percent == pytest.approx(100 * found.loss.difference / found.second.loss, rel=1e-6)
    assert (found.groups, found.first.seeds, found.noise_settings) == (60, 3, 9)
    assert found.loss.group_error is not None and found.loss.seed_error is not None and found.loss.error is not None
    assert found.loss.error == pytest.approx(math.hypot(found.loss.group_error, found.loss.seed_error))
    assert found.loss.group_error == pytest.approx(0.05 * math.sqrt(2 / 3 / 60), rel=0.35)
    assert found.loss.seed_error == pytest.approx(0.01 * math.hypot(3, 3.3) / math.sqrt(3), rel=0.35)
    assert found.ndcg.difference == pytest.approx(-found.loss.difference / 6, abs=0.01)


def test_equal_choices_are_called_noise_in_most_studies_and_the_errors_add_up() -> None:
    """5 % of equal choices are to be called different; seeds left out, with this luck it would be most."""
    found = [compare(study(0.0, luck=0.02, draw=draw), HALF, FULL).budgets[0] for draw in range(100)]
    assert np.mean([one.loss.more_than_noise for one in found]) <= 0.1
    spread = np.std([one.loss.difference for one in found])
    assert np.mean([one.loss.error or 0 for one in found]) == pytest.approx(spread, rel=0.25)
    by_groups_alone = [abs(one.loss.difference) > 2 * (one.loss.group_error or 0) for one in found]
    assert np.mean(by_groups_alone) > 0.4


def test_what_it_would_take_is_enough() -> None:
    """With as many groups as were asked for, the same difference is resolved."""
    few = study(0.05, own=0.3, luck=0.0, draw=2)
    (found,) = compare(few, HALF, FULL).budgets
    assert not found.loss.more_than_noise
    assert found.groups_to_resolve is not None
    by_groups, by_seeds = found.loss.group_error or 0, found.loss.seed_error or 0
    then = math.sqrt(by_groups**2 * 60 / found.groups_to_resolve + by_seeds**2)
    assert then == pytest.approx(found.loss.difference / 2, rel=0.01)
    assert f"takes about {found.groups_to_resolve:,} groups" in str(found)
    many = study(0.05, own=0.3, luck=0.0, sizes=(8,) * 4 * found.groups_to_resolve)
    assert compare(many, HALF, FULL).budgets[0].loss.more_than_noise


def test_where_seeds_are_the_noise_more_of_them_are_asked_for() -> None:
    (found,) = compare(study(0.06, own=0.01, luck=0.03, draw=4), HALF, FULL).budgets
    assert not found.loss.more_than_noise
    assert found.groups_to_resolve is None
    assert found.seeds_to_resolve is not None and found.seeds_to_resolve > 3
    by_groups, by_seeds = found.loss.group_error or 0, found.loss.seed_error or 0
    then = math.sqrt(by_groups**2 + by_seeds**2 * 3 / found.seeds_to_resolve)
    assert then == pytest.approx(found.loss.difference / 2, rel=0.05)
    assert f"takes about {found.seeds_to_resolve} seeds a side" in str(found)


def test_one_seed_each_borrows_the_noise_of_the_other_settings() -> None:
    records = [record for record in study(0.3) if record.config.seed == 0 or "lora" in record.config.method]
    (found,) = compare(records, HALF, FULL).budgets
    assert (found.first.seeds, found.noise_settings) == (1, 7)
    assert found.loss.seed_error == pytest.approx(seed_noise(records).deviation * math.hypot(3, 3.3), rel=0.1)


def test_without_several_seeds_only_the_groups_speak_and_it_is_said() -> None:
    (found,) = compare(study(0.3, seeds=1), HALF, FULL).budgets
    assert found.loss.seed_error is None and found.loss.more_than_noise
    assert "not known from seeds" in str(found)
    assert "More than noise of the groups; that of seeds is not known" in str(found)


def test_the_best_rate_of_each_side_is_compared() -> None:
    worse = [made(4.0, seed=seed, method="full", learning_rate=1e-2) for seed in range(3)]
    (found,) = compare(study(0.3) + worse, HALF, FULL).budgets
    assert (found.second.learning_rate, found.second.settings, found.second.seeds) == (1e-3, 2, 3)
    assert "(best of 2 settings)" in str(found)


def test_budgets_are_compared_one_by_one_or_as_asked_for() -> None:
    records = study(0.3) + study(0.1, train_flops=2e12) + [made(2.5, method="full", train_flops=4e12)]
    both = compare(records, HALF, FULL)
    assert [one.first.train_flops for one in both.budgets] == [1e12, 2e12]
    assert str(both).count("A - B at") == 2
    for first, second in ((f"{HALF}@2e12", FULL), (HALF, f"{FULL}@2e12"), (f"{HALF}@2000e9", f"{FULL}@2e12")):
        (found,) = compare(records, first, second).budgets
        assert (found.first.train_flops, found.second.train_flops) == (2e12, 2e12)
    (crossed,) = compare(records, f"{HALF}@1e12", f"{FULL}@2e12").budgets
    assert "at 1e+12 and 2e+12 FLOP" in str(crossed)


def test_runs_are_found_by_the_beginning_of_their_ids() -> None:
    records = study(0.3)
    first, second = records[0], records[3]
    (found,) = compare(records, first.id[:9], second.id[:9].upper()).budgets
    assert (found.first.seeds, found.first.method, found.second.method) == (1, "full", "freeze:0.5")
    (mixed,) = compare(records, first.id, HALF).budgets
    assert (mixed.first.seeds, mixed.second.seeds) == (1, 3)


def test_a_folder_may_be_written_in_another_way(tiny_neox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_neox.parent)
    runs = [made(3.0 + k, model=str(tiny_neox), method=method) for k, method in enumerate(("full", "bias"))]
    (found,) = compare(runs, f"{tiny_neox}/full", "./tiny-neox/bias@1e12").budgets
    assert found.second.method == "bias"


def test_of_two_yardsticks_the_one_that_both_sides_share_counts() -> None:
    records = study(0.3)
    others = [made(9.0, method="full", seed=seed, pairs="other") for seed in range(5)]
    (found,) = compare(records + others, HALF, FULL).budgets
    assert found.second.loss < 4


def without_groups(record: RunRecord) -> RunRecord:
    return record.model_copy(update={"groups": {}})


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("ffff", FULL, "no run's id begins with ffff"),
        ("", FULL, "no run's id begins with nothing"),
        ("smollm2-135m:9/full", FULL, "no run of smollm2-135m:9 by full is in these records"),
        ("smollm2-135m:2/fall", FULL, "method"),
        (f"{HALF}@3e12", FULL, "has no run at 3e.12 FLOP: its budgets are 1e.12"),
        (f"{HALF}@much", FULL, "budget must be a number"),
        (FULL, FULL, "must be different runs"),
        (HALF, "smollm2-135m:4/full", "no budget|has no run"),
        (HALF, "smollm2-135m:3/full", "measured before losses were kept by group"),
        (HALF, "smollm2-135m:1/full", "measured differently: pairs abc and other"),
        (HALF, "smollm2-135m:5/full", "same held-out groups, got 60 and 30"),
        (HALF, "smollm2-135m:6/full", "has no run with a loss: 1 ended as diverged"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(first: str, second: str, said: str) -> None:
    records = [
        *study(0.3),
        made(3.0, model="smollm2-135m:4", train_flops=5e12),
        without_groups(made(3.0, model="smollm2-135m:3")),
        made(3.0, model="smollm2-135m:1", pairs="other"),
        made(3.0, model="smollm2-135m:5", sizes=(8,) * 30),
        made(3.0, model="smollm2-135m:6").model_copy(update={"status": "diverged", "loss": None}),
    ]
    with pytest.raises(eb.EmbudgetError, match=said) as error:
        compare(records, first, second)
    assert "\n" not in str(error.value)


def test_an_ambiguous_beginning_names_runs_to_choose_from() -> None:
    records = [made(3.0, seed=seed) for seed in range(40)]  # some of 40 ids begin alike
    firsts = [record.id[0] for record in records]
    shared = next(one for one in firsts if firsts.count(one) > 1)
    with pytest.raises(ConfigError, match=f"runs have ids that begin with {shared}"):
        compare(records, shared, records[0].id)


def test_the_public_name_is_the_same() -> None:
    assert eb.compare is compare


def test_an_error_that_is_hardly_known_is_said_to_be_so() -> None:
    """By one setting with two seeds, a difference of six times its error may be luck; more groups do not help."""
    rng = np.random.default_rng(0)
    records = [made(3.0, seed=seed, own=0.02, luck=0.01, rng=rng) for seed in (0, 1)]
    records.append(made(3.2, own=0.02, rng=rng, method="freeze:0.5"))
    (found,) = compare(records, HALF, FULL).budgets
    assert not found.loss.more_than_noise and found.loss.error is not None
    assert abs(found.loss.difference) > 2 * found.loss.error
    assert (found.groups_to_resolve, found.seeds_to_resolve) == (None, None)
    assert "times its error, but that error is known too badly: give more settings several seeds" in str(found)


def test_as_many_seeds_a_side_as_it_says_halve_the_error() -> None:
    """With 3 seeds and 1, the variance is 4/3 of a seed's; a quarter of it takes 6 a side."""
    records = [one for one in study(0.5) if one.config.seed == 0 or one.config.method != "full"]
    (found,) = compare(records, HALF, FULL).budgets
    assert (found.first.seeds, found.second.seeds) == (3, 1)
    assert "240 groups and 6 seeds a side would halve it" in str(found)
    assert "nDCG@10: " in str(found) and ", more than noise" in str(found)


def test_a_side_says_its_negatives_and_length() -> None:
    records = [*study(0.3), made(2.5, negatives=2, max_length=32), made(2.4, negatives=2, max_length=32, seed=1)]
    (found,) = compare(records, HALF, FULL).budgets
    assert "smollm2-135m:2 full negatives 2 max_length 32, rate 0.001 (best of 2 settings)" in str(found)
    assert "freeze:0.5, rate" in str(found)
