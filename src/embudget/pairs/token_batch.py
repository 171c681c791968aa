"""A batch of training texts with hard negatives: which texts it holds, and which of the negatives are none.

A run that takes k hard negatives (`RunConfig.negatives`) reads the first k of each training pair, or as many as it has.
In the loss every negative of a batch is one more wrong answer to every query of the batch, as sentence-transformers has
it. Two kinds are left out of a query's denominator, by the rule of `embudget.pairs.relevance`: a text that is the
query's positive, because a right answer is never a wrong one, and a text that is the query itself. What is right beyond
the batch is not known here: `embudget.pairs.negatives` and `embudget pairs mine` keep each pair's own negatives wrong.

Negatives are no part of the order of batches, so that runs with and without them see the same pairs in the same order.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embudget.errors import PairsError
from embudget.pairs.folder import Pairs, load_pairs
from embudget.pairs.negatives import NEGATIVES

_LOOKED_AT = 65_536  # rows of a look for any negative; most folders have one among the first, or none at all


class TokenBatch(NamedTuple):
    """One batch of training texts as token ids: B pairs with M hard negatives, of which some may be no wrong answers.

    The negatives of a pair are those it has, at most as many as the run takes; the first ones of all pairs come before
    the second ones.
    """

    texts: list[np.ndarray]
    """2B + M of them: the queries, their positives, then the negatives."""
    pairs: int
    """B."""
    right_P2: np.ndarray
    """Couples (query, negative) in which the negative is the query's positive or the query itself, by their places."""

    @property
    def tokens(self) -> int:
        """Tokens that a step on this batch processes, all of its texts."""
        return sum(map(len, self.texts))


def batch_of(texts: list[np.ndarray], hashes_B2: np.ndarray, negatives_M: np.ndarray) -> TokenBatch:
    """Find the negatives that are no wrong answers, by 64-bit hashes of the texts.

    Args:
        texts: queries, positives and negatives.
        hashes_B2: those of queries and positives.
        negatives_M: those of the negatives.
    """
    suspect = np.flatnonzero(np.isin(negatives_M, hashes_B2))
    same = (hashes_B2[:, :, None] == negatives_M[suspect]).any(axis=1)
    query_P, at_P = np.nonzero(same)
    return TokenBatch(texts, len(hashes_B2), np.stack([query_P, suspect[at_P]], axis=1))


def negatives_of(pairs: Pairs, start: int, stop: int) -> list[list[str]]:
    """The hard negatives of some training rows, each list as long as the pair has some.

    Raises:
        PairsError: a file cannot be read.
    """
    table = pairs.read("train", start, stop)
    if NEGATIVES not in table.column_names:
        return [[] for _ in range(start, stop)]
    return [texts or [] for texts in table.column(NEGATIVES).to_pylist()]


def check_negatives(pairs: Pairs, wanted: int) -> None:
    """Refuse pairs without any hard negative where a run wants some.

    Raises:
        PairsError: no training pair has one, or a file cannot be read.
    """
    if wanted and not _any(pairs.folder, pairs.hash):
        raise PairsError(
            f"negatives={wanted} needs training pairs with hard negatives, and {pairs.folder} has none: make them with "
            f"`embudget pairs mine {pairs.folder} --model MODEL --out DIR`, or train with negatives=0"
        )


@lru_cache(maxsize=64)
def _any(folder: Path, content: str) -> bool:
    """Whether the folder with this content hash holds a negative; the hash is a key of the cache alone."""
    pairs = load_pairs(folder)
    rows = pairs.rows("train")
    starts = range(0, rows, _LOOKED_AT)
    return any(any(negatives_of(pairs, start, min(start + _LOOKED_AT, rows))) for start in starts)
