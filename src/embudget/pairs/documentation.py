"""Which pairs of documentation are fit to train on: prose whose words occur nowhere else.

Texts are compared by their words in lower case, and by their sets of word pairs (`embudget.pairs.duplicates`). No text
may occur twice, on either side: documentation repeats itself, and what a generator wrote for each field of each service
teaches nothing the second time. What a template wrote is capped (`embudget.pairs.boilerplate`). The user's own texts
have other rules, see `embudget.pairs.own_texts`.
"""

from embudget.pairs.boilerplate import boilerplate
from embudget.pairs.comparison import Compared, Comparison, Dropped, Reason, compared, leave_out
from embudget.pairs.duplicates import near_duplicates
from embudget.pairs.sources.base import RawPair, Source
from embudget.pairs.text import cut, is_mark, normalise, words

_LEAST_LETTERS = 0.7  # share of letters and spaces in prose; tables, patterns and code have less
_OVERLAP = 0.8  # Jaccard similarity of the two sides' words from which the positive only repeats the query
_ECHO_WORDS = 5  # a positive of 5 words or more that are all in the query adds nothing; a shorter one may be an answer


class ByWords(Comparison):
    """Each text is normalised and cut, and stays if no earlier one has its words."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._same_template: dict[str, int | None] = {}

    def prepare(self, pair: RawPair, source: Source) -> Compared:
        """One line of normalised text a side, compared by its words in lower case, joined by spaces."""
        self._same_template[source.name] = source.rules.same_template
        query, positive, *negatives = map(normalise, (pair.query, pair.positive, *pair.negatives))
        if source.rules.characters is not None:
            query, positive, *negatives = (cut(text, source.rules.characters) for text in (query, positive, *negatives))
        pair = pair._replace(negatives=tuple(negatives))
        return compared(query, positive, (self.key(query), self.key(positive)), pair, source)

    def key(self, text: str) -> str:
        """The words of the text in lower case, joined by spaces."""
        return " ".join(words(text))

    def is_positive(self, query: str, positive: str) -> bool:
        """No text occurs twice, so that a pair's own positive is the only one of its query."""
        return False

    def flaw(self, pair: Compared, source: Source) -> Reason | None:
        """Check length, prose and repetition, in this order."""
        (query, positive, *_), query_key, positive_key = pair
        rules = source.rules
        if not query or len(query.split()) < rules.query_words:
            return "query too short"
        if not positive or len(positive.split()) < rules.positive_words:
            return "positive too short"
        if rules.prose and not (_is_prose(query) and _is_prose(positive)):
            return "not prose"
        if _echoes(query_key, positive_key):
            return "positive repeats query"
        if query_key in self._seen:
            return "duplicate query"
        if positive_key in self._seen:
            return "duplicate positive"
        self._seen.update((query_key, positive_key))
        return None

    def without_near(self, pairs: list[Compared], dropped: Dropped) -> list[Compared]:
        """Compare positives first, then the queries of what is left, then cap what templates have made."""
        pairs = leave_out(
            pairs, lambda some: near_duplicates([one.positive_key for one in some]), "near-duplicate positive", dropped
        )
        pairs = leave_out(
            pairs, lambda some: near_duplicates([one.query_key for one in some]), "near-duplicate query", dropped
        )
        return leave_out(pairs, lambda some: boilerplate(some, self._same_template), "boilerplate", dropped)


def _echoes(query_key: str, positive_key: str) -> bool:
    of_query, of_positive = set(query_key.split()), set(positive_key.split())
    similar = len(of_query & of_positive) >= _OVERLAP * len(of_query | of_positive)
    return similar or (len(of_positive) >= _ECHO_WORDS and of_positive <= of_query)


def _is_prose(text: str) -> bool:
    letters = sum(map(str.isalpha, text)) + text.count(" ")
    if letters < _LEAST_LETTERS * len(text) and not text.isascii():
        letters += sum(map(is_mark, text))
    return letters >= _LEAST_LETTERS * len(text)
