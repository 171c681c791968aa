"""Which of the user's pairs nearly repeat an earlier pair: both sides differ in nothing that makes another text.

Two texts are nearly the same if they are equal but for

- the kind of quotation marks and dashes, and
- commas, full stops, colons and semicolons behind a word, in any script: "yes." and "yes".

Everything else makes another text, because one letter, numeral or symbol can turn its meaning: "now" and "not", "C" and
"c", "3.10" and "3.11", "if (ready)" and "if (!ready)". So this holds in every script, and for texts of any length. A
pair is dropped if both of its sides are nearly those of one earlier pair: two questions for one answer, or two answers
to one question, are both kept.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STOPS = re.compile(r"[.,:;\u2026\u3001\u3002\uff0c\uff0e\uff1a\uff1b\u060c\u061b\u06d4\u0964]+(?=\s|$)")
"""Stops of Latin, Chinese, Japanese, Arabic and Devanagari at the end of a word."""
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u300c\u300d\u300e\u300f", '"'),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2039\u203a", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    }
)


def near_pairs(queries: Iterable[str], positives: Iterable[str]) -> "NDArray[np.bool_]":
    """Mark the pairs both of whose sides nearly repeat those of an earlier pair.

    Args:
        queries: texts as `embudget.pairs.text.text_key` gives them.
        positives: likewise, as many.

    Returns:
        A mask, shape (pairs,). The first of several such pairs is never marked.
    """
    import numpy as np

    seen: set[bytes] = set()
    marked = []
    for query, positive in zip(queries, positives, strict=True):
        # half a surrogate pair is no text, and is refused where texts are read
        key = hashlib.blake2b(f"{_core(query)}\0{_core(positive)}".encode(), digest_size=16).digest()
        marked.append(key in seen)
        seen.add(key)
    return np.array(marked, dtype=bool)


def _core(text: str) -> str:
    return " ".join(_STOPS.sub("", text.translate(_ALIKE)).split())
