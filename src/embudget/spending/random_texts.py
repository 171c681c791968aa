"""Texts of random ids, as long as the pairs are: what a probe trains on, so that nothing has to be tokenised."""

from collections.abc import Sequence

import numpy as np

from embudget.pairs.manifest import TokenStats
from embudget.pairs.token_batch import TokenBatch


class RandomTexts:
    """Takes the place of the tokenised pairs: as long as these, and with frequent and rare ids as texts have them.

    The id of rank r is about as frequent as 1 / r (Zipf), so that as many rows of the embedding occur as in texts.
    """

    def __init__(self, vocab: int, lengths: TokenStats, max_length: int) -> None:
        self.rows = 2**16
        self._vocab, self._lengths, self._most = vocab, lengths, max_length

    def hashes(self, rows: np.ndarray) -> np.ndarray:
        """No two texts are the same."""
        return np.stack([2 * rows, 2 * rows + 1], axis=1).astype(np.uint64)

    def batch(self, rows: Sequence[int]) -> TokenBatch:
        """Queries and positives of some rows."""
        rng = np.random.default_rng(rows)
        sides = (
            (self._lengths.query_mean, self._lengths.query_quantiles),
            (self._lengths.positive_mean, self._lengths.positive_quantiles),
        )
        texts = [
            self._text(rng, mean, tuple(quantiles.model_dump().values())) for mean, quantiles in sides for _ in rows
        ]
        return TokenBatch(texts, len(rows), np.zeros((0, 2), dtype=np.int64))

    def _text(self, rng: np.random.Generator, mean: float, quantiles: tuple[float, ...]) -> np.ndarray:
        at = np.interp(rng.random(), (0.05, 0.25, 0.5, 0.75, 0.95), quantiles)
        length = int(np.clip(round(at), 1, self._most)) if quantiles[-1] else max(1, round(mean))
        return np.floor(self._vocab ** rng.random(length) - 1e-9).astype(np.int64).clip(0, self._vocab - 1)
