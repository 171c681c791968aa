"""How much are repeated tokens worth? The law of Muennighoff et al. 2023 (arXiv 2305.16264, equation 5).

    D' = U + U R (1 - exp(-(D / U - 1) / R))   for D > U,   else D

U are the unique tokens of the training data, D the tokens of all passes over them, and D' the effective tokens: as many
fresh ones would teach as much. A second pass is worth nearly as much as the first, R more passes 63 % of R fresh ones,
and no number of them more than 1 + R. Laws are fitted to N and D' instead of D, and asked at D', so that only this
border knows of repetition. The paper's other half, that parameters in excess of the data count less too, is left out:
models here are pre-trained, so that the pairs of a fine-tuning are not all that their parameters have seen.

R is fitted by `embudget.laws.reuse`; `embudget.laws.on_pairs` predicts by it.
"""

from collections.abc import Sequence
from math import exp

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, NonNegativeFloat, PositiveFloat

from embudget.frozen import Frozen
from embudget.laws.forms import Array
from embudget.runs.cells import Cell

REUSE = 15.0
"""R before anything is measured: 15.4 in the paper, from 182 runs of language models on C4."""
SPREAD = 0.6
"""Standard deviation of log R before anything is measured, which makes 5.6 to 40 in 90 % of the cases.
assumption: parts of the paper's own runs give 6 (up to 50 passes, at least 4e8 unique tokens) to 36 (up to 16 passes),
and contrastive pairs, whose negatives change with each pass, need not be worth the same."""
BEYOND = 0.03
"""Relative error of the law itself for each factor e of passes beyond those of any measured run. Published runs of 12
to 50 passes, forecast from up to 4, miss by 4 to 7 % for each (root mean square, docs/log.md), since some overfit.
assumption: less, since those are large models on as little as 1e8 tokens; and the same for contrastive pairs."""


class Repetition(Frozen):
    """What repeated tokens are worth, with its uncertainty."""

    reuse: PositiveFloat = Field(default=REUSE, le=1e6, description="R: extra passes that are ever worth as fresh ones")
    log_sd: NonNegativeFloat = Field(default=SPREAD, le=10, description="standard deviation of log R")
    fitted: bool = Field(default=False, description="whether measured runs repeated tokens; False: assumed")
    passes: float = Field(default=1.0, ge=1, le=1e30, description="the most of any measured run")

    def effective(self, tokens: ArrayLike, unique_tokens: ArrayLike, deviation: float = 0.0) -> Array:
        """D' of tokens D with so many unique ones; D where these are more, or NaN.

        Args:
            tokens: D (m,) or one number.
            unique_tokens: U, likewise.
            deviation: of log R, in standard deviations.

        Example:
            >>> Repetition(reuse=15.0).effective([1e6, 2e6, 1e8], 1e6).round(-4).tolist()
            [1000000.0, 1970000.0, 15980000.0]
        """
        reuse = self.reuse * exp(deviation * self.log_sd)
        d, u = np.broadcast_arrays(np.asarray(tokens, dtype=float), np.asarray(unique_tokens, dtype=float))
        repeated = d > u
        passes = np.where(repeated, d / np.where(repeated, u, 1.0), 1.0)
        found: Array = np.where(repeated, u * (1 - reuse * np.expm1(-(passes - 1) / reuse)), d)
        return found

    def own_error(self, tokens: ArrayLike, unique_tokens: ArrayLike) -> Array:
        """Relative error of the law itself (m,); 0 for no more passes than were measured."""
        passes = np.asarray(tokens, dtype=float) / unique_tokens
        error: Array = BEYOND * np.log(np.maximum(passes / self.passes, 1.0))
        return error

    def of_cells(self, cells: Sequence[Cell]) -> Array:
        """D' of each cell (n,)."""
        return self.effective([cell.tokens for cell in cells], unique_tokens_of(cells))

    def __str__(self) -> str:
        """R with its 90 % interval."""
        low, high = (self.reuse * exp(sign * 1.645 * self.log_sd) for sign in (-1, 1))
        return f"R {self.reuse:.3g} [{low:.3g}, {high:.3g}]"


def unique_tokens_of(cells: Sequence[Cell]) -> Array:
    """U of each cell (n,), infinite where it is not known, so that all tokens count as new."""
    return np.array([np.inf if cell.unique_tokens is None else cell.unique_tokens for cell in cells])
