"""How the coefficients of related methods hang together: LoRA over its ranks, freezing over its active fractions.

Methods of one kind that differ by a number x share few coefficients: with x running from 0 at the smallest to 1 at the
largest measured log number, a coefficient is

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


def kind_of(method: str) -> str:
    """The method without its number and options: lora of lora:32."""
    return method.partition(":")[0]


def basis_of(methods: Sequence[str]) -> dict[str, Array]:
    """The weights (p,) of every method's coefficients; p is the same for all, the columns of other kinds are 0."""
    kinds = sorted({kind_of(method) for method in methods})
    numbers = {kind: sorted({_number(method) for method in methods if kind_of(method) == kind}) for kind in kinds}
    degrees = {kind: min(MAX_DEGREE, len(numbers[kind]) - 1) for kind in kinds}
    total = sum(degree + 1 for degree in degrees.values())
    starts = dict(zip(kinds, np.cumsum([0, *(degrees[kind] + 1 for kind in kinds)])[:-1], strict=True))
    basis = {}
    for method in methods:
        kind = kind_of(method)
        low, high = numbers[kind][0], numbers[kind][-1]
        x = (_number(method) - low) / (high - low) if high > low else 0.0
        row = np.zeros(total)
        row[starts[kind] : starts[kind] + degrees[kind] + 1] = _bernstein(degrees[kind], x)
        basis[method] = row
    return basis


def _number(method: str) -> float:
    number = parse_method(method).number
    return log(number) if number else 0.0


def _bernstein(degree: int, x: float) -> list[float]:
    return [comb(degree, j) * x**j * (1 - x) ** (degree - j) for j in range(degree + 1)]
