"""The loss before any training, of members that were measured and of those that were not."""

import numpy as np
import pytest
from pydantic import ValidationError

from embudget.laws.zero_shot_losses import LEAST_SLOPE, ONE_SLOPE, ZeroShotLosses

CUT = ZeroShotLosses(model_params=(3.5e6, 7.1e6, 1.06e7), losses=(5.83, 5.14, 3.07))


def test_a_measured_size_has_its_own_loss_without_any_doubt() -> None:
    mean, sd = CUT.at(np.log(CUT.model_params))
    assert np.exp(mean) == pytest.approx(CUT.losses)
    assert np.array_equal(sd, np.zeros(3))
    assert np.ptp(CUT.drawn(np.log(CUT.model_params), 50), axis=0) == pytest.approx(np.zeros(3))


def test_a_size_between_two_may_have_the_loss_of_either() -> None:
    middle = np.log([8.8e6])
    mean, sd = CUT.at(middle)
    assert np.log(3.07) < mean[0] < np.log(5.14)
    assert mean[0] - 1.645 * sd[0] < np.log(3.07)
    assert mean[0] + 1.645 * sd[0] > np.log(5.14)
    drawn = CUT.drawn(middle, 200)
    assert drawn[0] == pytest.approx(mean)
    assert drawn[1:].mean() == pytest.approx(mean[0])
    assert drawn[1:].std() == pytest.approx(sd[0], rel=0.02)
    assert np.array_equal(drawn, CUT.drawn(middle, 200)), "each call has the same draws"


def test_beyond_all_measured_sizes_doubt_grows_with_the_distance() -> None:
    far, farther = CUT.at(np.log([2.1e7, 4.2e7]))[1]
    assert farther > far > 0.2
    flat = ZeroShotLosses(model_params=(3.5e6, 7e6), losses=(5.7, 5.7))
    assert flat.at(np.log([7e6]) + 1)[1] == pytest.approx(LEAST_SLOPE)
    alone = ZeroShotLosses(model_params=(3.5e6,), losses=(5.7,))
    mean, sd = alone.at(np.log([3.5e6, 3.5e6 * np.e, 3.5e6 / np.e]))
    assert np.exp(mean) == pytest.approx(5.7)
    assert sd == pytest.approx([0, ONE_SLOPE, ONE_SLOPE])


def test_cells_of_one_size_have_their_geometric_mean() -> None:
    found = ZeroShotLosses.of(np.log([2e6, 1e6, 1e6]), np.log([3.0, 4.0, 9.0]))
    assert found.model_params == pytest.approx((1e6, 2e6))
    assert found.losses == pytest.approx((6.0, 3.0))


@pytest.mark.parametrize(
    ("sizes", "losses", "message"),
    [((1e6, 2e6), (3.0,), "one for each of 2 sizes"), ((2e6, 1e6), (3.0, 4.0), "must rise"), ((), (), "model_params")],
)
def test_what_no_law_can_begin_at_is_refused(sizes: tuple[float, ...], losses: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ZeroShotLosses(model_params=sizes, losses=losses)
