"""L(D) of one model: recovery, D = 0, and what is refused."""

import numpy as np
import pytest

from embudget.errors import ConfigError, FitError, TooFewRunsError
from embudget.laws import fit_curve

DATA = [0.0, *np.geomspace(200, 2e6, 14).tolist()]


def test_the_rectified_curve_is_recovered_with_no_data_at_all_among_its_points() -> None:
    losses = [1.2 + 900 / (5000**0.6 + d**0.6) for d in DATA]
    curve = fit_curve(DATA, losses)
    assert (curve.E, curve.B, curve.b, curve.D0) == pytest.approx((1.2, 900, 0.6, 5000), rel=1e-3)
    assert curve.log_rmsd < 1e-5
    assert curve.loss(0) == pytest.approx(losses[0], rel=1e-5)


def test_the_plain_curve_is_recovered_and_cannot_bend_as_the_rectified_does() -> None:
    plain = fit_curve(DATA[1:], [1.2 + 30 / d**0.4 for d in DATA[1:]], "chinchilla")
    assert (plain.E, plain.B, plain.b) == pytest.approx((1.2, 30, 0.4), rel=1e-3)
    assert plain.D0 is None
    bent = [1.2 + 900 / (5000**0.6 + d**0.6) for d in DATA[1:]]
    assert fit_curve(DATA[1:], bent, "chinchilla").log_rmsd > 100 * fit_curve(DATA[1:], bent).log_rmsd


@pytest.mark.parametrize(
    ("data", "losses", "form", "message"),
    [
        ([1, 2], [3], "rectified", "must have one length, got 2 and 1"),
        ([1, 2], [3, 0], "rectified", "losses must be finite and > 0, got 0"),
        ([-1, 2], [3, 2], "rectified", "data must be finite and >= 0, got -1"),
        ([0, 2], [3, 2], "chinchilla", "> 0 in the form of Chinchilla, got 0"),
        ([1, 2], [3, 2], "cubic", "must be rectified or chinchilla, got 'cubic'"),
    ],
)
def test_bad_points_are_refused(data: list[float], losses: list[float], form: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_curve(data, losses, form)  # type: ignore[arg-type]


def test_too_few_points_and_equal_losses_are_refused() -> None:
    with pytest.raises(TooFewRunsError, match="rectified curve needs at least 5 different D above 0, got 4"):
        fit_curve([0, 1, 2, 3, 4], [5, 4, 3, 2.5, 2.2])
    with pytest.raises(FitError, match=r"all 5 losses are equal \(2.5\)"):
        fit_curve([1, 2, 3, 4, 5], [2.5] * 5)
