"""Which texts of documentation nearly repeat an earlier one, compared by their words.

A text is taken as the set of its word bigrams, its two edges included so that short texts have some as well. Two texts
count as the same if the Jaccard similarity of their sets, the bigrams they share over all that either has, is 0.8 or
more. `embudget.pairs.minhash` finds who meets: with 64 minima the estimate of a similarity has a standard error of 0.05
at 0.8, and in 16 bands of 4 rows two texts of that similarity meet with a probability of 0.9998. Couples whose estimate
is not clearly below the threshold are compared by the sets themselves, because the estimate alone would, in millions of
comparisons, sometimes call different texts the same.

The user's own texts are compared more strictly, see `embudget.pairs.near_pairs`.
"""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from embudget.pairs.minhash import MIXER, couples, minima

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THRESHOLD = 0.8  # Jaccard similarity of the sets of word bigrams from which two texts count as the same
BANDS, ROWS = 16, 4
_MARGIN = 0.15  # three standard errors of the estimate, below which a couple is ruled out
_CHUNK = 4096  # texts hashed at a time, so that their bigrams stay in the processor's cache


def near_duplicates(keys: Sequence[str]) -> "NDArray[np.bool_]":
    """Mark the texts that nearly repeat an earlier one.

    Args:
        keys: texts as words in lower case joined by spaces, see `embudget.pairs.text.words`.

    Returns:
        A mask, shape (len(keys),). The first of a chain of similar texts is never marked.

    Example:
        >>> near_duplicates(["a b c", "x y z", "a b c"]).tolist()
        [False, False, True]
    """
    import numpy as np

    repeated = np.zeros(len(keys), dtype=bool)
    if len(keys) >= 2:
        for one, other in couples(_signatures(keys), BANDS, repeated, THRESHOLD - _MARGIN):
            repeated[other] |= _similarity(keys[one], keys[other]) >= THRESHOLD
    return repeated


def _similarity(one: str, other: str) -> float:
    first, second = ({*pairwise(("", *key.split(), ""))} for key in (one, other))
    return len(first & second) / len(first | second)


def _signatures(keys: Sequence[str]) -> "NDArray[np.uint32]":
    """Compute the MinHash signatures, shape (len(keys), BANDS * ROWS)."""
    import numpy as np

    vocabulary = _Vocabulary()
    chunks = (keys[begin : begin + _CHUNK] for begin in range(0, len(keys), _CHUNK))
    return np.concatenate([minima(*_shingles(chunk, vocabulary), BANDS * ROWS) for chunk in chunks])


def _shingles(keys: Sequence[str], vocabulary: "_Vocabulary") -> "tuple[NDArray[np.uint64], NDArray[np.int64]]":
    """Hash the word bigrams of all texts.

    All words stand in one sequence, with a 0 before each text and after the last one. Neighbours in the sequence are
    then the bigrams, those with a 0 being the edges of a text.

    Returns:
        The hashes, shape (words + texts,), and where each text begins in them, shape (texts,).
    """
    import numpy as np

    sequence: list[int] = []
    starts: list[int] = []
    for key in keys:
        starts.append(len(sequence))
        sequence += [0, *(vocabulary[word] for word in key.split())]
    sequence.append(0)
    word_hashes = np.array(sequence, dtype=np.uint64)
    mixed = word_hashes[:-1] * np.uint64(MIXER) ^ word_hashes[1:] * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0xBF58476D1CE4E5B9), np.array(starts, dtype=np.int64)


class _Vocabulary(dict[str, int]):
    """Map words to 64-bit hashes that are never 0. Python's own `hash` would differ from process to process."""

    def __missing__(self, word: str) -> int:
        value = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little") | 1
        self[word] = value
        return value
