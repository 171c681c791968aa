"""The yardstick by which runs are compared: the contrastive loss on fixed held-out pairs with fixed candidates.

The training loss depends on the batch size; this loss does not (arXiv 2403.18684). The first validation pairs are
compared in groups of fixed size, in float32, the same for every run of a study. Their order is random in a folder that
was built; in one that was indexed it is the user's, and should be random too.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch

from embudget.memory import CHUNK_TOKENS
from embudget.pairs import Pairs
from embudget.training.chunks import length_sorted_chunks
from embudget.training.loss import info_nce

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class HeldOut(NamedTuple):
    """The held-out loss, and how well each query finds its own positive among the candidates."""

    loss: float
    """Nats."""
    accuracy: float
    """Share of queries whose positive ranks first."""
    ndcg: float
    """nDCG@10: mean of 1 / log2(1 + rank of the positive) where it is among the first ten, else 0."""


def held_out(model: "SentenceTransformer", pairs: Pairs, count: int, candidates: int, scale: float) -> HeldOut:
    """Measure a model on ``count`` validation pairs, each query against ``candidates`` positives.

    `RunConfig` sees to it that ``count`` is a multiple of ``candidates``, and `Job` that there are as many pairs.
    """
    table = pairs.head("validation", count)
    assert count % candidates == 0 and count == len(table)
    queries = embed(model, table["query"].to_pylist()).split(candidates)
    positives = embed(model, table["positive"].to_pylist()).split(candidates)
    groups = list(zip(queries, positives, strict=True))
    losses = [info_nce(q, p, scale).item() for q, p in groups]
    ranks = torch.cat([ranks_of_own(q @ p.T) for q, p in groups])
    gains = (1 / torch.log2(1.0 + ranks)).where(ranks <= 10, 0.0)
    return HeldOut(sum(losses) / len(losses), ranks.eq(1).float().mean().item(), gains.mean().item())


def ranks_of_own(scores_QP: torch.Tensor) -> torch.Tensor:
    """Rank, from 1, of each query's own positive, which stands on the diagonal and behind all of equal score."""
    own_Q = scores_QP.diagonal()[:, None]
    return (scores_QP >= own_Q).sum(dim=1)


@torch.inference_mode()
def embed(model: "SentenceTransformer", texts: list[str], chunk_tokens: int = 4 * CHUNK_TOKENS) -> torch.Tensor:
    """Unit embeddings of texts, (texts, E) in float32, computed in chunks sorted by length."""
    model.eval()
    features = {key: value.to(model.device) for key, value in model.preprocess(texts).items() if torch.is_tensor(value)}
    lengths = features["attention_mask"].sum(dim=1).tolist()
    chunks = length_sorted_chunks(lengths, chunk_tokens)
    embeddings = []
    for chunk in chunks:
        part = {key: value[chunk, : max(1, lengths[chunk[0]])] for key, value in features.items()}
        embeddings.append(torch.nn.functional.normalize(model(part)["sentence_embedding"].float(), dim=-1))
    order = torch.tensor([text for chunk in chunks for text in chunk], device=model.device).argsort()
    return torch.cat(embeddings)[order]
