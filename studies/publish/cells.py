"""The cells of fitted laws by kind of method: which kinds there are, the best cell of each, how a cell is called."""

import re
from collections import defaultdict

from embudget.laws import Laws
from embudget.runs import Cell

KINDS = ("full", "freeze", "bias", "lora")
"""In the paper's order."""


def kind_of(method: str) -> str:
    """The word before the colon: lora for lora:32."""
    return method.partition(":")[0]


def kinds_of(laws: Laws) -> list[str]:
    """The kinds of method that were measured, in the paper's order."""
    measured = {kind_of(cell.method) for cell in laws.cells}
    return [kind for kind in KINDS if kind in measured]


def best_by_size(laws: Laws, kind: str) -> dict[float, dict[int, Cell]]:
    """Budget -> size -> the best cell of a kind, over its fractions or ranks."""
    found: dict[float, dict[int, Cell]] = defaultdict(dict)
    for cell in laws.cells:
        if kind_of(cell.method) != kind:
            continue
        size = int(cell.model_params)
        if size not in found[cell.budget] or cell.loss < found[cell.budget][size].loss:
            found[cell.budget][size] = cell
    return dict(sorted(found.items()))


def best_by_budget(laws: Laws, kind: str) -> dict[float, Cell]:
    """Budget -> the best cell of a kind, over its sizes and its fractions or ranks."""
    return {
        budget: min(cells.values(), key=lambda cell: cell.loss) for budget, cells in best_by_size(laws, kind).items()
    }


def member_text(model: str) -> str:
    """How a member is called in tables: a cut model by its depth, `8 blocks`, any other by its name."""
    depth = model.rpartition(":")[2]
    return model if not depth.isdigit() else f"{depth} block" if depth == "1" else f"{depth} blocks"


def flops(number: float) -> str:
    """A number of FLOP in three digits, as 1.6e13."""
    return re.sub(r"e\+?0*", "e", f"{number:.3g}")
