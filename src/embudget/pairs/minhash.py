"""MinHash (Broder 1997) with banded locality-sensitive hashing, in numpy: which of many sets are probably similar.

Comparing every set with every other would take too long, so two steps leave few couples to compare:

1. Signature: with random hashes h_j, each set gets its minima min h_j. Two sets whose Jaccard similarity is s, the
   members they share over all that either has, agree in a share s of the minima on average.
2. Couples: the signature is cut into bands of rows, and sets that agree in a whole band meet. The probability of that
   is 1 - (1 - s^rows)^bands.

Every hash is fixed, so that the same sets meet on every machine.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIXER = 0x9E3779B97F4A7C15
"""An odd number whose multiples look random: 2^64 over the golden ratio (Knuth)."""
_NEIGHBOURS = 8  # a set meets the first set of its bucket and the 8 before it, so that huge buckets stay cheap


def minima(hashes: "NDArray[np.uint64]", starts: "NDArray[np.int64]", count: int) -> "NDArray[np.uint32]":
    """Compute the signatures of sets whose hashed members stand one set after the other.

    Args:
        hashes: 64-bit hashes of the members of all sets.
        starts: where each set begins among the hashes, shape (sets,).
        count: minima for each set. The first ones do not depend on how many are wanted.

    Returns:
        The signatures, shape (sets, count).
    """
    import numpy as np

    # the hashes are fixed, not drawn by the user's seed: they are part of what "near" means, and so is this string
    draw = np.frombuffer(hashlib.shake_128(b"embudget.pairs.near").digest(count * 16), dtype="<u8")
    multipliers, offsets = draw[::2] | np.uint64(1), draw[1::2]
    signatures = np.empty((len(starts), count), dtype=np.uint32)
    for column, (multiplier, offset) in enumerate(zip(multipliers, offsets, strict=True)):
        hashed = ((hashes * multiplier + offset) >> np.uint64(32)).astype(np.uint32)
        signatures[:, column] = np.minimum.reduceat(hashed, starts)
    return signatures


def couples(
    signatures: "NDArray[np.uint32]", bands: int, repeated: "NDArray[np.bool_]", least: float
) -> "Iterator[tuple[int, int]]":
    """Couple sets that agree in a band, and in a share ``least`` of all minima.

    Args:
        signatures: see `minima`; each band has an equal part of the columns.
        bands: how many bands there are.
        repeated: sets that need no couple any more; the caller may mark them while it iterates.
        least: estimated similarity below which a couple is passed over.

    Yields:
        Indices (earlier, later).
    """
    import numpy as np

    rows = signatures.shape[1] // bands
    for band in range(bands):
        columns = signatures[:, band * rows : (band + 1) * rows].astype(np.uint64)
        bucket = columns[:, 0]
        for row in range(1, rows):
            bucket = bucket * np.uint64(MIXER) + columns[:, row]
        for earlier, later in _meetings(bucket):
            open_ = ~repeated[later]
            earlier, later = earlier[open_], later[open_]
            likely = (signatures[earlier] == signatures[later]).mean(axis=1) >= least
            yield from zip(earlier[likely].tolist(), later[likely].tolist(), strict=True)


def _meetings(bucket: "NDArray[np.uint64]") -> "Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]":
    """Couple each set of a bucket with the bucket's first set and with its closest predecessors.

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
