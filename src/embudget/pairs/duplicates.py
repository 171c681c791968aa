"""Which texts nearly repeat an earlier one: MinHash (Broder 1997) with banded locality-sensitive hashing, in numpy.

A text is taken as the set of its word bigrams, its two edges included so that short texts have some as well. Two texts
count as the same if the Jaccard similarity s of their sets, the bigrams they share over all that either has, is 0.8 or
more. Comparing every text with every other would take too long, so the work is done in three steps:

1. Signature: with 64 random hashes h_j, each text gets its minima min h_j. Two texts agree in a share s of them on
   average, with a standard error of 0.05 at s = 0.8.
2. Candidates: the signature is cut into 16 bands of 4 rows, and texts that agree in a whole band meet. The probability
   of that is 1 - (1 - s^4)^16, which is 0.9998 at s = 0.8.
3. Decision: couples whose estimate is not clearly below the threshold are compared by the sets themselves. The estimate
   alone would, in millions of comparisons, sometimes call different texts the same.

Every hash is fixed, so that the same texts are dropped on every machine.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THRESHOLD = 0.8  # Jaccard similarity of the sets of word bigrams from which two texts count as the same
BANDS, ROWS = 16, 4
_MARGIN = 0.15  # three standard errors of the estimate, below which a couple is ruled out
_CHUNK = 4096  # texts hashed at a time, so that their bigrams stay in the processor's cache
_NEIGHBOURS = 8  # a text meets the first text of its bucket and the 8 before it, so that huge buckets stay cheap


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
    if len(keys) < 2:
        return repeated
    signatures = _signatures(keys)
    for band in range(BANDS):
        rows = signatures[:, band * ROWS : (band + 1) * ROWS].astype(np.uint64)
        bucket = rows[:, 0]
        for row in range(1, ROWS):
            bucket = bucket * np.uint64(0x9E3779B97F4A7C15) + rows[:, row]
        for earlier, later in _candidates(bucket):
            open_ = ~repeated[later]
            earlier, later = earlier[open_], later[open_]
            estimate = (signatures[earlier] == signatures[later]).mean(axis=1)
            likely = estimate >= THRESHOLD - _MARGIN
            for one, other in zip(earlier[likely].tolist(), later[likely].tolist(), strict=True):
                repeated[other] |= _similarity(keys[one], keys[other]) >= THRESHOLD
    return repeated


def _similarity(one: str, other: str) -> float:
    first, second = ({*pairwise(("", *key.split(), ""))} for key in (one, other))
    return len(first & second) / len(first | second)


def _candidates(bucket: "NDArray[np.uint64]") -> "Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]":
    """Couple each text of a bucket with the bucket's first text and with its closest predecessors.

    Yields:
        Indices (earlier, later), shape (couples,) each.
    """
    import numpy as np

    order = np.argsort(bucket, kind="stable")
    ordered = bucket[order]
    starts = np.r_[True, ordered[1:] != ordered[:-1]]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    yield order[first[~starts]], order[~starts]
    for shift in range(1, _NEIGHBOURS + 1):
        together = ordered[shift:] == ordered[:-shift]
        yield order[:-shift][together], order[shift:][together]


def _signatures(keys: Sequence[str]) -> "NDArray[np.uint32]":
    """Compute the MinHash signatures, shape (len(keys), BANDS * ROWS)."""
    import numpy as np

    # the hashes are fixed, not drawn by the user's seed: they are part of what "near" means, and so is this string
    draw = np.frombuffer(hashlib.shake_128(b"embudget.pairs.near").digest(BANDS * ROWS * 16), dtype="<u8")
    multipliers, offsets = draw[::2] | np.uint64(1), draw[1::2]
    vocabulary = _Vocabulary()
    signatures = np.empty((len(keys), BANDS * ROWS), dtype=np.uint32)
    for begin in range(0, len(keys), _CHUNK):
        shingles, starts = _shingles(keys[begin : begin + _CHUNK], vocabulary)
        for column, (multiplier, offset) in enumerate(zip(multipliers, offsets, strict=True)):
            hashed = ((shingles * multiplier + offset) >> np.uint64(32)).astype(np.uint32)
            signatures[begin : begin + _CHUNK, column] = np.minimum.reduceat(hashed, starts)
    return signatures


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
    mixed = word_hashes[:-1] * np.uint64(0x9E3779B97F4A7C15) ^ word_hashes[1:] * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0xBF58476D1CE4E5B9), np.array(starts, dtype=np.int64)


class _Vocabulary(dict[str, int]):
    """Map words to 64-bit hashes that are never 0. Python's own `hash` would differ from process to process."""

    def __missing__(self, word: str) -> int:
        value = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little") | 1
        self[word] = value
        return value
