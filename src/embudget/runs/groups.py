"""The held-out losses of the cells by group, and how far other groups would move them.

All runs of a study are measured on the same held-out pairs. Their losses would all be higher or lower on other pairs,
which says nothing of the choice between them. But a method may be good at one group of pairs, a source's or a
document's, and bad at another; then its lead over a second method depends on which groups were held out. Runs that keep
their loss by group show how much. With groups g of n_g pairs, and L_ig the mean loss of cell i on group g, other groups
are drawn by the Bayesian bootstrap (Rubin 1981): random weights u_g of mean 1 and, since G groups were used for the
mean, variance G / (G - 1). They move the log loss of cell i by

    m_i = log(sum_g u_g n_g L_ig / sum_g u_g n_g) - log(sum_g n_g L_ig / sum_g n_g)

and what all cells have in common, the mean of m_i over the cells, is left out. The weights are the same for all cells,
so that the difference between two cells is paired by group. `embudget.laws.surface` takes it to the laws.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from embudget.frozen import Frozen
from embudget.runs.columns import BY_GROUP, Remark

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

FEWEST = 2
"""Groups without which nothing can be said of others."""
DIGITS = 4
"""Decimals that are kept of a group's mean loss in nats: rounding moves the mean over 100 groups by 3e-6."""


class GroupLosses(Frozen):
    """Mean loss of every cell on every held-out group, in the order of the cells of a table.

    Example:
        >>> table = RunTable.of(store.records())
        >>> moves = table.groups.moves(1000, np.random.default_rng(0))  # None where the records have no groups
        >>> error = (moves[:, 0] - moves[:, 1]).std()  # standard error of the difference between two log losses
    """

    pairs: tuple[PositiveInt, ...] = Field(min_length=FEWEST, description="held-out pairs of each group")
    losses: tuple[tuple[NonNegativeFloat, ...], ...] = Field(
        min_length=1, description="of each cell: mean loss of each group, nats, over the seeds of its best setting"
    )

    @model_validator(mode="after")
    def _even(self) -> Self:
        for losses in self.losses:
            if len(losses) != len(self.pairs):
                raise ValueError(f"losses must have one of each group, {len(self.pairs)}, got {len(losses)}")
            if not any(losses):
                raise ValueError("losses must not all be 0")
        return self

    def of_cells(self, rows: Sequence[int]) -> "GroupLosses":
        """The losses of some of the cells, by their places."""
        return GroupLosses(pairs=self.pairs, losses=tuple(self.losses[row] for row in rows))

    def moves(self, draws: int, rng: np.random.Generator) -> Array:
        """By how much other groups move each log loss against the others' (draws, cells)."""
        pairs, losses = np.array(self.pairs, dtype=float), np.array(self.losses)
        shape = 1 - 1 / len(pairs)  # gamma weights have mean 1 and variance G / (G - 1)
        weights = pairs * rng.gamma(shape, 1 / shape, (draws, len(pairs)))
        logs = np.log(weights @ losses.T / weights.sum(axis=1, keepdims=True)) - np.log(losses @ pairs / pairs.sum())
        moves: Array = logs - logs.mean(axis=1, keepdims=True)
        return moves

    @property
    def paired_error(self) -> float:
        """Standard error of the difference between two cells' log losses by groups, root mean square over the cells."""
        pairs, losses = np.array(self.pairs, dtype=float), np.array(self.losses)
        means = losses @ pairs / pairs.sum()
        relative = losses / means[:, None] - 1
        squares = ((relative - relative.mean(axis=0)) * pairs / pairs.sum()) ** 2
        count = len(losses)
        of_one = squares.sum(axis=1).mean() * len(pairs) / (len(pairs) - 1)
        return float(np.sqrt(2 * of_one * count / max(count - 1, 1)))


class LossesByGroup(NamedTuple):
    """What a run measured on the held-out groups, by their sorted names; empty where it does not say."""

    names: tuple[str, ...]
    pairs: NDArray[np.int64]
    losses: Array


def losses_by_group(
    groups: Mapping[str, Sequence[Any]], known: dict[tuple[str, ...], tuple[str, ...]]
) -> LossesByGroup:
    """Put the losses by group of one run in an array.

    Args:
        groups: name -> pairs, mean loss in nats and more.
        known: the names of earlier runs, which share one tuple where they are the same.
    """
    names = tuple(sorted(groups))
    pairs, losses = np.array([groups[name][0] for name in names]), np.array([groups[name][1] for name in names])
    return LossesByGroup(known.setdefault(names, names), pairs.astype(np.int64), losses.astype(np.float64))


def common_groups(runs: "pd.DataFrame") -> tuple["pd.DataFrame", tuple[int, ...] | None, list[Remark]]:
    """Put the losses by group of each run in an array (G,) in the column BY_GROUP, and give the groups' pairs.

    Where runs were not all measured on the same groups the column is left out: no difference could be paired.
    """
    if BY_GROUP not in runs:
        return runs, None, []
    first = runs[BY_GROUP].iloc[0]
    same = runs[BY_GROUP].map(lambda one: one.names == first.names and np.array_equal(one.pairs, first.pairs))
    if len(first.names) < FEWEST or not same.all():
        return runs.drop(columns=BY_GROUP), None, _remarks(runs)
    losses = runs[BY_GROUP].map(lambda one: one.losses)
    return runs.assign(**{BY_GROUP: losses}), tuple(first.pairs.tolist()), []


def _remarks(runs: "pd.DataFrame") -> list[Remark]:
    kept = int(runs[BY_GROUP].map(lambda one: len(one.names) > 0).sum())
    text = (
        f"the runs were not all measured on the same held-out groups ({kept} of {len(runs)} say what they are): "
        "differences between choices do not carry the error of the held-out pairs"
    )
    return [Remark(about="loss", text=text)]
