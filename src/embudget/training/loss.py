"""Symmetric InfoNCE over in-batch candidates, and its gradient, without ever holding all scores.

For B pairs with unit embeddings q and p, and the scale s = 1 / temperature,

    S = s q p^T                                          (B, B)
    loss = (CE(S, diagonal) + CE(S^T, diagonal)) / 2     nats; ln B by chance
    dloss/dS = (softmax of rows + softmax of columns - 2 I) / 2B

Sources: van den Oord et al. 2018; both directions and s = 40 as in "Repurposing Language Models into Embedding Models"
(NeurIPS 2024). The result equals sentence-transformers' `MultipleNegativesRankingLoss` with both directions and
`partition_mode="per_direction"`. Here S is made in blocks of rows, once for the normalisers and once for the gradient,
so that memory grows with B and not with its square. Scores are float32, because in bfloat16 many would tie.

Hard negatives, n, are further wrong answers to all queries of the batch, and ask for nothing themselves:

    S = s q [p, n]^T in the direction of the queries, S = s p q^T in the other

which is what sentence-transformers does with the columns after the positives. One that is a right answer to a query, or
the query's own text, is left out of that query's denominator: see `embudget.pairs.token_batch`.

Matryoshka training (Kusupati et al. 2022, arXiv 2205.13147) takes the same loss of the first d entries too, made unit
again, for each smaller size d. The loss is the *mean* over the sizes and the full one. `MatryoshkaLoss` of
sentence-transformers has their sum: with k sizes its gradient is k times ours in every entry, which AdamW does not see.
The mean leaves the training loss, the limit of divergence and the clipping of gradients at norm 1 what they are without
smaller sizes.

Shapes: B pairs, M negatives, E embedding size, K rows of a block, P couples, N texts; where texts repeat, R pairs of Q
queries and D positives.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

BLOCK_SCORES = 2**20
"""Entries of S that are held at a time, 4 MB, whatever the batch; up to 1024 pairs S is made once, in one block."""

LEAST_NORM = 1e-12
"""A cut embedding shorter than this counts as so long, as in `torch.nn.functional.normalize`."""

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
def matryoshka_gradient(
    queries_BE: Tensor,
    positives_BE: Tensor,
    scale: float,
    sizes: Sequence[int],
    *,
    negatives_ME: Tensor | None = None,
    right_P2: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`info_nce_gradient`, as a mean over the full embeddings and their first entries of each smaller size.

    Args:
        queries_BE: unit embeddings.
        positives_BE: theirs.
        scale: 1 / temperature.
        sizes: entries that are kept, each below E; none for the full embeddings alone.
        negatives_ME: further wrong answers to all queries; none by default.
        right_P2: couples of a query and a negative that is not wrong for it, by their places.
    """
    texts = [queries_BE, positives_BE, *([] if negatives_ME is None else [negatives_ME])]
    loss, *gradients = info_nce_gradient(queries_BE, positives_BE, scale, negatives_ME=negatives_ME, right_P2=right_P2)
    if not sizes:
        return loss, gradients[0], gradients[1], gradients[2]
    for size in sizes:
        lengths = [text_NE[:, :size].float().norm(dim=1, keepdim=True).clamp(min=LEAST_NORM) for text_NE in texts]
        cut = [text_NE[:, :size].float() / length_N1 for text_NE, length_N1 in zip(texts, lengths, strict=True)]
        more, *slopes = info_nce_gradient(
            cut[0], cut[1], scale, negatives_ME=cut[2] if len(cut) > 2 else None, right_P2=right_P2
        )
        loss = loss + more
        for gradient_NE, slope_ND, unit_ND, length_N1 in zip(gradients, slopes, cut, lengths, strict=False):
            along_N1 = (slope_ND * unit_ND).sum(dim=1, keepdim=True)
            gradient_NE[:, :size] += (slope_ND - along_N1 * unit_ND) / length_N1
    count = 1 + len(sizes)
    queries_grad_BE, positives_grad_BE, negatives_grad_ME = (gradient / count for gradient in gradients)
    return loss / count, queries_grad_BE, positives_grad_BE, negatives_grad_ME


@torch.no_grad()
def info_nce_gradient(
    queries_BE: Tensor,
    positives_BE: Tensor,
    scale: float,
    block_rows: int | None = None,
    *,
    negatives_ME: Tensor | None = None,
    right_P2: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`info_nce`, a scalar, and its gradient with respect to queries, positives and hard negatives; in blocks of rows.

    Args:
        queries_BE: unit embeddings.
        positives_BE: theirs.
        scale: 1 / temperature.
        block_rows: rows of S that are made at a time.
        negatives_ME: further wrong answers to all queries; none by default.
        right_P2: couples of a query and a negative that is not wrong for it, by their places.

    Returns:
        The loss, and gradients (B, E), (B, E) and (M, E).
    """
    queries_BE, positives_BE = queries_BE.float(), positives_BE.float()
    negatives_ME = positives_BE[:0] if negatives_ME is None else negatives_ME.float()
    pairs, hard = len(queries_BE), len(negatives_ME)
    block_rows = block_rows or max(MIN_BLOCK_ROWS, BLOCK_SCORES // (pairs + hard))
    blocks = [slice(start, min(start + block_rows, pairs)) for start in range(0, pairs, block_rows)]

    def scores(rows: slice) -> Tensor:
        return scale * queries_BE[rows] @ positives_BE.T

    def hard_scores(rows: slice) -> Tensor:
        scores_KM = scale * queries_BE[rows] @ negatives_ME.T
        if right_P2 is not None and len(right_P2):
            query_P, negative_P = right_P2.T
            here_P = (query_P >= rows.start) & (query_P < rows.stop)
            scores_KM[query_P[here_P] - rows.start, negative_P[here_P]] = -math.inf
        return scores_KM

    whole_BB = scores(blocks[0]) if len(blocks) == 1 else None
    whole_BM = hard_scores(blocks[0]) if len(blocks) == 1 and hard else None
    row_norm_B = torch.empty(pairs, device=queries_BE.device)
    column_norm_B = torch.full((pairs,), -math.inf, device=queries_BE.device)
    for rows in blocks:
        scores_KB = scores(rows) if whole_BB is None else whole_BB
        row_norm_B[rows] = scores_KB.logsumexp(dim=1)
        if hard:
            scores_KM = hard_scores(rows) if whole_BM is None else whole_BM
            row_norm_B[rows] = torch.logaddexp(row_norm_B[rows], scores_KM.logsumexp(dim=1))
        column_norm_B = torch.logaddexp(column_norm_B, scores_KB.logsumexp(dim=0))

    diagonal_B = scale * (queries_BE * positives_BE).sum(dim=1)
    loss = ((row_norm_B + column_norm_B) / 2 - diagonal_B).mean()

    queries_grad_BE, positives_grad_BE = torch.empty_like(queries_BE), torch.zeros_like(positives_BE)
    negatives_grad_ME = torch.zeros_like(negatives_ME)
    for rows in blocks:
        scores_KB = scores(rows) if whole_BB is None else whole_BB
        slope_KB = (scores_KB - row_norm_B[rows, None]).exp_() + (scores_KB - column_norm_B).exp_()
        slope_KB.mul_(scale / (2 * pairs))
        slope_KB.diagonal(rows.start).sub_(scale / pairs)
        queries_grad_BE[rows] = slope_KB @ positives_BE
        positives_grad_BE += slope_KB.T @ queries_BE[rows]
        if hard:
            scores_KM = hard_scores(rows) if whole_BM is None else whole_BM
            slope_KM = (scores_KM - row_norm_B[rows, None]).exp_().mul_(scale / (2 * pairs))
            queries_grad_BE[rows] += slope_KM @ negatives_ME
            negatives_grad_ME += slope_KM.T @ queries_BE[rows]
    return loss, queries_grad_BE, positives_grad_BE, negatives_grad_ME
