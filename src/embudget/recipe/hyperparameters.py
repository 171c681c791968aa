"""Hyperparameters of a choice that was not measured, from the cells that were.

batch size      at a measured budget the study's own; elsewhere a power law through its (budget, batch size), up to the
                largest measured or 1024; its one batch size where it had only one
the others      those of the same method's measured cell that is nearest in (log N, log C); a cell's learning rate is
                the best of those tried in it
"""

from collections.abc import Sequence
from math import log

from embudget.errors import MethodError
from embudget.laws.line import fit_line
from embudget.laws.table import Cell, Run

FROM_NEAREST = ("learning_rate", "warmup", "weight_decay", "scale", "max_epochs")
"""What a recipe takes over from the nearest measured run."""


MAX_BATCH_SIZE = 1024
"""Pairs a step up to which a rising rule is followed beyond what was measured: twice the 512 candidates of the held-out
loss; assumption: more of them in the batch teach little more."""


def batch_size_for(budget: float, cells: Sequence[Cell]) -> int:
    """Pairs a step; off the measured budgets a multiple of 8 from 8 upwards."""
    sizes = [cell.run.batch_size for cell in cells]
    budgets = [cell.run.budget for cell in cells]
    at_budget = {cell.run.batch_size for cell in cells if cell.run.budget == budget}
    if len(at_budget) == 1:
        return at_budget.pop()
    if len(set(sizes)) == 1:
        return sizes[0]
    if len(set(budgets)) == 1:
        return round(sum(sizes) / len(sizes))
    size = min(fit_line(budgets, sizes)(budget), max(MAX_BATCH_SIZE, *sizes))
    return 8 * round(size / 8) if size >= 8 else max(2, round(size))


def nearest_run(method: str, model_params: float, budget: float, cells: Sequence[Cell]) -> Run:
    """A run of the nearest measured cell of the method; the smaller model where two are as near.

    Raises:
        MethodError: the method was not measured.
    """

    def distance(run: Run) -> tuple[float, float]:
        square = log(run.model_params / model_params) ** 2 + log(run.budget / budget) ** 2
        return round(square, 9), run.model_params

    runs = [cell.run for cell in cells if cell.run.method == method]
    if not runs:
        raise MethodError(f"{method} was not measured, so that its learning rate is not known")
    return min(runs, key=distance)
