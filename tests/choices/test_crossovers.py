"""Where the best kind of method changes, by given log losses: intervals, turns, and kinds that cannot be told apart."""

import numpy as np
import pytest

from embudget.choices.crossovers import changes, crossovers_by, overtakings
from embudget.choices.table import Array

AT = np.geomspace(1, 1e4, 5)


def straight(slope: float, zero: float, budgets: int = 5) -> Array:
    """A log loss that is 0 at 10^zero."""
    return slope * np.linspace(-zero, budgets - 1 - zero, budgets)


def two(zeros: list[float]) -> tuple[Array, Array]:
    """Predictions and draws of two kinds, the second better from 10^zero on; the prediction's zero is 2.5."""
    level = np.zeros(5)
    draws = np.stack([np.stack([level, straight(-0.1, zero)]) for zero in zeros])
    return np.stack([level, straight(-0.1, 2.5)]), draws


def test_draws_make_the_interval() -> None:
    zeros = np.linspace(2, 3, 101).tolist()
    (found,) = crossovers_by(("full", "lora"), AT, *two(zeros))
    assert (found.from_method, found.to_method, found.share) == ("full", "lora", 1.0)
    assert found.budget == pytest.approx(10**2.5)
    assert found.interval == pytest.approx((10**2.05, 10**2.95))


@pytest.mark.parametrize(
    ("never", "outside"),
    [(4, [9.0]), (4, [-9.0]), (8, [9.0, -9.0]), (6, [9.0]), (6, [-9.0]), (12, [9.0, -9.0])],
)
def test_nine_draws_in_ten_must_cross_and_the_interval_lie_on_the_grid(never: int, outside: list[float]) -> None:
    """At most 5 % of the draws may cross beyond the grid, and as many below it."""
    zeros = np.linspace(2, 3, 100 - never).tolist() + never // len(outside) * outside
    (found,) = crossovers_by(("full", "lora"), AT, *two(zeros))
    assert found.share == pytest.approx(1 - never / 100)
    assert found.budget == pytest.approx(10**2.5)
    assert found.determined == (never / len(outside) < 5)
    if not found.determined:
        assert str(found) == f"full to lora at about 3.2e+02 FLOP: undetermined ({100 - never} % of the draws cross)"


def test_wider_draws_widen_the_interval() -> None:
    means, draws = two(np.linspace(2.2, 2.8, 101).tolist())
    intervals = []
    for factor in (1.0, 2.0, 9.0):
        (found,) = crossovers_by(("full", "lora"), AT, means, means + factor * (draws - means))
        intervals.append(found.interval)
    plain, double, far = intervals
    assert plain == pytest.approx((10**2.23, 10**2.77))
    assert double == pytest.approx((10**1.96, 10**3.04))
    assert far is None


@pytest.mark.parametrize(("without", "determined"), [(4, [True, True, True]), (30, [True, False, False])])
def test_who_does_not_take_a_turn_does_not_take_those_after_it(without: int, determined: list[bool]) -> None:
    """The second kind is the better one from 10 on, but for a turn between 10^2 and 10^3 that not all draws take."""
    level, turning = np.zeros(5), np.array([0.1, -0.1, 0.1, -0.1, -0.3])
    straight_on = np.array([0.1, -0.1, -0.2, -0.3, -0.4])
    wobble = np.random.default_rng(0).normal(0, 1e-3, (100, 5))
    seconds = np.stack([straight_on if draw < without else turning for draw in range(100)]) + wobble
    draws = np.stack([np.zeros_like(seconds), seconds], axis=1)
    found = crossovers_by(("full", "lora"), AT, np.stack([level, turning]), draws)
    assert [(one.from_method, one.to_method) for one in found] == [("full", "lora"), ("lora", "full"), ("full", "lora")]
    assert [one.determined for one in found] == determined
    assert [one.share for one in found] == pytest.approx([1, 1 - without / 100, 1 - without / 100])


def test_kinds_that_no_budget_tells_apart_are_listed_and_others_are_not() -> None:
    rng = np.random.default_rng(0)
    level, worse = np.zeros(5), np.full(5, 0.5)
    means = np.stack([level, level + 0.01, worse, worse + 0.01])
    draws = means + rng.normal(0, 0.1, (200, 4, 1))
    (found,) = crossovers_by(("bias", "freeze", "full", "lora"), AT, means, draws)
    assert (found.from_method, found.to_method, found.budget, found.interval) == ("bias", "freeze", None, None)
    assert str(found) == "bias or freeze: undetermined at every budget (0 % of the draws cross)"
    known = means + rng.normal(0, 0.001, (200, 4, 1))
    assert crossovers_by(("bias", "freeze", "full", "lora"), AT, means, known) == ()


def test_a_kind_without_a_choice_overtakes_and_is_overtaken_nowhere() -> None:
    missing = np.array([np.inf, np.inf, 0.0, 0.0, np.inf])
    means = np.stack([straight(-0.1, 5.0), missing])  # the second is the better one where it is there
    assert changes(AT, means) == []
    assert crossovers_by(("full", "lora"), AT, means, means[None].repeat(20, axis=0)) == ()


def test_of_several_crossings_the_nearest_counts() -> None:
    budgets = np.geomspace(1, 1e5, 6)
    gaps = np.array([[-1.0, 1, -1, 1, -1, 1], [1, 1, 1, 1, 1, 1], [-1, -1, -1, -1, -1, -1], [1, 1, -1, -1, -1, -1]])
    assert overtakings(budgets, gaps, near=10**2.6) == pytest.approx([10**2.5, 0, np.inf, np.inf])
    assert overtakings(budgets, gaps, near=1e9)[0] == pytest.approx(10**4.5)
    first = np.array([10**0.5, 0, 0, 0])
    assert overtakings(budgets, gaps, near=1.0, after=first) == pytest.approx([10**2.5, 0, np.inf, np.inf])
    assert overtakings(budgets, gaps, near=1.0, after=np.inf).tolist() == [np.inf] * 4
    assert overtakings(budgets[:1], gaps[:, :1], near=1.0).tolist() == [np.inf, 0, np.inf, 0]
