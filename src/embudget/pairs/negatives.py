"""Hard negatives: texts that look like right answers to a pair's query and are wrong.

They are the lists of texts in a column `negatives` of the training split, best first; no column and null mean none. A
run that takes k of them (`RunConfig.negatives`) reads the first k of each pair, or as many as it has. In the loss every
negative of a batch is one more wrong answer to every query of the batch, as sentence-transformers has it. Two kinds are
left out of a query's denominator, by the rule of `embudget.pairs.relevance`: a text that is the query's positive,
because a right answer is never a wrong one, and a text that is the query itself. What is right beyond the batch is not
known here: whoever makes negatives has to keep them wrong, as `embudget pairs mine` does.

Negatives are no part of the order of batches, so that runs with and without them see the same pairs in the same order.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embudget.errors import PairsError
from embudget.pairs.folder import Pairs
from embudget.pairs.manifest import FileInfo
from embudget.pairs.shards import NEGATIVES, read_negatives

_LOOKED_AT = 65_536  # rows of the first look for any negative; most folders have one in the first row, or none at all


class Batch(NamedTuple):
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


def batch_of(texts: list[np.ndarray], hashes_B2: np.ndarray, negatives_M: np.ndarray) -> Batch:
    """Find the negatives that are no wrong answers, by 64-bit hashes of the texts.

    Args:
        texts: queries, positives and negatives.
        hashes_B2: those of queries and positives.
        negatives_M: those of the negatives.
    """
    suspect = np.flatnonzero(np.isin(negatives_M, hashes_B2))
    same = (hashes_B2[:, :, None] == negatives_M[suspect]).any(axis=1)
    query_P, at_P = np.nonzero(same)
    return Batch(texts, len(hashes_B2), np.stack([query_P, suspect[at_P]], axis=1))


def negatives_column(pairs: Pairs, start: int, stop: int, slot: int) -> list[str | None]:
    """The negatives at one place (0 for the first) of the lists of some training rows; None where a list is shorter.

    Raises:
        PairsError: a file cannot be read, or its column holds anything but lists of texts.
    """
    lists = read_negatives(pairs.folder, pairs.info.splits["train"].files, start, stop)
    return [texts[slot] if slot < len(texts) else None for texts in lists]


def check_negatives(pairs: Pairs, wanted: int) -> None:
    """Refuse pairs without any hard negative where a run wants some.

    Raises:
        PairsError: no training pair has one, or the column cannot be read.
    """
    if wanted and not _any(pairs.folder, pairs.info.splits["train"].files):
        raise PairsError(
            f"negatives={wanted} needs training pairs with hard negatives, and {pairs.folder} has none in a column "
            f"{NEGATIVES!r}: make them with `embudget pairs mine {pairs.folder} --model MODEL --out DIR`, or train "
            "with negatives=0"
        )


@lru_cache(maxsize=64)
def _any(folder: Path, files: tuple[FileInfo, ...]) -> bool:
    rows = sum(file.pairs for file in files)
    starts = range(0, rows, _LOOKED_AT)
    return any(any(read_negatives(folder, files, start, min(start + _LOOKED_AT, rows))) for start in starts)
