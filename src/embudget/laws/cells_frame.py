"""The measured cells beside what the laws predict for them, as a table: `Laws.cells_frame`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from embudget.laws.on_pairs import OnPairs
from embudget.laws.surface import Surface
from embudget.methods import parse_method
from embudget.runs.cells import Cell, RunTable

if TYPE_CHECKING:
    import pandas as pd


def cells_frame(lineages: Sequence[tuple[RunTable, Surface | OnPairs, Sequence[str]]], level: float) -> "pd.DataFrame":
    """The cells of all methods, lineage by lineage; those without a law have no prediction.

    Args:
        lineages: of each the cells, what predicts their losses, and the methods that have a law.
        level: probability of the intervals.
    """
    import pandas as pd

    return pd.concat([_of_lineage(*one, level) for one in lineages], ignore_index=True)


def _of_lineage(table: RunTable, law: Surface | OnPairs, have_law: Sequence[str], level: float) -> "pd.DataFrame":
    import pandas as pd

    cells = pd.DataFrame([cell.model_dump() for cell in table.cells])
    for name in Cell.model_fields:
        if cells[name].isna().all():
            cells[name] = np.nan  # floats, where pandas has made a column of None
    methods = [parse_method(method) for method in cells["method"]]
    cells = cells.assign(
        kind=[method.name for method in methods],
        number=pd.Series([method.number for method in methods], dtype=float),
    )
    known = cells[cells["method"].isin(have_law)]
    at = known["method"].tolist(), known["model_params"].to_numpy(), known["tokens"].to_numpy()
    cells.loc[known.index, "predicted_loss"] = np.exp(law.log_draws(*at).mean(axis=0))
    cells.loc[known.index, "low"], cells.loc[known.index, "high"] = law.intervals(*at, level)
    return cells
