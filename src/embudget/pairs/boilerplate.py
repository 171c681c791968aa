"""Which pairs were written by a template that made many others of the same source.

Documentation is full of texts that differ in a name only: "This package contains the development files for libfoo."
Near-duplicates catch the long ones; of short ones, a name changes too large a part. A source of which a tenth is one
sentence teaches that sentence, and its held-out pairs are easier than a user's, so each template keeps a fixed number
of pairs.

A template is what stays of a text if its names are masked. A word counts as common if at least 1 in 500 pairs of the
source have it, and at least 20 pairs; each run of other words becomes one mask:

    this package contains the development files for *

Compared are the query, and the first 12 words of the positive. A text with fewer than 3 different common words, with
fewer than twice as many as masks, or with more rare words than common ones says something of its own and has no
template: "the king of a country" is not cast in the same mould as "the end of a rope".
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from embudget.pairs.comparison import Compared
from embudget.pairs.splitting import order_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COMMON = 500  # a word is common if one in so many pairs has it, and so many pairs:
_LEAST_PAIRS = 20
_BEGIN = 12  # words of a positive that are compared: boilerplate stands in front
_LEAST_COMMON = 3
_COMMON_PER_MASK = 2
_MASK = "*"


def boilerplate(pairs: Sequence[Compared], most: Mapping[str, int | None]) -> "NDArray[np.bool_]":
    """Mark the pairs whose template has made more pairs of their source than may stay.

    Which stay is decided by a hash of their texts, so that they are spread over the groups and do not depend on the
    order of reading.

    Args:
        pairs: of any number of sources.
        most: source -> the most pairs that one template may have, or None for all.

    Returns:
        A mask, shape (len(pairs),).
    """
    import numpy as np

    marked = np.zeros(len(pairs), dtype=bool)
    of_source: defaultdict[str, list[int]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        of_source[pair.row.source].append(index)
    for source, indices in of_source.items():
        limit = most.get(source)
        if limit is not None:
            marked[_beyond(pairs, indices, limit)] = True
    return marked


def _beyond(pairs: Sequence[Compared], indices: Sequence[int], most: int) -> list[int]:
    """List the pairs, out of those of one source, that are more than a template may have."""
    texts = {index: (pairs[index].query_key.split(), pairs[index].positive_key.split()[:_BEGIN]) for index in indices}
    counts = Counter(word for query, positive in texts.values() for word in {*query, *positive})
    common = {word for word, count in counts.items() if count >= max(_LEAST_PAIRS, len(indices) / _COMMON)}
    made: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, (query, positive) in texts.items():
        for side, words in (("query", query), ("positive", positive)):
            found = template(words, common)
            if found:
                made[(side, *found)].append(index)
    beyond: set[int] = set()
    for members in made.values():
        left = [index for index in members if index not in beyond]
        if len(left) > most:
            left.sort(key=lambda index: order_key(0, pairs[index].query_key, pairs[index].positive_key))
            beyond.update(left[most:])
    return sorted(beyond)


def template(words: Sequence[str], common: set[str]) -> tuple[str, ...]:
    """Mask the names in a text: the common words in their order, and one mask for each run of others.

    Returns:
        The template, which is empty if the text has too few common words for one.

    Example:
        >>> template("development files for libfoo bar".split(), {"development", "files", "for"})
        ('development', 'files', 'for', '*')
    """
    kept = [word in common for word in words]
    if 2 * sum(kept) < len(words):
        return ()
    found: list[str] = []
    for word, is_common in zip(words, kept, strict=True):
        if is_common:
            found.append(word)
        elif not found or found[-1] != _MASK:
            found.append(_MASK)
    masks = found.count(_MASK)
    different = len(set(found)) - (masks > 0)
    if different < _LEAST_COMMON or len(found) - masks < _COMMON_PER_MASK * masks:
        return ()
    return tuple(found)
