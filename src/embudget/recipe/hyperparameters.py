"""Hyperparameters of a choice that was not measured, from the cells that were.

batch size      at a measured budget the study's own; elsewhere a power law through its (budget, batch size), up to the
                largest measured or 1024; its one batch size where it had only one
learning rate   the rate law's, where envelopes of the method were measured; else that of the nearest cell, the best of
                those tried in it
the others      those of the same method's measured cell that is nearest in (log N, log C)

What the table of runs does not say is a default, and the recipe names it: the method's learning rate, a batch of 16
pairs, 55 tokens a pair, and those of `RunConfig` for the others.
"""

from collections.abc import Callable, Sequence
from math import ceil, log
from typing import Any, NamedTuple, get_args

from embudget.errors import MethodError
from embudget.laws import Laws
from embudget.laws.line import fit_line
from embudget.laws.rates import REACH, at_end
from embudget.methods import Method
from embudget.records import Pooling, RunConfig
from embudget.runs.cells import Cell, RunTable
from embudget.suite import ModelShape

MAX_BATCH_SIZE = 1024
"""Pairs a step up to which a rising rule is followed beyond what was measured: twice the 512 candidates of the held-out
loss; assumption: more of them in the batch teach little more."""
DEFAULT_BATCH_SIZE = 16
"""Pairs a step where the table does not say; that of the quickstart's study."""
DEFAULT_TOKENS_PER_PAIR = 55.0
"""Where the table does not say: those of the demo pairs, cut at 75 tokens a text."""
_OF_CELL = ("warmup", "weight_decay", "max_epochs")
_OF_TABLE = ("scale", "max_length", "eval_pairs", "eval_candidates")


def batch_size_for(budget: float, cells: Sequence[Cell]) -> int:
    """Pairs a step; off the measured budgets a multiple of 8 from 8 upwards."""
    return batch_rule(cells)(budget)


def batch_rule(cells: Sequence[Cell]) -> Callable[[float], int]:
    """The same for any budget."""
    known = [(cell.budget, max(2, round(cell.batch_size))) for cell in cells if cell.batch_size is not None]
    if not known:
        return lambda budget: DEFAULT_BATCH_SIZE
    budgets, sizes = [at for at, _ in known], [size for _, size in known]
    tried: dict[float, set[int]] = {}
    for at, size in known:
        tried.setdefault(at, set()).add(size)
    measured = {at: here.pop() for at, here in tried.items() if len(here) == 1}
    mean, line = round(sum(sizes) / len(sizes)), fit_line(budgets, sizes) if len(tried) > 1 else None

    def rule(budget: float) -> int:
        if budget in measured:
            return measured[budget]
        if line is None or len(set(sizes)) == 1:
            return mean
        size = min(line(budget), max(MAX_BATCH_SIZE, *sizes))
        return 8 * round(size / 8) if size >= 8 else max(2, round(size))

    return rule


def nearest_cell(method: str, model_params: float, budget: float, cells: Sequence[Cell]) -> Cell:
    """The nearest measured cell of the method; the smaller model where two are as near.

    Raises:
        MethodError: the method was not measured.
    """

    def distance(cell: Cell) -> tuple[float, float]:
        square = log(cell.model_params / model_params) ** 2 + log(cell.budget / budget) ** 2
        return round(square, 9), cell.model_params

    mine = [cell for cell in cells if cell.method == method]
    if not mine:
        raise MethodError(f"{method} was not measured, so that its learning rate is not known")
    return min(mine, key=distance)


def max_epochs_of(cell: Cell) -> int:
    """Passes over the pairs that a run like this cell's may make."""
    return ceil(_default("max_epochs") if cell.max_epochs is None else cell.max_epochs)


class LearningRate(NamedTuple):
    """A peak rate."""

    rate: float
    source: str
    """Where it comes from, in words."""
    known: bool
    """Whether it was measured; False: a default."""


def learning_rate_for(laws: Laws, cell: Cell, method: Method, shape: ModelShape, tokens: float) -> LearningRate:
    """By the rate law, or of the nearest cell, or the method's default."""
    law, name = laws.rate_law, str(method)
    if law is not None and name in law.methods:
        at = (name, shape.model_params, tokens)
        cut = "" if law.within_reach(*at) else f", kept within a factor {REACH:g} of the best rates measured"
        return LearningRate(law.predict(*at), f"by {law}{cut}", known=True)
    if cell.learning_rate is None:
        return LearningRate(method.default_learning_rate(shape), f"the default of {name}", known=False)
    end = at_end(cell)
    where = f"{cell.model} at {cell.budget:.3g} FLOP" + (f", where it is {end}" if end else "")
    return LearningRate(cell.learning_rate, f"of the nearest measured cell, {where}", known=True)


def hyperparameters(cell: Cell, table: RunTable) -> dict[str, Any]:
    """What a recipe takes over from the nearest cell and from the table, by the recipe's field."""
    taken = {
        **_schedule(cell),
        "pooling": cell.pooling if cell.pooling in get_args(Pooling) else None,
        "max_epochs": max_epochs_of(cell),
        **{name: getattr(cell, name) for name in ("warmup", "weight_decay")},
        **{name: getattr(table, name) for name in _OF_TABLE},
    }
    return {name: _default(name) if value is None else value for name, value in taken.items()}


def _schedule(cell: Cell) -> dict[str, Any]:
    """Cosine, unless the cell was trained by wsd; a table's other words for a schedule are not ours."""
    if cell.schedule != "wsd":
        return {}
    known = cell.decay is not None and 0 < cell.decay < 1
    return {"schedule": cell.schedule, "decay": cell.decay if known else None}


def assumed(cell: Cell, table: RunTable, cells: Sequence[Cell], *, rate_known: bool) -> tuple[str, ...]:
    """What the table does not say and the recipe assumes, in words."""
    names = [] if rate_known else ["learning_rate"]
    names += [name for name in _OF_CELL if getattr(cell, name) is None]
    names += [name for name in _OF_TABLE if getattr(table, name) is None]
    if all(cell.batch_size is None for cell in cells):
        names.insert(0, "batch_size")
    said = [f"the table of runs does not say {', '.join(names)}: defaults are taken"] if names else []
    if table.tokens_per_pair is None:
        said.append(
            f"the table of runs does not say how many tokens a pair has: {DEFAULT_TOKENS_PER_PAIR:g} are assumed, on "
            "which pairs and steps depend"
        )
    return tuple(said)


def max_length_of(table: RunTable) -> int:
    """Tokens of the longest text."""
    return int(_default("max_length") if table.max_length is None else table.max_length)


def tokens_per_pair_of(table: RunTable) -> float:
    """Mean non-pad tokens of a query and its positive."""
    return DEFAULT_TOKENS_PER_PAIR if table.tokens_per_pair is None else table.tokens_per_pair


def _default(name: str) -> Any:  # noqa: ANN401 - by the field
    return RunConfig.model_fields[name].default
