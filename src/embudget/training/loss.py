"""Symmetric InfoNCE over in-batch candidates, and its gradient, without ever holding all scores.

For B pairs with unit embeddings q and p, and the scale s = 1 / temperature,

    S = s q p^T                                          (B, B)
    loss = (CE(S, diagonal) + CE(S^T, diagonal)) / 2     nats; ln B by chance
    dloss/dS = (softmax of rows + softmax of columns - 2 I) / 2B

Sources: van den Oord et al. 2018; both directions and s = 40 as in "Repurposing Language Models into Embedding Models"
(NeurIPS 2024). The result equals sentence-transformers' `MultipleNegativesRankingLoss` with both directions and
`partition_mode="per_direction"`. Here S is made in blocks of rows, once for the normalisers and once for the gradient,
so that memory grows with B and not with its square. Scores are float32, because in bfloat16 many would tie.

Shapes: B pairs, E embedding size, K rows of a block; where texts repeat, R pairs of Q queries and D positives.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

BLOCK_SCORES = 2**20
"""Entries of S that are held at a time, 4 MB, whatever the batch; up to 1024 pairs S is made once, in one block."""

MIN_BLOCK_ROWS = 16
"""A block has at least so many rows, because thinner products are slow."""


def info_nce(queries_BE: Tensor, positives_BE: Tensor, scale: float) -> Tensor:
    """Symmetric InfoNCE of unit embeddings, in nats, computed in float32; all scores at once."""
    scores_BB = scale * queries_BE.float() @ positives_BE.float().T
    diagonal = torch.arange(len(scores_BB), device=scores_BB.device)
    return (functional.cross_entropy(scores_BB, diagonal) + functional.cross_entropy(scores_BB.T, diagonal)) / 2


def info_nce_among(
    queries_QE: Tensor, documents_DE: Tensor, query_R: Tensor, document_R: Tensor, wrong_QD: Tensor, scale: float
) -> Tensor:
    """Symmetric InfoNCE of R pairs whose texts repeat, nats for each: a text counts once, a right answer never.

    A pair's denominators are over its own two texts and those that are wrong for them, where `info_nce` has all. Their
    mean is `info_nce` where no text repeats.

    Args:
        queries_QE: unit embeddings of the distinct queries.
        documents_DE: unit embeddings of the distinct positives.
        query_R: the query of each pair.
        document_R: its positive.
        wrong_QD: which positives are wrong for which queries; a pair's own never is.
        scale: 1 / temperature.
    """
    scores_QD = scale * queries_QE.float() @ documents_DE.float().T
    right_R = scores_QD[query_R, document_R][:, None]
    to_documents_RD = scores_QD[query_R].masked_fill(~wrong_QD[query_R], -math.inf)
    to_queries_RQ = scores_QD.T[document_R].masked_fill(~wrong_QD.T[document_R], -math.inf)
    norms_R = [torch.cat([right_R, wrong], dim=1).logsumexp(dim=1) for wrong in (to_documents_RD, to_queries_RQ)]
    return (norms_R[0] + norms_R[1]) / 2 - right_R[:, 0]


@torch.no_grad()
def info_nce_gradient(
    queries_BE: Tensor, positives_BE: Tensor, scale: float, block_rows: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """`info_nce`, a scalar, and its gradients with respect to queries and positives, (B, E) each; in blocks of rows."""
    queries_BE, positives_BE = queries_BE.float(), positives_BE.float()
    pairs = len(queries_BE)
    block_rows = block_rows or max(MIN_BLOCK_ROWS, BLOCK_SCORES // pairs)
    blocks = [slice(start, min(start + block_rows, pairs)) for start in range(0, pairs, block_rows)]

    def scores(rows: slice) -> Tensor:
        return scale * queries_BE[rows] @ positives_BE.T

    whole_BB = scores(blocks[0]) if len(blocks) == 1 else None
    row_norm_B = torch.empty(pairs, device=queries_BE.device)
    column_norm_B = torch.full((pairs,), -math.inf, device=queries_BE.device)
    for rows in blocks:
        scores_KB = scores(rows) if whole_BB is None else whole_BB
        row_norm_B[rows] = scores_KB.logsumexp(dim=1)
        column_norm_B = torch.logaddexp(column_norm_B, scores_KB.logsumexp(dim=0))

    diagonal_B = scale * (queries_BE * positives_BE).sum(dim=1)
    loss = ((row_norm_B + column_norm_B) / 2 - diagonal_B).mean()

    queries_grad_BE, positives_grad_BE = torch.empty_like(queries_BE), torch.zeros_like(positives_BE)
    for rows in blocks:
        scores_KB = scores(rows) if whole_BB is None else whole_BB
        slope_KB = (scores_KB - row_norm_B[rows, None]).exp_() + (scores_KB - column_norm_B).exp_()
        slope_KB.mul_(scale / (2 * pairs))
        slope_KB.diagonal(rows.start).sub_(scale / pairs)
        queries_grad_BE[rows] = slope_KB @ positives_BE
        positives_grad_BE += slope_KB.T @ queries_BE[rows]
    return loss, queries_grad_BE, positives_grad_BE
