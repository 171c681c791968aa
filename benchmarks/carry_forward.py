"""What would somebody choose who fits nothing? The best cell of the largest budget, a little larger.

The method with the lowest loss at the largest measured budget stays, and so does its learning rate. Its size grows as
N ~ C^0.25, on the nearest member of the suite. The exponent is a rule of thumb: with data growing faster than models,
as fine-tuning has it, where pre-training has 0.5 (Hoffmann et al. 2022).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.paper_procedure import cells_of
from embudget.methods import parse_method
from embudget.records import RunRecord
from embudget.suite import ModelShape

POWER = 0.25


class Carried(NamedTuple):
    """A choice, and the learning rate of the cell that it was carried from."""

    model: str
    method: str
    learning_rate: float


def choose(records: Iterable[RunRecord], budget: float, members: Sequence[ModelShape]) -> Carried:
    """Carry the best cell of the largest budget forward to a budget in FLOP."""
    every = list(records)
    largest = {method: (max(budgets), budgets[max(budgets)]) for method, budgets in cells_of(every).items()}
    last = max(at for at, _ in largest.values())
    cells = {
        (method, params): loss
        for method, (at, losses) in largest.items()
        if at == last
        for params, loss in losses.items()
    }
    method, params = min(cells, key=cells.__getitem__)
    wanted = np.log(params) + POWER * np.log(budget / last)
    able = [shape for shape in members if method != "bias" or shape.has_biases]
    nearest = min(able, key=lambda shape: abs(float(np.log(shape.model_params)) - wanted))
    return Carried(nearest.name, str(parse_method(method)), best_rate(every, method, params, last))


def best_rate(records: Iterable[RunRecord], method: str, params: int, budget: float) -> float:
    """The rate of the run with the lowest loss in a cell."""
    runs = [
        record
        for record in records
        if (record.config.method, record.model_params, record.config.train_flops) == (method, params, budget)
        and record.status == "done"
    ]
    return min(runs, key=lambda record: record.loss or np.inf).config.learning_rate
