"""The yardstick by which runs are compared: the contrastive loss on fixed held-out pairs with fixed candidates.

The training loss depends on the batch size; this loss does not (arXiv 2403.18684). Validation pairs, the same for every
run of a study, are compared in blocks of fixed size, in float32: which ones is said in `embudget.training.yardstick`.
Texts that repeat within a block count once, and a right answer is never a wrong one: see `embudget.pairs.relevance`.

The loss of a pair is the mean of the cross entropies of its two directions, that of a group the mean over its pairs.
The mean over groups, weighted by their pairs, is the held-out loss.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from embudget.memory import CHUNK_TOKENS
from embudget.pairs import Pairs
from embudget.pairs.relevance import Relevance, ranks_of_right
from embudget.records import GroupScore, Yardstick
from embudget.suite.long_texts import LEAST, beginning
from embudget.training.chunks import length_sorted_chunks
from embudget.training.loss import info_nce, info_nce_among
from embudget.training.yardstick import Block, blocks_of, chance_of, held_out_pairs, listed_groups

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

LEAST_SCALE, MOST_SCALE = 0.1, 1000.0
"""Between these the best scale is looked for. At 0.1 all scores are alike, and the loss is that by chance; at 1,000
only the most similar candidate counts."""
K = 10
"""nDCG looks at the first so many candidates."""
_LOSS_DIGITS, _NDCG_DIGITS = 6, 4  # places of a group's scores, so that 370 groups take some 18 kB


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
    groups: dict[str, GroupScore]
    """What was measured on the pairs of each group, by source/group."""


def held_out(
    model: "SentenceTransformer",
    pairs: Pairs,
    count: int,
    candidates: int,
    scale: float | None,
    yardstick: Yardstick = "groups",
) -> HeldOut:
    """Measure a model on ``count`` validation pairs, each query against ``candidates`` positives.

    Texts stand behind the model's own prompts, and the ``scale`` is None for that at which the loss is lowest.
    `embudget.training.job.Job` sees to it that there are as many pairs. A wrong answer that scores as high as a right
    one ranks before it.
    """
    drawn = held_out_pairs(pairs, count, yardstick)
    assert candidates <= count == len(drawn)
    blocks = blocks_of([pair.query for pair in drawn], [pair.positive for pair in drawn], candidates)
    queries = embed(model, [pair.query for pair in drawn], model.prompts.get("query"))
    positives = embed(model, [pair.positive for pair in drawn], model.prompts.get("document"))
    if scale is None:
        scale = _best_scale(queries, positives, blocks)
    measured = [_block(queries[block.pairs], positives[block.pairs], block, scale) for block in blocks]
    firsts, gains = (torch.cat(values) for values in zip(*((one.first_Q, one.gain_Q) for one in measured), strict=True))
    return HeldOut(
        sum(one.loss * block.counted for one, block in zip(measured, blocks, strict=True)) / count,
        firsts.mean().item(),
        gains.mean().item(),
        chance_of(blocks),
        _by_group(blocks, measured, listed_groups(drawn)),
    )


def _best_scale(queries: Tensor, positives: Tensor, blocks: Sequence[Block]) -> float:
    """The scale at which the held-out loss is lowest, to 0.5 %: far within what a loss shows of it."""
    from scipy.optimize import minimize_scalar

    def loss(log_scale: float) -> float:
        scale = math.exp(log_scale)
        each = [_block(queries[block.pairs], positives[block.pairs], block, scale).loss for block in blocks]
        return sum(one * block.counted for one, block in zip(each, blocks, strict=True))

    bounds = math.log(LEAST_SCALE), math.log(MOST_SCALE)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 5e-3}).x)


class _Measured(NamedTuple):
    """What a block's counted pairs R and their distinct queries Q came to."""

    loss: float
    loss_R: list[float]
    first_Q: Tensor
    gain_Q: Tensor
    query_R: np.ndarray
    """Place of each counted pair's query among those of ``gain_Q``."""


def _block(queries_RE: Tensor, positives_RE: Tensor, block: Block, scale: float) -> _Measured:
    texts = block.relevance
    if texts.is_plain:
        loss_R = _plain_losses(queries_RE, positives_RE, scale)
    else:
        queries_RE, positives_RE = queries_RE[_first(texts.query_R)], positives_RE[_first(texts.document_R)]
        loss_R = info_nce_among(queries_RE, positives_RE, *_tensors(texts, queries_RE.device), scale)
    counted_R = loss_R[block.new :]
    # the same to the last bit as in records from before losses were kept by group
    whole = texts.is_plain and block.new == 0
    loss = info_nce(queries_RE, positives_RE, scale) if whole else counted_R.mean()
    first_Q, gain_Q = _hits((queries_RE @ positives_RE.T).cpu().numpy(), texts)
    asked_Q, query_R = np.unique(texts.query_R[block.new :], return_inverse=True)
    asked = torch.from_numpy(asked_Q)
    return _Measured(loss.item(), counted_R.tolist(), first_Q[asked], gain_Q[asked], query_R)


def _plain_losses(queries_RE: Tensor, positives_RE: Tensor, scale: float) -> Tensor:
    """`info_nce` of each pair."""
    scores_RR = scale * queries_RE.float() @ positives_RE.float().T
    diagonal = torch.arange(len(scores_RR), device=scores_RR.device)
    both = [cross_entropy(scores, diagonal, reduction="none") for scores in (scores_RR, scores_RR.T)]
    return (both[0] + both[1]) / 2


def _by_group(blocks: Sequence[Block], measured: Sequence[_Measured], names: Sequence[str]) -> dict[str, GroupScore]:
    """Put together what was measured on each group.

    The nDCG is the mean over its distinct queries of each block; one that has pairs of two groups counts in both.
    """
    losses: defaultdict[str, list[float]] = defaultdict(list)
    gains: defaultdict[str, dict[tuple[int, int], float]] = defaultdict(dict)
    for number, (block, one) in enumerate(zip(blocks, measured, strict=True)):
        counted = names[block.pairs][block.new :]
        for name, loss, query in zip(counted, one.loss_R, one.query_R.tolist(), strict=True):
            losses[name].append(loss)
            gains[name][number, query] = float(one.gain_Q[query])
    return {
        name: GroupScore(
            len(losses[name]),
            round(fmean(losses[name]), _LOSS_DIGITS),
            round(min(1.0, fmean(gains[name].values())), _NDCG_DIGITS),
        )
        for name in sorted(losses)
    }


def _first(place_R: np.ndarray) -> np.ndarray:
    """The first row that holds each distinct text."""
    first: np.ndarray = np.unique(place_R, return_index=True)[1]
    return first


def _tensors(texts: Relevance, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    query_R, document_R, wrong_QD = map(torch.from_numpy, (texts.query_R, texts.document_R, texts.wrong_QD))
    return query_R.to(device), document_R.to(device), wrong_QD.to(device)


def _hits(scores_QD: np.ndarray, texts: Relevance) -> tuple[Tensor, Tensor]:
    """Whether a right answer of each query ranks first, and its nDCG@10; in float32."""
    query_P, rank_P = (torch.from_numpy(found).long() for found in ranks_of_right(scores_QD, texts, ties="last"))
    gain_P = (1 / torch.log2(1.0 + rank_P)).where(rank_P <= K, 0.0)
    gain_Q = torch.zeros(len(scores_QD)).index_add_(0, query_P, gain_P)
    first_Q = torch.zeros(len(scores_QD)).index_add_(0, query_P, rank_P.eq(1).float())
    right_Q = torch.from_numpy(texts.right_QD.sum(axis=1)).clamp(max=K)
    ideal_K = (1 / torch.log2(2.0 + torch.arange(K))).cumsum(0)  # all right answers before all others
    return first_Q, gain_Q / ideal_K[right_Q - 1]


def _beginning(model: "SentenceTransformer", text: str) -> str:
    """What a model reads of a very long text; a prompt in front leaves room for less of it."""
    length, tokenizer = model.max_seq_length, model.tokenizer
    if length is None or len(text) <= LEAST or tokenizer.truncation_side != "right":
        return text
    return beginning(text, length, lambda part: len(tokenizer(part, truncation=True, max_length=length)["input_ids"]))


@torch.no_grad()
def embed(
    model: "SentenceTransformer", texts: list[str], prompt: str | None = None, chunk_tokens: int = 4 * CHUNK_TOKENS
) -> torch.Tensor:
    """Unit embeddings of texts behind a prompt, (texts, E) in float32, computed in chunks sorted by length."""
    model.eval()
    read = model.preprocess([_beginning(model, text) for text in texts], prompt=prompt or None)
    features = {key: value.to(model.device) for key, value in read.items() if torch.is_tensor(value)}
    lengths = features["attention_mask"].sum(dim=1).tolist()
    chunks = length_sorted_chunks(lengths, chunk_tokens)
    embeddings = []
    for chunk in chunks:
        part = {key: value[chunk, : max(1, lengths[chunk[0]])] for key, value in features.items()}
        embeddings.append(torch.nn.functional.normalize(model(part)["sentence_embedding"].float(), dim=-1))
    order = torch.tensor([text for chunk in chunks for text in chunk], device=model.device).argsort()
    return torch.cat(embeddings)[order]
