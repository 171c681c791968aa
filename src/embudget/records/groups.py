"""What a run measured on each held-out group, and how far its loss may be off because of them.

Pairs of one group resemble each other, so a loss over 1,000 pairs of 30 groups knows little more than 30 numbers would.
"""

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import Field, NonNegativeFloat, PositiveInt


class GroupScore(NamedTuple):
    """What a run measured on the held-out pairs of one group."""

    pairs: PositiveInt
    loss: NonNegativeFloat
    """Mean over the pairs, nats."""
    ndcg: Annotated[float, Field(ge=0, le=1)]
    """Mean nDCG@10 over the pairs' queries."""


def standard_error(sizes: Sequence[int], means: Sequence[float]) -> float:
    """Standard error of a mean over pairs, where whole groups of them were drawn.

    With n_g pairs of mean m_g in group g, n pairs and G groups in all, and the mean over all pairs m = sum n_g m_g / n,
    it is that of a ratio estimate over clusters (Cochran, Sampling Techniques, 3rd edition 1977, chapter 9A):

        error = sqrt(G / (G - 1) * sum_g (n_g (m_g - m))^2) / n

    Returns:
        The error in the unit of the means; NaN with fewer than two groups.

    Example:
        >>> standard_error([10, 10], [3.0, 4.0])
        0.5
    """
    total, groups = sum(sizes), len(sizes)
    if groups < 2:
        return math.nan
    mean = sum(size * one for size, one in zip(sizes, means, strict=True)) / total
    squares = sum((size * (one - mean)) ** 2 for size, one in zip(sizes, means, strict=True))
    return math.sqrt(groups / (groups - 1) * squares) / total
