"""Which coefficients does a method have? A column of its own, or a mixture where methods differ by a number.

Methods of one kind that differ by a number x (LoRA by its rank, freezing by its active fraction) share coefficients.
With x running from 0 at the smallest to 1 at the largest measured log number, a coefficient is

    A(x) = sum_j c_j B_j(x),     B_j the Bernstein polynomials of degree min(2, values - 1), c_j >= 0

which is smooth in the log number, positive because the c_j are, and linear in them. Two values give a straight line,
three or more a parabola, which can have its best in between; a kind with one value has one coefficient. The rows of the
basis are the weights of the c_j, one row a method.
"""

from collections.abc import Sequence
from math import comb, log

import numpy as np

from embudget.laws.forms import Array
from embudget.methods import parse_method

MAX_DEGREE = 2
"""Degree of the polynomial in the log number of a method."""


def basis_of(methods: Sequence[str]) -> dict[str, Array]:
    """Method -> the weights (p,) of its coefficients; all have the same p, with 0 in the columns of other families."""
    rows: dict[str, list[float]] = {method: [] for method in methods}
    for family in sorted({_family(method) for method in methods}):
        numbers = {method: _number(method) for method in methods if _family(method) == family}
        low, high = min(numbers.values()), max(numbers.values())
        degree = min(MAX_DEGREE, len(set(numbers.values())) - 1)
        for method, row in rows.items():
            x = (numbers[method] - low) / (high - low) if method in numbers and high > low else 0.0
            row += _bernstein(degree, x) if method in numbers else [0.0] * (degree + 1)
    return {method: np.array(row) for method, row in rows.items()}


def basis_columns(methods: Sequence[str]) -> list[tuple[str, float, float, int]]:
    """What each column of `basis_of` means: the family, its smallest and largest log number, and the polynomial's j.

    Two bases, as those of two lineages, have a column in common where all of this is equal.
    """
    columns: list[tuple[str, float, float, int]] = []
    for family in sorted({_family(method) for method in methods}):
        numbers = [_number(method) for method in methods if _family(method) == family]
        degree = min(MAX_DEGREE, len(set(numbers)) - 1)
        columns += [(family, min(numbers), max(numbers), j) for j in range(degree + 1)]
    return columns


def _family(method: str) -> str:
    """Kind and options, which methods that differ by their number alone have in common."""
    kind, *values = method.split(":")
    return ":".join([kind, *values[1:]])


def _number(method: str) -> float:
    number = parse_method(method).number
    return log(number) if number else 0.0


def _bernstein(degree: int, x: float) -> list[float]:
    return [comb(degree, j) * x**j * (1 - x) ** (degree - j) for j in range(degree + 1)]
