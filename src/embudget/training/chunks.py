"""Cutting a batch of texts into chunks of similar length, so that little padding is computed.

A chunk is padded to its longest text, and each chunk costs a fixed time beside its tokens. With the texts sorted by
length, the cheapest cut into consecutive chunks minimises

    sum over chunks of  texts x longest + CHUNK_OVERHEAD      [tokens]

found by dynamic programming over the distinct lengths (75 at most for the default cut, so it takes a millisecond).
"""

from collections.abc import Sequence
from itertools import groupby

from embudget.memory import CHUNK_TOKENS

CHUNK_OVERHEAD = 48
"""assumption: fixed cost of a chunk in tokens, for the launches and for reading the weights."""


def length_sorted_chunks(lengths: Sequence[int], chunk_tokens: int = CHUNK_TOKENS) -> list[list[int]]:
    """Positions of the texts in each chunk, longest texts first.

    Args:
        lengths: tokens of each text.
        chunk_tokens: padded tokens a chunk may hold; a single longer text makes a chunk of its own.
    """
    order = sorted(range(len(lengths)), key=lambda text: -lengths[text])
    groups = [list(group) for _, group in groupby(order, key=lambda text: lengths[text])]
    chunks = []
    for first, last in _cheapest_cut([(lengths[group[0]], len(group)) for group in groups], chunk_tokens):
        texts = [text for group in groups[first:last] for text in group]
        size = max(1, chunk_tokens // max(1, lengths[texts[0]]))
        chunks += [texts[start : start + size] for start in range(0, len(texts), size)]
    return chunks


def _cheapest_cut(groups: list[tuple[int, int]], chunk_tokens: int) -> list[tuple[int, int]]:
    """Ranges of groups, given as (length, texts) and longest first, that make up the cheapest chunks."""
    best = [0.0] + [float("inf")] * len(groups)
    cut_before = [0] * (len(groups) + 1)
    for last in range(1, len(groups) + 1):
        texts = 0
        for first in range(last - 1, -1, -1):
            length, count = groups[first]
            texts += count
            padded = texts * length
            cost = best[first] + padded + CHUNK_OVERHEAD * -(-padded // chunk_tokens)
            if cost < best[last]:
                best[last], cut_before[last] = cost, first
    ranges: list[tuple[int, int]] = []
    last = len(groups)
    while last:
        ranges.append((cut_before[last], last))
        last = cut_before[last]
    return ranges[::-1]
