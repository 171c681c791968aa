"""Which of the user's own pairs are left out: empty ones, repeated ones, and little else.

The texts stay as they are, line breaks and white space included, because they may be code, and because a model is
served with the texts that its user has. Only for comparing are they normalised: equal means equal after Unicode
normalisation and with each run of white space as one space (`embudget.pairs.text.text_key`). Case and symbols count.

A pair repeats another if both of its sides do. Many questions for one answer, or many answers for one question, are all
kept: batches keep texts apart that are equal character by character (`embudget.training.order`), and splits those that
are equal as above (`embudget.pairs.splitting`).
"""

from embudget.pairs.comparison import Compared, Comparison, Dropped, Reason, compared, leave_out
from embudget.pairs.near_pairs import near_pairs
from embudget.pairs.sources.base import RawPair, Source
from embudget.pairs.splitting import order_key
from embudget.pairs.text import text_key


class ByTexts(Comparison):
    """Pairs stay as they are, each once.

    Args:
        one_per_query: keep only the first pair of each query.
    """

    def __init__(self, *, one_per_query: bool = False) -> None:
        self._one_per_query = one_per_query
        self._pairs: set[bytes] = set()
        self._queries: set[bytes] = set()

    def prepare(self, pair: RawPair, source: Source) -> Compared:
        """The texts as they are, compared by their keys."""
        keys = self.key(pair.query), self.key(pair.positive)
        return compared(pair.query, pair.positive, keys, pair, source)

    def key(self, text: str) -> str:
        """The text as `text_key` normalises it."""
        return text_key(text)

    def is_positive(self, query: str, positive: str) -> bool:
        """Whether the pair was read, even if only the first one of its query stays."""
        return order_key(0, query, positive) in self._pairs

    def flaw(self, pair: Compared, source: Source) -> Reason | None:
        """Check for empty sides, then for repetition."""
        _, query, positive = pair
        if not query:
            return "query too short"
        if not positive:
            return "positive too short"
        if query == positive:
            return "positive repeats query"
        both = order_key(0, query, positive)
        if both in self._pairs:
            return "duplicate pair"
        self._pairs.add(both)
        if self._one_per_query:
            one = order_key(0, query)
            if one in self._queries:
                return "duplicate query"
            self._queries.add(one)
        return None

    def without_near(self, pairs: list[Compared], dropped: Dropped) -> list[Compared]:
        """Leave out the pairs that nearly repeat an earlier one on both sides."""
        return leave_out(
            pairs,
            lambda some: near_pairs([one.query_key for one in some], [one.positive_key for one in some]),
            "near-duplicate pair",
            dropped,
        )
