"""Which of the user's pairs nearly repeat an earlier pair, compared by characters, so that it works in any script.

A text is taken as the set of its runs of 5 characters, its edges filled up. Two texts are nearly the same if

- the Jaccard similarity of their sets is 0.95 or more: one letter changed in 200 characters, one word in some 400,
- their lengths differ by 5 % at most, and
- the same numbers and symbols stand in both, in the same order: "3.10" and "3.11", "x > 0" and "x < 0" are never near.

A text of fewer than 190 characters is therefore near to its equals only. A pair is dropped if both of its sides are
nearly those of one earlier pair: two questions for one answer, or two answers to one question, are both kept.

Runs of 5 characters are a word or less in alphabets, and need no spaces, which Chinese, Japanese and Thai do without.
"""

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from embudget.pairs.minhash import MIXER, couples, minima

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIMILARITY = 0.95
"""Jaccard similarity of the sets of runs from which two texts may be nearly the same."""
RUN = 5
"""Characters in a run."""
LEAST_CHARACTERS = 190
"""A shorter text has so few runs that a single other character takes its similarity below the threshold."""
_LENGTHS = 0.05  # share by which the lengths may differ; "ha ha ha" has the runs of "ha ha ha ha" and is another text
_BANDS, _ROWS = 6, 4  # two pairs of the least similarity meet with a probability of 0.99996
_MARGIN = 0.15  # three standard errors of the similarity that 24 minima estimate
_CHUNK = 1024  # pairs hashed at a time, so that their runs stay in the processor's cache
_SIGNS = frozenset("#%&*@/\\_-")  # punctuation by its category in Unicode, yet a part of names, numbers and code


def near_pairs(queries: Sequence[str], positives: Sequence[str]) -> "NDArray[np.bool_]":
    """Mark the pairs both of whose sides nearly repeat those of an earlier pair.

    Args:
        queries: texts as `embudget.pairs.text.text_key` gives them.
        positives: likewise.

    Returns:
        A mask, shape (len(queries),). The first of a chain of similar pairs is never marked.
    """
    import numpy as np

    repeated = np.zeros(len(queries), dtype=bool)
    long = [row for row in range(len(queries)) if max(len(queries[row]), len(positives[row])) >= LEAST_CHARACTERS]
    if len(long) < 2:
        return repeated
    of_long = np.zeros(len(long), dtype=bool)
    chunks = (long[begin : begin + _CHUNK] for begin in range(0, len(long), _CHUNK))
    signatures = np.concatenate(
        [minima(*_runs([(queries[row], positives[row]) for row in chunk]), _BANDS * _ROWS) for chunk in chunks]
    )
    for one, other in couples(signatures, _BANDS, of_long, SIMILARITY - _MARGIN):
        first, second = long[one], long[other]
        of_long[other] |= _near(queries[first], queries[second]) and _near(positives[first], positives[second])
    repeated[long] = of_long
    return repeated


def _near(one: str, other: str) -> bool:
    if one == other:
        return True
    longer = max(len(one), len(other))
    if longer < LEAST_CHARACTERS or abs(len(one) - len(other)) > _LENGTHS * longer:
        return False
    first, second = _set_of_runs(one), _set_of_runs(other)
    return len(first & second) >= SIMILARITY * len(first | second) and _marks(one) == _marks(other)


def _set_of_runs(text: str) -> set[str]:
    edge = "\0" * (RUN - 1)
    filled = f"{edge}{text}{edge}"
    return {filled[at : at + RUN] for at in range(len(filled) - RUN + 1)}


def _marks(text: str) -> list[str]:
    """The numbers and symbols of a text in their order, each number as one."""
    kept = (sign if _is_mark(sign) else " " for sign in text)
    return "".join(kept).split()


def _is_mark(sign: str) -> bool:
    return sign in _SIGNS or unicodedata.category(sign)[0] in "NS"


def _runs(texts: Sequence[tuple[str, str]]) -> "tuple[NDArray[np.uint64], NDArray[np.int64]]":
    """Hash the runs of both sides of all pairs, so that equal runs of different sides differ.

    Runs that reach over the end of a text hold little but edges. Nearly all pairs share them, which raises the
    estimates by 2 % at most; the decision is made without them.

    Returns:
        The hashes, and where each pair begins in them, shape (pairs,).
    """
    import numpy as np

    edge = "\0" * (RUN - 1)
    filled = [f"{edge}{query}{edge}" for query, _ in texts], [f"{positive}{edge}" for _, positive in texts]
    lengths = np.array([list(map(len, side)) for side in filled], dtype=np.int64)
    whole = "".join(f"{query}{positive}" for query, positive in zip(*filled, strict=True))
    codes = np.frombuffer((whole + edge).encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    count = len(whole)
    hashes = np.repeat(np.tile(np.array([1, 2], np.uint64), len(texts)), lengths.T.ravel())
    for at in range(RUN):
        hashes = (hashes ^ codes[at : at + count]) * np.uint64(MIXER)
        hashes ^= hashes >> np.uint64(29)
    return hashes, np.r_[0, np.cumsum(lengths.sum(axis=0))[:-1]].astype(np.int64)
