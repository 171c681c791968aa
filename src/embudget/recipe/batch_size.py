"""The batch size of a recipe, by the batch sizes of the measured cells.

At a measured budget it is the study's own. Elsewhere it follows a power law through the study's (budget, batch size),
up to the largest measured one or 1024; a study with one batch size keeps it at every budget. What a study itself runs
with is said in `embudget.study.batch_size`.
"""

from collections.abc import Callable, Sequence

from embudget.laws.frontier import fit_line
from embudget.runs.cells import Cell

MAX_BATCH_SIZE = 1024
"""Pairs a step up to which a rising batch size is extrapolated: twice the 512 candidates of the held-out loss.
assumption: more candidates than that in a batch teach little more."""
DEFAULT_BATCH_SIZE = 16
"""Pairs a step where the table does not say: the batch size of the quickstart's study."""


def batch_rule(cells: Sequence[Cell]) -> Callable[[float], int]:
    """Pairs a step as a function of the budget in FLOP; between the measured ones a multiple of 8 from 8 upwards."""
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
