"""What a budget may be spent on: a method on a model.

Candidates come from a suite, whose shapes give the exact FLOP per token, or from the cells of a study, whose models may
be no more than a size in somebody's table; then the FLOP per token are the measured ones.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from embudget.errors import ConfigError, MethodError
from embudget.methods import Method, parse_method
from embudget.runs import Cell
from embudget.suite import SUITES, ModelShape, find_shape, find_suite, known_shape
from embudget.suite.members import may_be_fetched, split_depth

MAX_SIZES = 40
"""Most sizes of one method that are looked at. If more were measured, this many are taken evenly, with both ends."""
BETWEEN = 60
"""Sizes of each method, from the smallest measured to the largest, where its best size is sought on a fine grid."""


class Candidate(NamedTuple):
    """A method on a model; a budget of C FLOP buys it C / ``flops_per_token`` tokens."""

    model: str
    method: Method
    model_params: float
    flops_per_token: float
    shape: ModelShape | None = None
    """None where only the size is known."""
    refusal: str | None = None
    """Why the method cannot train the model; None where it can."""
    budgets: tuple[float, float] = (0.0, float("inf"))
    """Smallest and largest budget in FLOP at which the candidate is considered."""

    @property
    def kind(self) -> str:
        """full, freeze, bias or lora."""
        return self.method.name


def candidates_of(members: Iterable[ModelShape], methods: Iterable[str]) -> tuple[Candidate, ...]:
    """Every member with every method, those that the method cannot train included, with the reason."""
    members = tuple(members)
    return tuple(_of_member(shape, name) for name in methods for shape in members)


@lru_cache(maxsize=4096)
def _of_member(shape: ModelShape, name: str) -> Candidate:
    method = parse_method(name)
    try:
        method.check(shape)
        refusal = None
    except MethodError as error:
        refusal = str(error)
    cost = method.flops_per_token(shape)
    return Candidate(shape.name, method, shape.model_params, cost, shape, refusal)


def measured_candidates(cells: Iterable[Cell], step: float) -> tuple[Candidate, ...]:
    """Every measured pair of a method and a size, by method and size.

    Each is considered at the budgets at which it was measured and at most one ``step`` (a factor) beyond them. Its FLOP
    per token are the geometric mean over its cells.
    """
    groups: dict[str, dict[float, list[Cell]]] = {}
    for cell in cells:
        groups.setdefault(cell.method, {}).setdefault(cell.model_params, []).append(cell)
    beyond, found = step * (1 + 1e-9), []
    for name in sorted(groups):
        for size in evenly(groups[name], MAX_SIZES):
            group = groups[name][size]
            cost = float(np.exp(np.mean([np.log(cell.flops_per_token) for cell in group])))
            budgets = [cell.budget for cell in group]
            considered = min(budgets) / beyond, max(budgets) * beyond
            found.append(Candidate(group[0].model, parse_method(name), size, cost, budgets=considered))
    return tuple(found)


def with_sizes_between(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The same methods on a fine grid of sizes, their costs and budgets interpolated in log-log."""
    found = []
    for mine in _by_method(candidates):
        log_sizes = np.log([one.model_params for one in mine])
        grid = np.linspace(log_sizes[0], log_sizes[-1], BETWEEN)
        known = [[one.flops_per_token for one in mine], *zip(*(one.budgets for one in mine), strict=True)]
        columns = [np.exp(np.interp(grid, log_sizes, np.log(values))).tolist() for values in known]
        for size, cost, low, high in zip(np.exp(grid).tolist(), *columns, strict=True):
            found.append(Candidate(f"N={size:.4g}", mine[0].method, size, cost, budgets=(low, high)))
    return tuple(found)


def _by_method(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """The candidates of each method by rising size; methods of a kind by rising rank or fraction."""
    groups: dict[Method, list[Candidate]] = {}
    for one in candidates:
        groups.setdefault(one.method, []).append(one)
    return [sorted(groups[method], key=lambda one: one.model_params) for method in in_order(groups)]


def in_order(methods: Iterable[Method]) -> list[Method]:
    """By kind, then by rank or fraction as a number: lora:8 before lora:32."""
    return sorted(set(methods), key=lambda method: (method.name, method.number or 0.0, str(method)))


def methods_in_order(methods: Iterable[str]) -> list[str]:
    """As `in_order`, for methods as they are written."""
    return [str(method) for method in in_order(map(parse_method, methods))]


def considered(candidates: Collection[Candidate], budgets: Iterable[float]) -> list[float]:
    """Those of the budgets in FLOP at which at least one candidate is considered."""
    return [
        budget for budget in budgets if any(low <= budget <= high for low, high in (one.budgets for one in candidates))
    ]


def evenly(values: Iterable[float], most: int) -> list[float]:
    """Sorted, and where they are more than ``most``, evenly taken with both ends."""
    ordered = sorted(values)
    if len(ordered) <= most:
        return ordered
    return [ordered[place] for place in np.linspace(0, len(ordered) - 1, most).round().astype(int).tolist()]


def members_for(measured: Sequence[str], suite: str | None) -> tuple[ModelShape, ...]:
    """The members of a suite; without one the ``measured`` models and the built-in suites that hold all of them.

    Raises:
        ModelError: the suite is unknown, or a measured model is not there any more.
        ConfigError: the suite is not given, and a measured model is no known member.
    """
    if suite is not None:
        return find_suite(suite)
    if unknown := unknown_models(measured):
        raise ConfigError(
            f"suite must be given where the laws were measured on models that are no known members: {unknown[0]}"
            + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
            + f" (one of {', '.join(SUITES)}, or a folder of models)"
        )
    names = set(measured)
    names = names.union(*(members for members in SUITES.values() if names <= set(members)))
    return tuple(sorted((find_shape(name) for name in names), key=lambda shape: shape.model_params))


def unknown_models(measured: Iterable[str]) -> list[str]:
    """The measured models that are no known members, for which a recipe needs a suite to choose from."""
    return [name for name in measured if not _may_be_found(name)]


def base_of(name: str) -> str:
    """A model's name without a depth. The name of an unknown model is kept, even if it looks as if it had a depth."""
    return split_depth(name)[0] if _may_be_found(name) else name


def _may_be_found(name: str) -> bool:
    """Whether a model of a table can be looked up: it is built in, a folder here, on the hub or at a URL."""
    return known_shape(name) is not None or may_be_fetched(name)
