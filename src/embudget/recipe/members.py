"""The models that a recipe may choose from."""

from functools import lru_cache
from typing import NamedTuple

from embudget.errors import ConfigError, MethodError
from embudget.laws import Laws
from embudget.methods import Method, parse_method
from embudget.suite import SUITES, ModelShape, find_shape, find_suite, known_shape
from embudget.suite.members import is_hub_id, split_depth


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
        ConfigError: the suite is not given, and a measured model is no known member.
    """
    if suite is not None:
        return find_suite(suite)
    measured = set(laws.table.models)
    if unknown := unknown_models(laws):
        raise ConfigError(
            f"suite must be given where the laws were measured on models that are no known members: {unknown[0]}"
            + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
            + f" (one of {', '.join(SUITES)}, or a folder of models)"
        )
    names = measured.union(*(members for members in SUITES.values() if measured <= set(members)))
    return tuple(sorted((find_shape(name) for name in names), key=lambda shape: shape.model_params))


def unknown_models(laws: Laws) -> list[str]:
    """The measured models that are no known members, so that a recipe needs a suite."""
    return [name for name in laws.table.models if not _may_be_found(name)]


def base_of(name: str) -> str:
    """A model's name without a depth; a foreign name that only looks as if it had one is kept."""
    return split_depth(name)[0] if _may_be_found(name) else name


def _may_be_found(name: str) -> bool:
    """Whether a model of a table can be looked up: one that is here, or on the hub by its id."""
    return known_shape(name) is not None or is_hub_id(name)


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
