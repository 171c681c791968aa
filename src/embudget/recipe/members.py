"""The models that a recipe may choose from."""

from functools import lru_cache
from typing import NamedTuple

from embudget.errors import MethodError
from embudget.laws import Laws
from embudget.methods import Method, parse_method
from embudget.suite import SUITES, ModelShape, find_shape, find_suite


class Candidate(NamedTuple):
    """A member and a method, with what does not depend on the budget."""

    shape: ModelShape
    method: Method
    name: str
    """Of the method."""
    model_params: int
    flops_per_token: int
    refusal: str | None
    """Why the method cannot train the model; None where it can."""


def members_for(laws: Laws, suite: str | None) -> tuple[ModelShape, ...]:
    """The members of a suite; by default the measured models and the built-in suites that hold all of them.

    Raises:
        ModelError: the suite is unknown, or a measured model is not there any more.
    """
    if suite is not None:
        return find_suite(suite)
    measured = {run.model for run in laws.table.runs}
    names = measured.union(*(members for members in SUITES.values() if measured <= set(members)))
    return tuple(sorted((find_shape(name) for name in names), key=lambda shape: shape.model_params))


def candidates_of(laws: Laws, members: tuple[ModelShape, ...]) -> tuple[Candidate, ...]:
    """Every member with every method that has a law."""
    return tuple(_candidate(shape, name) for name in laws.methods for shape in members)


@lru_cache(maxsize=4096)
def _candidate(shape: ModelShape, name: str) -> Candidate:
    method = parse_method(name)
    try:
        method.check(shape)
        refusal = None
    except MethodError as error:
        refusal = str(error)
    return Candidate(shape, method, name, shape.model_params, method.flops_per_token(shape), refusal)
