"""Are hard negatives, longer texts or another scale worth it: what a cell's other values of them came to.

A cell has the loss of its best setting. Where its settings differ in the number of hard negatives, in the length at
which texts are cut, in the scale of the loss or in the weight decay, the best of each value says what it is worth. The
first two spend the same budget on other tokens. A model that reads more of each text is compared on the same held-out
pairs by what it makes of them.

Where runs keep their loss by held-out group, the difference to the best has a standard error, paired by group: that of
`embudget.records.standard_error`, over the differences of the groups.
"""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from embudget.frozen import Frozen
from embudget.limits import Length
from embudget.records import standard_error
from embudget.runs.columns import BY_GROUP

if TYPE_CHECKING:
    import pandas as pd

OF_TOKENS = ("negatives", "max_length")
"""What decides which tokens a budget buys."""
AXES = (*OF_TOKENS, "scale", "weight_decay")
"""What may differ between the settings of a cell and is worth a comparison."""


class Tried(Frozen):
    """The best setting of a cell with one number of negatives, one length, one scale and one weight decay."""

    negatives: NonNegativeFloat | None = Field(default=None, description="of each pair; None where the table has none")
    max_length: Length | None = Field(default=None, description="tokens at which texts are cut")
    scale: PositiveFloat | None = Field(default=None, description="1 / temperature of the training loss")
    weight_decay: NonNegativeFloat | None = Field(default=None, description="of AdamW")
    loss: PositiveFloat = Field(description="held-out, nats")
    seeds: PositiveInt = Field(description="runs that it is the mean of")
    worse: float = Field(description="nats above the cell's best; 0 for the best itself")
    error: NonNegativeFloat | None = Field(
        default=None, description="standard error of `worse` by held-out groups; None for the best or without groups"
    )


def with_tried(cells: "pd.DataFrame", settings: "pd.DataFrame", group_pairs: Sequence[int] | None) -> "pd.DataFrame":
    """Add what each cell tried, in the column `tried`: lists of the fields of `Tried`, empty where there is one value.

    Args:
        cells: the best settings.
        settings: all settings, tuned.
        group_pairs: held-out pairs of each group, where the settings have losses by group.
    """
    import pandas as pd

    axes = [name for name in AXES if name in settings]
    several = [name for name in axes if settings[name].nunique() > 1]
    if not several:
        return cells
    rows = settings.loc[settings.groupby(["cell", *axes], dropna=False)["log_loss"].idxmin()]
    found: pd.Series[Any] = pd.Series([[]] * len(cells), index=cells.index, dtype=object)
    for place, cell in zip(cells.index, cells["cell"].tolist(), strict=True):
        mine = rows[rows["cell"] == cell]
        if len(mine) > 1:
            found[place] = _compared(mine.to_dict("records"), axes, group_pairs)
    return cells.assign(tried=found)


def _compared(rows: "list[dict[Hashable, Any]]", axes: list[str], pairs: Sequence[int] | None) -> list[dict[str, Any]]:
    """The fields of `Tried` of settings that differ in the axes."""
    best = min(rows, key=lambda row: float(row["log_loss"]))
    lowest = float(np.exp(best["log_loss"]))
    found: list[dict[str, Any]] = []
    for row in rows:
        loss = float(np.exp(row["log_loss"]))
        one = {name: row[name] for name in axes if row[name] == row[name]}
        one |= {"loss": loss, "seeds": int(row["seeds"]), "worse": loss - lowest}
        if pairs is not None and row is not best:
            one["error"] = standard_error(pairs, (row[BY_GROUP] - best[BY_GROUP]).tolist())
        found.append(one)
    return found


def describe_tried(tried: Sequence[Tried]) -> str:
    """The values that were tried and what each came to, in words; empty where there was one."""
    names = [name for name in AXES if len({getattr(one, name) for one in tried}) > 1]
    if not names:
        return ""
    said = []
    for one in tried:
        value = " at ".join(f"{getattr(one, name):g}" for name in names if getattr(one, name) is not None)
        error = "" if one.error is None else f" with standard error {one.error:.3f}"
        said.append(f"{value or 'unknown'}: {one.loss:.3f}" + (f" (+{one.worse:.3f}{error})" if one.worse else ""))
    what = {
        "negatives": "hard negatives", "max_length": "tokens of a text", "scale": "scale",
        "weight_decay": "weight decay",
    }  # fmt: skip
    return f"nats by {' and '.join(what[name] for name in names)}: {', '.join(said)}"
