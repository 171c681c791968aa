"""Which hard negatives of a pair are none: those that answer the query after all, or that nobody may train on.

A hard negative is a text that resembles the positive and does not answer the query. As a further candidate in the loss
it is worth its tokens only if it is truly wrong, so a negative is left out if it

- is empty, or repeats the query, the positive or an earlier negative of the pair,
- is the positive of another pair with the same query,
- comes after the first 64 of its pair, which is more than a run can use, or
- belongs to a training pair and stands in a held-out one, as its query or as a positive that no training pair has.

The pair itself stays. Texts are compared as the pairs of their source are.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

from embudget.limits import MOST_NEGATIVES

NEGATIVES = "negatives"
"""The column of a folder of pairs that holds them, a list of texts a pair."""

NegativeFlaw = Literal[
    "empty", "repeats the query", "repeats the positive", "repeated", "positive of the query", "over 64", "held out"
]
"""Why a hard negative was left out."""


def true_negatives(
    negatives: Iterable[str],
    pair: tuple[str, str],
    key: Callable[[str], str],
    is_positive: Callable[[str, str], bool],
    dropped: Counter[NegativeFlaw],
) -> tuple[str, ...]:
    """Keep the negatives of a pair that are some, in their order.

    Args:
        negatives: the texts.
        pair: what its query and its positive are compared by.
        key: gives what a text is compared by.
        is_positive: whether a pair of such a query and such a positive was met anywhere.
        dropped: counts the others.
    """
    query, positive = pair
    kept: dict[str, str] = {}
    for negative in negatives:
        found = key(negative)
        flaw: NegativeFlaw | None = (
            "empty" if not found
            else "repeats the query" if found == query
            else "repeats the positive" if found == positive
            else "repeated" if found in kept
            else "positive of the query" if is_positive(query, found)
            else "over 64" if len(kept) >= MOST_NEGATIVES
            else None
        )  # fmt: skip
        if flaw is None:
            kept[found] = negative
        else:
            dropped[flaw] += 1
    return tuple(kept.values())
