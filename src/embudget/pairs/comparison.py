"""What it means for pairs to be equal or nearly so: documentation has one rule, the user's own texts another.

All sources of a kind share one comparison, so that a pair is compared with those of earlier sources too.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Literal, NamedTuple

from embudget.pairs.sources.base import RawPair, Source
from embudget.pairs.splitting import Split, order_key
from embudget.pairs.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Reason = Literal[
    "query too short",
    "positive too short",
    "not prose",
    "positive repeats query",
    "duplicate pair",
    "duplicate query",
    "duplicate positive",
    "near-duplicate positive",
    "near-duplicate query",
    "near-duplicate pair",
    "boilerplate",
    "over the limit",
    "in a held-out split",
    "over the weight",
    "below the threshold",
    "not parsed",
    "bad row",
]
"""Why a pair was dropped. "not parsed" counts modules of Python code, "bad row" and "below the threshold" rows of a
table, not pairs."""
Dropped = dict[str, Counter[Reason]]
"""Source -> how many of its pairs were dropped for each reason."""


class Row(NamedTuple):
    """A pair that was kept. The group begins with the scope and is unique over all scopes."""

    query: str
    positive: str
    group: str
    source: str
    scope: str
    """`Source.scope`. It is not written to the files, which hold it as the first part of the group."""
    negatives: tuple[str, ...] = ()
    split: Split | None = None
    """The split in which the source holds the pair, see `RawPair`."""


class Compared(NamedTuple):
    """A pair with what each side is compared by."""

    row: Row
    query_key: str
    positive_key: str


class Comparison(ABC):
    """The rules for pairs of one kind of source, and what they remember of the pairs so far."""

    @abstractmethod
    def prepare(self, pair: RawPair, source: Source) -> Compared:
        """Bring a pair to the form in which it is kept, and say what it is compared by."""

    @abstractmethod
    def key(self, text: str) -> str:
        """Give what a text is compared by."""

    @abstractmethod
    def is_positive(self, query: str, positive: str) -> bool:
        """Whether a pair was met that is compared by these two."""

    @abstractmethod
    def flaw(self, pair: Compared, source: Source) -> Reason | None:
        """Name the first rule that a pair breaks. A pair that breaks none is remembered."""

    @abstractmethod
    def without_near(self, pairs: list[Compared], dropped: Dropped) -> list[Compared]:
        """Leave out the pairs that nearly repeat an earlier one, and count them."""


def compared(query: str, positive: str, keys: tuple[str, str], pair: RawPair, source: Source) -> Compared:
    """Put a pair together. Without a group it gets one of its own, named by what it is compared by."""
    name = order_key(0, *keys).hex() if pair.group is None else normalise(pair.group)
    group = f"{source.scope}/{name}"
    return Compared(Row(query, positive, group, source.name, source.scope, pair.negatives, pair.split), *keys)


def leave_out(
    pairs: Sequence[Compared],
    near: "Callable[[Sequence[Compared]], NDArray[np.bool_]]",
    reason: Reason,
    dropped: Dropped,
) -> list[Compared]:
    """Leave out the pairs that ``near`` marks, and count them under ``reason``."""
    marked = near(pairs)
    for pair in compress(pairs, marked):
        dropped[pair.row.source][reason] += 1
    return list(compress(pairs, ~marked))
