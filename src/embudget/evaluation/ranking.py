"""Retrieval scores where each query has one relevant document.

With r the rank of the relevant document, from 1, and 0 beyond rank k:

    nDCG@k = 1 / log2(1 + r)        MRR@k = 1 / r        recall@k = 1

averaged over the queries. A document that scores as high as the relevant one counts half a place before it, so that a
system of equal scores gets no free hits.
"""

import numpy as np

from embudget.frozen import Frozen

K = 10


class Scores(Frozen):
    """Mean retrieval scores of one system, each in 0..1."""

    ndcg_at_10: float
    mrr_at_10: float
    recall_at_10: float
    queries: int


def ranks(scores_QD: np.ndarray, relevant_Q: np.ndarray) -> np.ndarray:
    """Rank of each query's relevant document, whose column is given, from 1, ties counted half."""
    own_Q1 = np.take_along_axis(scores_QD, relevant_Q[:, None], axis=1)
    higher = (scores_QD > own_Q1).sum(axis=1)
    ties = (scores_QD == own_Q1).sum(axis=1) - 1
    result: np.ndarray = 1 + higher + ties / 2
    return result


def score(ranks_Q: np.ndarray) -> Scores:
    """Average the scores over the queries."""
    hit = ranks_Q <= K
    return Scores(
        ndcg_at_10=float(np.where(hit, 1 / np.log2(1 + ranks_Q), 0).mean()),
        mrr_at_10=float(np.where(hit, 1 / ranks_Q, 0).mean()),
        recall_at_10=float(hit.mean()),
        queries=len(ranks_Q),
    )
