"""How to train a choice that was not measured: hyperparameters from the cells that were.

batch size      By the rule of `embudget.recipe.batch_size`.
learning rate   By the rate law where envelopes of the method were measured. Else the best rate of the nearest cell.
                The rate law knows the best rate up to a standard error, and what a wrong one costs, which is added to
                the loss and its interval.
the others      Those of the same method's measured cell that is nearest in (log N, log C).

Where the table of runs does not say, the recipe takes a default and names it: the method's learning rate, a batch of 16
pairs, 55 tokens a pair, and the defaults of `RunConfig` for the others.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from math import ceil, exp, floor, log
from typing import Any, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from embudget.choices import Candidate
from embudget.errors import MethodError
from embudget.laws import Laws
from embudget.laws.rates import at_end
from embudget.methods import Method
from embudget.recipe.batch_size import DEFAULT_BATCH_SIZE, batch_rule
from embudget.records import RunConfig, Yardstick
from embudget.records.config import POOLINGS, Attention
from embudget.runs.cells import Cell, RunTable
from embudget.runs.columns import BEST_SCALE
from embudget.runs.tried import OF_TOKENS, describe_tried
from embudget.suite import ModelShape

Array = NDArray[np.float64]

LEAST_STEPS = 10
"""Optimiser steps of the shortest run that teaches anything: a study's default of ``min_steps``."""
DEFAULT_TOKENS_PER_PAIR = 55.0
"""Tokens a pair where the table does not say: the mean of the demo pairs, cut at 75 tokens a text."""


def nearest_cell(method: Method, model_params: float, budget: float, cells: Sequence[Cell]) -> Cell:
    """The measured cell of the method that is nearest in (log N, log C); of two as near, that of the smaller model.

    Raises:
        MethodError: the method was not measured.
    """

    def distance(cell: Cell) -> tuple[float, float]:
        square = log(cell.model_params / model_params) ** 2 + log(cell.budget / budget) ** 2
        return round(square, 9), cell.model_params

    name = str(method)
    mine = [cell for cell in cells if cell.method == name]
    if not mine:
        raise MethodError(f"{method} was not measured, so that its learning rate is not known")
    return min(mine, key=distance)


class Practice(NamedTuple):
    """How the measured runs were trained, as far as the choices at a budget depend on it."""

    cells: Sequence[Cell]
    batch_size: Callable[[float], int]
    """Pairs a step at a training budget in FLOP."""
    tokens_per_pair: float
    max_length: int
    """Tokens of the longest text of any measured run."""
    negatives: int
    """The most hard negatives of a pair in any fitted cell."""
    fewest_steps: int
    """The fewest optimiser steps of a fitted cell, as recorded or as reckoned from its budget."""
    smallest_budget: float
    """The smallest budget of the measured runs, FLOP."""
    varied: bool
    """Whether measured runs differ in length or hard negatives, so that the tokens of a pair depend on the choice."""

    @classmethod
    def of(cls, laws: Laws) -> Self:
        """Read it off the cells of the laws."""
        tokens_per_pair = tokens_per_pair_of(laws.table)
        lengths = [length for length in (laws.table.max_length, *(cell.max_length for cell in laws.cells)) if length]
        return cls(
            laws.cells,
            cache(batch_rule(laws.cells)),
            tokens_per_pair,
            max(lengths, default=_default("max_length")),
            max(map(negatives_per_pair, laws.cells)),
            min(_steps_of(cell, tokens_per_pair) for cell in laws.cells),
            laws.table.budgets[0],
            len(set(lengths)) > 1
            or any(len({getattr(one, name) for one in cell.tried}) > 1 for cell in laws.cells for name in OF_TOKENS),
        )

    def tokens_a_pair(self, method: Method, model_params: float, budget: float) -> float:
        """Mean tokens of a pair with the length and the negatives of a choice, those of the nearest measured cell."""
        if self.varied:
            cell = nearest_cell(method, model_params, budget, self.cells)
            if cell.pairs_seen:
                return cell.tokens / cell.pairs_seen
        return self.tokens_per_pair

    def least_steps(self, train_flops: float) -> int:
        """Fewest optimiser steps of a choice where the user names none.

        A smaller budget than any measured one buys the same model as many fewer steps as it is smaller. With the steps
        of the measured runs as a fixed limit, no budget below theirs would have a recipe, while 16 times above has one.
        Runs of fewer than LEAST_STEPS are none that a law was fitted to anywhere.
        """
        fewer = floor(self.fewest_steps * min(1.0, train_flops / self.smallest_budget))
        return max(fewer, min(LEAST_STEPS, self.fewest_steps))

    def epochs(self, method: Method, model_params: float, budget: float) -> int:
        """Passes over the pairs that the nearest measured run may have made."""
        return max_epochs_of(nearest_cell(method, model_params, budget, self.cells))


def _steps_of(cell: Cell, tokens_per_pair: float) -> int:
    """Optimiser steps that the cell's budget buys, counted as for an option, or the recorded ones if fewer."""
    pairs = cell.budget / (cell.flops_per_token * tokens_per_pair)
    reckoned = max(1, ceil(pairs / (cell.batch_size or DEFAULT_BATCH_SIZE) - 1e-6))
    return min(reckoned, ceil(cell.steps)) if cell.steps else reckoned


def max_epochs_of(cell: Cell) -> int:
    """Passes over the pairs that a run like this cell's may make."""
    return ceil(_default("max_epochs") if cell.max_epochs is None else cell.max_epochs)


def negatives_per_pair(cell: Cell) -> int:
    """Hard negatives of each pair in a run like this cell's; 0 where the table does not say."""
    return round(cell.negatives or 0)


class LearningRate(NamedTuple):
    """A peak rate."""

    rate: float
    source: str
    """Where it comes from, in words."""
    known: bool
    """Whether it was measured; False: a default."""


def learning_rate_for(laws: Laws, cell: Cell, method: Method, shape: ModelShape, tokens: float) -> LearningRate:
    """By the rate law if it knows the method, else that of the nearest cell, else the method's default."""
    law, name = laws.rate_law, str(method)
    if law is not None and name in law.methods:
        at = name, shape.model_params, tokens, shape.name
        off = exp(min(float(law.error(*at)), 99.0))
        return LearningRate(law.predict(*at), f"by {law}; standard error a factor {off:.2g}", known=True)
    if cell.learning_rate is None:
        return LearningRate(method.default_learning_rate(shape), f"the default of {name}", known=False)
    end = at_end(cell)
    where = f"{cell.model} at {cell.budget:.3g} FLOP" + (f", where it is {end}" if end else "")
    return LearningRate(cell.learning_rate, f"of the nearest measured cell, {where}", known=True)


def rate_excess(laws: Laws, candidate: Candidate, tokens: ArrayLike) -> Array:
    """What the uncertainty of the best rate adds to the log loss of a candidate on D tokens, on average; NaN as D is.

    It is 0 for a method that the rate law does not know: its loss is that of the rates it was measured with.
    """
    law, name = laws.rate_law, str(candidate.method)
    if law is None or name not in law.methods:
        return np.zeros(np.shape(tokens))
    return law.excess(name, candidate.model_params, tokens, candidate.model)


def with_excess(low: Array, high: Array, excess: Array, level: float) -> tuple[Array, Array]:
    """Intervals of a loss at its best rate (m,), (m,) as those of the loss at an uncertain one.

    Where the error of the log rate is normal, the excess of the log loss is its mean times a chi-squared variable of
    one degree of freedom, with sqrt(2) times the mean as standard deviation.
    """
    middle = (np.log(low) + np.log(high)) / 2 + excess
    half = np.hypot((np.log(high) - np.log(low)) / 2, norm.ppf((1 + level) / 2) * np.sqrt(2) * excess)
    return np.exp(middle - half), np.exp(middle + half)


class Hyperparameters(NamedTuple):
    """How to train a choice."""

    values: dict[str, Any]
    """By the recipe's field; the batch size is not among them."""
    unsaid: list[str]
    """The fields that the table of runs does not say, so that they are defaults."""
    epochs_measured: int
    """Passes over the pairs that the nearest measured run may have made, at least 1."""


def hyperparameters(laws: Laws, candidate: Candidate, train_flops: float, tokens: float) -> Hyperparameters:
    """Take over what the nearest cell and the table say, with the learning rate for this size and these tokens.

    Raises:
        MethodError: the method was not measured.
    """
    assert candidate.shape is not None, "a recipe is for a model that can be trained"
    cell = nearest_cell(candidate.method, candidate.model_params, train_flops, laws.cells)
    values, unsaid = taken_over(laws, cell)
    rate = learning_rate_for(laws, cell, candidate.method, candidate.shape, tokens)
    values |= {"learning_rate": rate.rate, "rate_source": rate.source}
    batch = ["batch_size"] if all(one.batch_size is None for one in laws.cells) else []
    unsaid = [*batch, *([] if rate.known else ["learning_rate"]), *unsaid]
    return Hyperparameters(values, unsaid, ceil(cell.max_epochs or 1))


def taken_over(laws: Laws, cell: Cell) -> tuple[dict[str, Any], list[str]]:
    """What a recipe takes over from a cell by the recipe's field, and the fields among it that are defaults."""
    table = laws.table
    said = {name: getattr(cell, name) for name in ("warmup", "weight_decay", "max_epochs")}
    said |= {name: getattr(table, name) for name in ("scale", "max_length", "eval_pairs", "eval_candidates")}
    said["max_length"] = cell.max_length or table.max_length
    said["scale"] = cell.scale or table.scale
    unsaid = [name for name, value in said.items() if value is None]
    pooling = cell.pooling if cell.pooling in POOLINGS else None
    said |= _schedule(cell) | {"pooling": pooling, "max_epochs": max_epochs_of(cell)}
    values = {name: _default(name) if value is None else value for name, value in said.items()}
    values["yardstick"] = table.yardstick if table.yardstick in get_args(Yardstick) else None
    values |= {"negatives": negatives_per_pair(cell)}
    values |= _of_the_start(cell) | {"eval_scale": "best" if table.eval_scale == BEST_SCALE else "own"}
    if tried := describe_tried(cell.tried):
        values["texts_source"] = f"as in the nearest measured cell, {cell.model} at {cell.budget:.3g} FLOP; {tried}"
    return values, unsaid


def _of_the_start(cell: Cell) -> dict[str, Any]:
    """How the cell's runs read and pooled texts beyond what every model has; what our words do not say is left out."""
    sizes = cell.matryoshka or ""
    return {
        "query_prompt": cell.query_prompt,
        "document_prompt": cell.document_prompt,
        "attention": cell.attention if cell.attention in get_args(Attention) else None,
        "matryoshka": tuple(map(int, sizes.split(","))) if re.fullmatch(r"\d{1,7}(,\d{1,7})*", sizes) else (),
    }


def _schedule(cell: Cell) -> dict[str, Any]:
    """Cosine, unless the cell was trained by wsd; a table's other words for a schedule are not ours."""
    if cell.schedule != "wsd":
        return {}
    known = cell.decay is not None and 0 < cell.decay < 1
    return {"schedule": cell.schedule, "decay": cell.decay if known else None}


def tokens_per_pair_of(table: RunTable) -> float:
    """Mean non-pad tokens of a query and its positive."""
    return DEFAULT_TOKENS_PER_PAIR if table.tokens_per_pair is None else table.tokens_per_pair


def _default(name: str) -> Any:  # noqa: ANN401 - by the field
    return RunConfig.model_fields[name].default
