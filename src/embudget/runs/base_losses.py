"""What was the loss of each model before any training? As its runs say, those that do not say it by those that do.

Laws of retrievers begin at this loss (`embudget.laws.zero_shot`), and need it of every cell. All runs of a table have
one yardstick, so that a model has one such loss.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from embudget.runs.columns import Remark
from embudget.runs.lineages import is_of_retrievers

if TYPE_CHECKING:
    import pandas as pd

_SAME = 0.02
"""Relative difference up to which the losses of a model's runs count as one: prompts and lengths may differ."""


def with_base_losses(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Give the runs that do not say the loss before training that of the others of their model, where those agree."""
    if not {"model", "base_loss"} <= set(runs):
        return runs
    by_model = runs.groupby("model")["base_loss"]
    agree = by_model.transform("max") <= (1 + _SAME) * by_model.transform("min")
    return runs.assign(base_loss=runs["base_loss"].fillna(by_model.transform("mean").where(agree)))


def base_loss_remarks(cells: "pd.DataFrame") -> Iterator[Remark]:
    """A line for each lineage of retrievers of which some members' loss before training is known, but not all."""
    if not {"lineage", "model", "base_loss"} <= set(cells):
        return
    for lineage, mine in cells.groupby("lineage"):
        unknown = mine.loc[mine["base_loss"].isna(), "model"].drop_duplicates().tolist()
        if not unknown or len(unknown) == mine["model"].nunique() or not is_of_retrievers(str(lineage)):
            continue
        named = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        text = (
            f"the loss before training of {named} is not known, so that no law of {lineage} begins at it: give it as "
            "base_loss, or leave these runs out"
        )
        yield Remark(about="base_loss", text=text)
