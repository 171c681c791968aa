"""Cutting a batch of texts into chunks of similar length, so that little padding is computed.

A chunk is padded to its longest text, and each chunk costs a fixed time beside its tokens. With the texts sorted by
length, the cheapest cut into consecutive chunks minimises

    sum over chunks of  texts x longest + overhead      [tokens]

found by dynamic programming over the distinct lengths (a millisecond for the default cut at 75 tokens; 60 ms for 3,000
texts of all lengths up to 8,192, because a chunk that ends at a given length can begin at few others).
For flash attention the texts of a chunk are laid end to end instead, without any padding.

Shapes: T texts, L tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from embudget.memory import CHUNK_TOKENS

CHUNK_OVERHEAD = 48
"""assumption: fixed cost of a chunk in tokens, for the launches and for reading the weights."""

BF16_CHUNK_OVERHEAD = 144
"""The same where matrix products run in bf16. assumption: three times as many tokens, since tokens take a third to a
seventh of the time on the devices that are worth it, while launches take as long and weights half as long to read. So a
batch is cut into fewer chunks, with a little more padding."""


@dataclass
class Chunk:
    """Texts that are embedded together, padded to the longest or, flattened, laid end to end without padding."""

    texts: list[int]
    """Their positions in the batch."""
    lengths: list[int]
    """Tokens of each."""
    tokens: int
    """Tokens computed, padding included."""
    squares: int
    """Sum of the squared lengths that attention computes."""
    ids: Tensor
    """(T, L), or (1, tokens) where flattened."""
    about: dict[str, Any]
    """Further inputs of the transformer and the pooling: the mask, or where each text begins."""


def make_chunks(
    texts: Sequence[np.ndarray],
    chunk_tokens: int,
    device: torch.device,
    flatten: bool = False,
    overhead: int = CHUNK_OVERHEAD,
) -> list[Chunk]:
    """Cut tokenised texts into chunks of similar length, longest first."""
    build = _flattened if flatten else _padded
    return [
        build(positions, [texts[position] for position in positions], device)
        for positions in length_sorted_chunks([len(text) for text in texts], chunk_tokens, overhead)
    ]


def empty_chunk(device: torch.device, flatten: bool = False) -> Chunk:
    """A chunk of no text: one token, for processes that must go through the model as often as others."""
    return (_flattened if flatten else _padded)([], [np.zeros(1, dtype=np.int64)], device)


def _padded(positions: list[int], texts: list[np.ndarray], device: torch.device) -> Chunk:
    lengths = np.array([len(text) for text in texts])
    length = max(1, int(lengths.max()))
    ids_TL = np.zeros((len(texts), length), dtype=np.int64)
    mask_TL = np.arange(length) < lengths[:, None]
    ids_TL[mask_TL] = np.concatenate(texts)
    # without padding no mask is needed, and attention may use its causal kernel
    about = {} if mask_TL.all() else {"attention_mask": torch.from_numpy(mask_TL.astype(np.int64)).to(device)}
    return Chunk(
        positions, lengths.tolist(), ids_TL.size, ids_TL.size * length, torch.from_numpy(ids_TL).to(device), about
    )


def _flattened(positions: list[int], texts: list[np.ndarray], device: torch.device) -> Chunk:
    """Texts end to end, as `transformers.DataCollatorWithFlattening` lays them for variable-length attention."""
    lengths = [len(text) for text in texts]
    ends = torch.tensor([0, *np.cumsum(lengths).tolist()], dtype=torch.int32, device=device)
    length = max(lengths)
    places = np.concatenate([np.arange(size) for size in lengths])
    about = {
        "position_ids": torch.from_numpy(places)[None].to(device),
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": length,
        "max_length_k": length,
    }
    ids = torch.from_numpy(np.concatenate(texts).astype(np.int64))[None].to(device)
    return Chunk(positions, lengths, sum(lengths), sum(size * size for size in lengths), ids, about)


def length_sorted_chunks(
    lengths: Sequence[int], chunk_tokens: int = CHUNK_TOKENS, overhead: int = CHUNK_OVERHEAD
) -> list[list[int]]:
    """Positions of the texts in each chunk, longest texts first; a text longer than a chunk makes one of its own."""
    order = sorted(range(len(lengths)), key=lambda text: -lengths[text])
    groups = [list(group) for _, group in groupby(order, key=lambda text: lengths[text])]
    chunks = []
    for first, last in _cheapest_cut([(lengths[group[0]], len(group)) for group in groups], chunk_tokens, overhead):
        texts = [text for group in groups[first:last] for text in group]
        size = max(1, chunk_tokens // max(1, lengths[texts[0]]))
        chunks += [texts[start : start + size] for start in range(0, len(texts), size)]
    return chunks


def _cheapest_cut(groups: list[tuple[int, int]], chunk_tokens: int, overhead: int) -> list[tuple[int, int]]:
    """Ranges of groups, given as (length, texts) and longest first, that make up the cheapest chunks."""
    best = [0.0] + [float("inf")] * len(groups)
    cut_before = [0] * (len(groups) + 1)
    for last in range(1, len(groups) + 1):
        texts = 0
        for first in range(last - 1, -1, -1):
            if texts > overhead:  # each would be padded by a token or more: a chunk of its own is cheaper
                break
            length, count = groups[first]
            texts += count
            padded = texts * length
            cost = best[first] + padded + overhead * -(-padded // chunk_tokens)
            if cost < best[last]:
                best[last], cut_before[last] = cost, first
    ranges: list[tuple[int, int]] = []
    last = len(groups)
    while last:
        ranges.append((cut_before[last], last))
        last = cut_before[last]
    return ranges[::-1]
