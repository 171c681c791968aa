"""What would the paper's own procedure choose? It has isoFLOP parabolas, and straight lines through their minima.

    per method and budget    loss = c0 + c1 x + c2 x^2, x = log N: the vertex is the best size and its loss; where the
                             measured sizes have no minimum between them, the best measured size and its loss
    per method               best loss = K C^-g and best size = k C^s by least squares in the logarithms; the sizes
                             through the vertices, or through all best sizes where fewer than two budgets have a vertex
    choice                   the method whose line is lowest at the budget, on the member nearest to its size in log N

Source: the description in "Repurposing Language Models into Embedding Models" (NeurIPS 2024). The seeds of a
setting count by their mean, and a cell by the learning rate with the lowest mean.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from embudget.methods import parse_method
from embudget.records import RunRecord
from embudget.suite import ModelShape


class Optimum(NamedTuple):
    """The best size of one method at one budget, and its loss in nats."""

    budget: float
    params: float
    loss: float
    vertex: bool
    """Whether it is the minimum of a parabola; otherwise it is a measured size."""


Cells = dict[str, dict[float, dict[int, float]]]
"""Method -> budget -> N -> mean loss over the seeds at the best learning rate, nats."""


def cells_of(records: Iterable[RunRecord]) -> Cells:
    """The cells of the runs that are done."""
    losses: defaultdict[tuple[str, float, int, float], list[float]] = defaultdict(list)
    for record in records:
        if record.status == "done" and record.loss and record.model_params:
            config = record.config
            losses[config.method, config.train_flops, record.model_params, config.learning_rate].append(record.loss)
    cells: Cells = {}
    for (method, budget, params, _), values in sorted(losses.items()):
        sizes = cells.setdefault(method, {}).setdefault(budget, {})
        sizes[params] = min(float(np.mean(values)), sizes.get(params, np.inf))
    return cells


def optimum(budget: float, losses: dict[int, float]) -> Optimum:
    """The vertex of the parabola through the sizes, or the best measured size where it has none between them."""
    best = min(losses, key=losses.__getitem__)
    if len(losses) >= 3:
        x, y = np.log(list(losses)), np.array(list(losses.values()))
        c2, c1, c0 = np.polyfit(x - x.mean(), y, 2)
        if c2 > 0 and x.min() <= x.mean() - c1 / (2 * c2) <= x.max():
            params, loss = float(np.exp(x.mean() - c1 / (2 * c2))), float(c0 - c1**2 / (4 * c2))
            if loss > 0:
                return Optimum(budget, params, loss, vertex=True)
    return Optimum(budget, best, losses[best], vertex=False)


def choose(records: Iterable[RunRecord], budget: float, members: Sequence[ModelShape]) -> tuple[str, str]:
    """Choose the model and the method for a budget in FLOP."""
    lines = {}
    for method, budgets in cells_of(records).items():
        optima = [optimum(at, losses) for at, losses in budgets.items()]
        if len(optima) > 1:
            lines[method] = optima
    expected = {method: _at(budget, [(one.budget, one.loss) for one in optima]) for method, optima in lines.items()}
    method = min(expected, key=expected.__getitem__)
    vertices = [(one.budget, one.params) for one in lines[method] if one.vertex]
    sizes = vertices if len(vertices) > 1 else [(one.budget, one.params) for one in lines[method]]
    wanted = np.log(_at(budget, sizes))
    able = [shape for shape in members if method != "bias" or shape.has_biases]
    nearest = min(able, key=lambda shape: abs(float(np.log(shape.model_params)) - wanted))
    return nearest.name, str(parse_method(method))


def _at(budget: float, points: Sequence[tuple[float, float]]) -> float:
    """The value at the budget of the straight line in log-log through the points."""
    x, y = np.log(np.array(points)).T
    slope, level = np.polyfit(x - x.mean(), y, 1)
    return float(np.exp(level + slope * (np.log(budget) - x.mean())))


def expected_loss(records: Iterable[RunRecord], method: str, budget: float) -> float:
    """The loss in nats that the method's straight line predicts for a budget in FLOP."""
    optima = [optimum(at, losses) for at, losses in cells_of(records)[method].items()]
    return _at(budget, [(one.budget, one.loss) for one in optima])
