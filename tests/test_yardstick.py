"""The standard error of a held-out loss: what groups explain, what pairing removes, and how sure a verdict is."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from embudget.errors import ConfigError
from embudget.records import GroupScore
from embudget.yardstick import Difference, effective_groups, loss_error, loss_text, paired_difference


def groups_of(sizes: Sequence[int], losses: Sequence[float], ndcg: float = 0.5) -> dict[str, GroupScore]:
    return {f"s/g{place}": GroupScore(n, loss, ndcg) for place, (n, loss) in enumerate(zip(sizes, losses, strict=True))}


def test_with_equal_groups_it_is_the_standard_error_of_their_mean() -> None:
    losses = np.random.default_rng(0).normal(3, 0.5, 40).clip(0).tolist()
    expected = float(np.std(losses, ddof=1)) / math.sqrt(40)
    assert loss_error(groups_of([10] * 40, losses)) == pytest.approx(expected)


def test_pairs_of_one_group_do_not_count_as_independent() -> None:
    """If all pairs of a group share their loss, ten times as many pairs of each say nothing new."""
    losses = [2.0, 3.0, 4.0, 3.5]
    few, many = (loss_error(groups_of([size] * 4, losses)) for size in (3, 30))
    assert few == pytest.approx(many)


def test_groups_of_other_sizes_weigh_by_their_pairs() -> None:
    """Checked against the sum written out: n = 8, m = 2.5, G / (G - 1) = 1.5."""
    found = loss_error(groups_of([4, 2, 2], [2.0, 3.0, 3.0]))
    assert found == pytest.approx(math.sqrt(1.5 * ((4 * 0.5) ** 2 + 2 * (2 * 0.5) ** 2)) / 8)


def test_it_is_not_known_with_fewer_than_two_groups() -> None:
    assert math.isnan(loss_error({}))
    assert math.isnan(loss_error(groups_of([5], [3.0])))
    assert loss_text(3.1314, {}) == "3.131"
    assert loss_text(3.5, groups_of([10, 10], [3.0, 4.0])) == "3.500 ± 0.500"


@pytest.mark.parametrize(
    "sizes", [[7] * 100 + [10] * 22 + [2] * 28, [100] + [13] * 31, [10] * 5, [190] + [10] * 19], ids=str
)
def test_equal_models_are_told_apart_in_one_of_twenty_comparisons(sizes: list[int]) -> None:
    """Nominal 5 %; groups of very different sizes must not make it many more, nor the test toothless."""
    rng = np.random.default_rng(1)
    false = 0
    for _ in range(2000):
        hard = rng.normal(3, 0.3, len(sizes))
        first, second = (groups_of(sizes, (hard + rng.normal(0, 0.1, len(sizes))).tolist()) for _ in range(2))
        false += paired_difference(first, second).is_real
    assert 0.015 <= false / 2000 <= 0.085


def test_the_error_is_how_far_differences_vary() -> None:
    rng = np.random.default_rng(2)
    sizes = [int(size) for size in rng.integers(2, 11, 120)]
    found, errors = [], []
    for _ in range(400):
        base = rng.normal(3, 0.5, 120)
        pair = [groups_of(sizes, (base + rng.normal(0, 0.2, 120)).tolist()) for _ in range(2)]
        one = paired_difference(pair[0], pair[1])
        found.append(one.nats)
        errors.append(one.error)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.1)


def test_what_is_hard_for_both_does_not_count() -> None:
    hard = np.random.default_rng(3).normal(3, 0.5, 50).clip(0.1)
    first, second = groups_of([10] * 50, hard.tolist()), groups_of([10] * 50, (hard - 0.05).tolist())
    found = paired_difference(first, second)
    assert found.nats == pytest.approx(0.05)
    assert found.error < 1e-9 < loss_error(first) / 10
    assert found.is_real
    assert found.groups == 50
    assert found.freedom == pytest.approx(49)


def test_ndcg_is_compared_in_the_same_way() -> None:
    first, second = groups_of([10, 10], [3.0, 4.0], 0.5), groups_of([10, 10], [3.0, 4.0], 0.4)
    found = paired_difference(first, second, "ndcg")
    assert found.value == pytest.approx(0.1)
    assert found.error == pytest.approx(0.0)


def test_two_groups_of_one_size_are_two_and_a_large_one_counts_for_less() -> None:
    assert effective_groups(groups_of([10, 10], [1.0, 1.0])) == pytest.approx(2)
    assert effective_groups(groups_of([90, 10], [1.0, 1.0])) == pytest.approx(1 / (0.81 + 0.01))
    assert effective_groups({}) == 0


def test_nothing_is_real_where_the_error_is_not_known() -> None:
    assert not paired_difference(groups_of([5], [3.0]), groups_of([5], [1.0])).is_real
    assert math.isnan(Difference(1.0, 0.1, 1, 0.0).bound)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({}, "run them again"),
        (groups_of([10, 10, 10], [1.0, 1.0, 1.0]), "the same held-out groups, got 2 and 3 with 2 in common"),
        (groups_of([10, 9], [1.0, 1.0]), "got 10 and 9 of group s/g1"),
    ],
)
def test_other_yardsticks_are_refused(second: dict[str, GroupScore], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        paired_difference(groups_of([10, 10], [1.0, 2.0]), second)
    assert "\n" not in str(error.value)
