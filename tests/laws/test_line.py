"""The log-log line against textbook values."""

import numpy as np
import pytest
from scipy.stats import linregress
from scipy.stats import t as student

from embudget.errors import FitError, TooFewRunsError
from embudget.laws.line import fit_line


def test_an_exact_power_law_is_recovered() -> None:
    x = [1e12, 4e12, 1.6e13]
    line = fit_line(x, [50 * value**-0.12 for value in x])
    assert line.slope == pytest.approx(-0.12)
    assert line(6.4e13) == pytest.approx(50 * 6.4e13**-0.12)


def test_the_interval_is_that_of_linear_regression() -> None:
    x, y = [1.0, 2.0, 5.0, 9.0], [3.0, 2.5, 2.4, 1.7]
    line = fit_line(x, y)
    reference = linregress(np.log(x), np.log(y))
    residuals = np.log(y) - reference.intercept - reference.slope * np.log(x)
    s = np.sqrt((residuals**2).sum() / 2)
    leverage = 1 + 1 / 4 + (np.log(20) - np.log(x).mean()) ** 2 / ((np.log(x) - np.log(x).mean()) ** 2).sum()
    half = student.ppf(0.95, 2) * s * np.sqrt(leverage)
    centre = np.exp(reference.intercept + reference.slope * np.log(20))
    assert line.interval(20, 0.9) == pytest.approx((centre * np.exp(-half), centre * np.exp(half)))


def test_two_points_give_a_line_without_interval() -> None:
    line = fit_line([1.0, 2.0], [3.0, 1.5])
    assert line(4) == pytest.approx(0.75)
    with pytest.raises(TooFewRunsError, match="at least 3 points"):
        line.interval(4)


def test_what_has_no_line_is_refused() -> None:
    with pytest.raises(TooFewRunsError, match="at least 2 different points, got 1"):
        fit_line([2.0, 2.0], [3.0, 1.5])
    with pytest.raises(FitError, match="positive values, got -1"):
        fit_line([1.0, 2.0], [3.0, -1.0])
