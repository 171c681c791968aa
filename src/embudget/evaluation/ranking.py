"""Retrieval scores where each query has one relevant document or several.

With r_1 < r_2 < ... the ranks, from 1, of a query's n relevant documents, those beyond k left out:

    nDCG@k = sum_i 1 / log2(1 + r_i)  /  sum_{i <= min(n, k)} 1 / log2(1 + i)
    MRR@k = 1 / r_1        recall@k = |r| / n

averaged over the queries. These are the definitions of trec_eval, and so of mteb and of sentence-transformers'
`InformationRetrievalEvaluator`. A document that is not relevant and scores as high as a relevant one counts half a
place before it, so that a system of equal scores gets no free hits.
"""

import numpy as np

from embudget.frozen import Frozen
from embudget.pairs.relevance import Relevance, ranks_of_right

K = 10


class Scores(Frozen):
    """Mean retrieval scores of one system, each in 0..1."""

    ndcg_at_10: float
    mrr_at_10: float
    recall_at_10: float
    queries: int


def score(scores_QD: np.ndarray, relevance: Relevance) -> Scores:
    """Rank every query's documents by a system's similarities, and average the scores over the queries."""
    query_P, rank_P = ranks_of_right(scores_QD, relevance, ties="half")
    hit_P = rank_P <= K
    relevant_Q = relevance.right_QD.sum(axis=1)
    ideal_K = np.cumsum(1 / np.log2(2 + np.arange(K)))
    gains_Q, hits_Q = (
        np.bincount(query_P, weights=weights, minlength=len(relevant_Q))
        for weights in (np.where(hit_P, 1 / np.log2(1 + rank_P), 0), hit_P)
    )
    best_Q = np.full(len(relevant_Q), np.inf)
    np.minimum.at(best_Q, query_P, rank_P)
    return Scores(
        ndcg_at_10=float((gains_Q / ideal_K[np.minimum(relevant_Q, K) - 1]).mean()),
        mrr_at_10=float(np.where(best_Q <= K, 1 / best_Q, 0).mean()),
        recall_at_10=float((hits_Q / relevant_Q).mean()),
        queries=len(relevant_Q),
    )
