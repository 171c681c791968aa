"""The yardstick by which runs are compared: the contrastive loss on fixed held-out pairs with fixed candidates.

The training loss depends on the batch size; this loss does not (arXiv 2403.18684). The first validation pairs are
compared in groups of fixed size, in float32, the same for every run of a study. Their order is random in a folder that
was built; in one that was indexed it is the user's, and should be random too. Texts that repeat within a group count
once, and a right answer is never a wrong one: see `embudget.pairs.relevance`.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from embudget.memory import CHUNK_TOKENS
from embudget.pairs import Pairs
from embudget.pairs.relevance import Relevance, ranks_of_right
from embudget.training.chunks import length_sorted_chunks
from embudget.training.loss import info_nce, info_nce_among
from embudget.training.yardstick import chance_of, groups_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

K = 10
"""nDCG looks at the first so many candidates."""


class HeldOut(NamedTuple):
    """The held-out loss, and how well each query finds its right answers among the candidates."""

    loss: float
    """Nats, mean over the pairs."""
    accuracy: float
    """Share of distinct queries with a right answer in the first place."""
    ndcg: float
    """nDCG@10: mean over distinct queries; with one right answer 1 / log2(1 + its rank) up to rank ten, else 0."""
    chance: float
    """The loss of a model that cannot tell texts apart, nats."""


def held_out(model: "SentenceTransformer", pairs: Pairs, count: int, candidates: int, scale: float) -> HeldOut:
    """Measure a model on ``count`` validation pairs, each query against ``candidates`` positives.

    `RunConfig` sees to it that ``count`` is a multiple of ``candidates``, and `Job` that there are as many pairs. A
    wrong answer that scores as high as a right one ranks before it.
    """
    table = pairs.head("validation", count)
    assert count % candidates == 0 and count == len(table)
    asked, answers = table["query"].to_pylist(), table["positive"].to_pylist()
    groups = groups_of(asked, answers, candidates)
    queries = embed(model, asked).split(candidates)
    positives = embed(model, answers).split(candidates)
    losses, firsts, gains = [], [], []
    for group, q, p in zip(groups, queries, positives, strict=True):
        if group.is_plain:
            losses.append(info_nce(q, p, scale).item())
        else:
            q, p = q[_first(group.query_R)], p[_first(group.document_R)]
            losses.append(info_nce_among(q, p, *_tensors(group, q.device), scale).item())
        is_first, gain = _hits((q @ p.T).cpu().numpy(), group)
        firsts.append(is_first)
        gains.append(gain)
    accuracy, ndcg = (torch.cat(values).mean().item() for values in (firsts, gains))
    return HeldOut(sum(losses) / len(losses), accuracy, ndcg, chance_of(groups))


def _first(place_R: np.ndarray) -> np.ndarray:
    """The first row that holds each distinct text."""
    first: np.ndarray = np.unique(place_R, return_index=True)[1]
    return first


def _tensors(group: Relevance, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    query_R, document_R, wrong_QD = map(torch.from_numpy, (group.query_R, group.document_R, group.wrong_QD))
    return query_R.to(device), document_R.to(device), wrong_QD.to(device)


def _hits(scores_QD: np.ndarray, group: Relevance) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether a right answer of each query ranks first, and its nDCG@10; in float32."""
    query_P, rank_P = (torch.from_numpy(found).long() for found in ranks_of_right(scores_QD, group, ties="last"))
    gain_P = (1 / torch.log2(1.0 + rank_P)).where(rank_P <= K, 0.0)
    gain_Q = torch.zeros(len(scores_QD)).index_add_(0, query_P, gain_P)
    first_Q = torch.zeros(len(scores_QD)).index_add_(0, query_P, rank_P.eq(1).float())
    right_Q = torch.from_numpy(group.right_QD.sum(axis=1)).clamp(max=K)
    ideal_K = (1 / torch.log2(2.0 + torch.arange(K))).cumsum(0)  # all right answers before all others
    return first_Q, gain_Q / ideal_K[right_Q - 1]


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
