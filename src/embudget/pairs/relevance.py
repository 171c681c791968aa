"""Which text is a right answer to which query where texts repeat, and where do right answers rank?

Sixty answers with two questions each are 120 pairs of 60 distinct positives. Compared row by row, the positive of the
other question would count as a wrong answer, although it is the right one. So every measure on held-out pairs compares
distinct texts, each once:

- a positive is *right* for a query if the two stand in one pair, and so are all positives of a repeated query;
- a positive that is the query's own text is neither right nor wrong, and is left out;
- every other positive is *wrong* for the query.

Texts are the same where they are equal character by character. The batches of training keep the same texts apart (see
`embudget.training.order`), so that they never set a query against a right answer or a text twice either. Where no text
repeats, each query has one right answer, and all this comes to what it is without.

Shapes: R pairs, Q distinct queries, D distinct positives, P couples of a query and one of its right answers.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

_BLOCK = 2**22  # scores that are compared at a time, so that memory stays small however many there are

Ties = Literal["last", "half"]
"""Where a right answer stands among wrong ones of its score: behind them all, or behind half of them."""


class Relevance(NamedTuple):
    """The distinct texts of some pairs, and which are right and wrong for each other."""

    queries: list[str]
    documents: list[str]
    query_R: np.ndarray
    """Place of each pair's query in ``queries``."""
    document_R: np.ndarray
    """Place of each pair's positive in ``documents``."""
    right_QD: np.ndarray
    wrong_QD: np.ndarray

    @property
    def is_plain(self) -> bool:
        """Whether no text repeats, so that each query has one right answer and all other positives are wrong."""
        return len(self.queries) == len(self.query_R) and bool(
            (self.wrong_QD.sum(axis=1) == len(self.query_R) - 1).all()
        )

    @property
    def chance_R(self) -> np.ndarray:
        """The symmetric contrastive loss of each pair by a model to which all texts are alike, nats.

        That is the mean over both directions of the log of the texts compared: the right one and all wrong ones.
        """
        answers_R = 1 + self.wrong_QD.sum(axis=1)[self.query_R]
        askers_R = 1 + self.wrong_QD.sum(axis=0)[self.document_R]
        chance_R: np.ndarray = (np.log(answers_R) + np.log(askers_R)) / 2
        return chance_R


def relevance_of(queries: Sequence[str], positives: Sequence[str], known: Iterable[tuple[str, str]] = ()) -> Relevance:
    """Tell right from wrong among the texts of pairs.

    Args:
        queries: one a pair.
        positives: theirs.
        known: further pairs of (query, positive), right wherever both texts are among those compared.
    """
    query_place = {text: place for place, text in enumerate(dict.fromkeys(queries))}
    document_place = {text: place for place, text in enumerate(dict.fromkeys(positives))}
    query_R = np.array([query_place[text] for text in queries], dtype=np.int64)
    document_R = np.array([document_place[text] for text in positives], dtype=np.int64)
    right_QD = np.zeros((len(query_place), len(document_place)), dtype=bool)
    right_QD[query_R, document_R] = True
    for query, positive in known:
        if query in query_place and positive in document_place:
            right_QD[query_place[query], document_place[positive]] = True
    wrong_QD = ~right_QD
    for text, place in query_place.items():
        if text in document_place:
            wrong_QD[place, document_place[text]] = False
    return Relevance(list(query_place), list(document_place), query_R, document_R, right_QD, wrong_QD)


def ranks_of_right(scores_QD: np.ndarray, relevance: Relevance, ties: Ties) -> tuple[np.ndarray, np.ndarray]:
    """Rank the right answers of each query, from 1, among themselves and the wrong ones.

    Returns:
        query_P: the query of each right answer, rising.
        rank_P: its rank; with ``ties="half"`` perhaps between two places.
    """
    query_P, document_P = np.nonzero(relevance.right_QD)
    own_P = scores_QD[query_P, document_P]
    before_P = np.empty(len(query_P))
    rows = max(1, _BLOCK // max(1, scores_QD.shape[1]))
    for part in (slice(start, start + rows) for start in range(0, len(query_P), rows)):
        scores_BD, wrong_BD = scores_QD[query_P[part]], relevance.wrong_QD[query_P[part]]
        higher_B = ((scores_BD > own_P[part, None]) & wrong_BD).sum(axis=1)
        equal_B = ((scores_BD == own_P[part, None]) & wrong_BD).sum(axis=1)
        before_P[part] = higher_B + (equal_B if ties == "last" else equal_B / 2)
    order_P = np.lexsort((-own_P, query_P))  # by query, its best right answer first
    _, first_Q, count_Q = np.unique(query_P, return_index=True, return_counts=True)
    rank_P = np.empty(len(query_P))
    rank_P[order_P] = 1 + np.arange(len(query_P)) - np.repeat(first_Q, count_Q)
    return query_P, rank_P + before_P
