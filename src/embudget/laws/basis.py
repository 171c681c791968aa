"""How the coefficients of related methods hang together: LoRA over its ranks, freezing over its active fractions.

Methods of one kind, and of the same options if any, that differ by a number x share few coefficients: with x running
from 0 at the smallest to 1 at the largest measured log number, a coefficient is

    A(x) = sum_j c_j B_j(x),     B_j the Bernstein polynomials of degree min(2, values - 1), c_j >= 0

so that it is smooth in log rank (or log fraction), positive where the c_j are, and stays linear in them: two values
give a straight line, three or more a parabola, which can have its best in between. A kind with one value has one
coefficient. The rows of the basis are then the weights of the c_j for one method.
"""

from collections.abc import Sequence
from math import comb, log

import numpy as np

from embudget.laws.base import Array
from embudget.methods import parse_method

MAX_DEGREE = 2


def basis_of(methods: Sequence[str]) -> dict[str, Array]:
    """The weights (p,) of every method's coefficients; p is the same for all, the columns of other families are 0."""
    families = sorted({_family(method) for method in methods})
    numbers = {
        family: sorted({_number(method) for method in methods if _family(method) == family}) for family in families
    }
    degrees = {family: min(MAX_DEGREE, len(numbers[family]) - 1) for family in families}
    total = sum(degree + 1 for degree in degrees.values())
    starts = dict(zip(families, np.cumsum([0, *(degrees[family] + 1 for family in families)])[:-1], strict=True))
    basis = {}
    for method in methods:
        family = _family(method)
        low, high = numbers[family][0], numbers[family][-1]
        x = (_number(method) - low) / (high - low) if high > low else 0.0
        row = np.zeros(total)
        row[starts[family] : starts[family] + degrees[family] + 1] = _bernstein(degrees[family], x)
        basis[method] = row
    return basis


def _family(method: str) -> str:
    """What methods that differ by their number alone share: kind and options."""
    kind, *values = method.split(":")
    return ":".join([kind, *values[1:]])


def _number(method: str) -> float:
    number = parse_method(method).number
    return log(number) if number else 0.0


def _bernstein(degree: int, x: float) -> list[float]:
    return [comb(degree, j) * x**j * (1 - x) ** (degree - j) for j in range(degree + 1)]
