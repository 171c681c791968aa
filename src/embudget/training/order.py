"""The order of the training batches: deterministic, without a repeated text in a batch, resumable, in bounded memory.

A split of up to 131,072 rows is permuted as a whole in each epoch. A larger one is cut into blocks of 16,384 rows, the
blocks are permuted, each 8 consecutive ones make a window, and the rows of a window are permuted: only the current
window is in memory, and only its texts need to have been tokenised.

Within a window rows are drawn as `NoDuplicatesBatchSampler` of sentence-transformers 6 draws them: a row whose query or
positive occurs in the batch, on either side, waits for a later batch. Where one window holds the split, the batches of
an epoch are exactly those of ``NoDuplicatesBatchSampler(dataset, batch_size, drop_last=True,
generator=torch.Generator(), seed=seed)`` after ``set_epoch(epoch)``, which is what its trainer uses, with one
difference: where texts repeat so often that a pass gives fewer batches than rows / batch size, that sampler draws rows
a second time in the epoch to reach the number, and this order does not.

Rows that a window leaves over come first in the next one; those that the last window leaves over are not seen in this
epoch. Texts are compared by 64-bit hashes. Among 10^9 texts two different ones share a hash with a probability of 3 %,
which does no more than keep these two out of one batch.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Self

import numpy as np
import torch

from embudget.pairs.splitting import order_key
from embudget.pairs.token_cache import BLOCK, TokenCache

WINDOW = 8 * BLOCK
"""Rows that are permuted together."""


class BatchOrder:
    """An iterator over batches, each a list of ``batch_size`` rows of the training split, for ``max_epochs`` epochs.

    Every process of a run computes the same batches and takes its share of each. The rows of a ``block`` stay in one
    window; those of a ``window``, whose size is a multiple of the block's, are permuted together.
    """

    def __init__(
        self,
        source: TokenCache,
        batch_size: int,
        seed: int,
        max_epochs: int,
        *,
        block: int = BLOCK,
        window: int = WINDOW,
    ) -> None:
        assert batch_size >= 1 and window % block == 0
        self._source = source
        self._batch_size = batch_size
        self._seed = seed
        self._max_epochs = max_epochs
        self._block = block
        self._window_rows = window
        self._windows = -(-source.rows // window)
        self._epoch = self._window = self._batches = 0
        self._carried: list[int] = []
        self._draws: _Draws | None = None

    def __iter__(self) -> Iterator[list[int]]:
        return self

    def __next__(self) -> list[int]:
        while self._epoch < self._max_epochs and self._windows:
            if self._draws is None:
                self._draws = self._open()
            batch = self._draws.batch()
            if batch is not None:
                self._batches += 1
                return batch
            self._next_window(self._draws.left)
        raise StopIteration

    @property
    def state(self) -> dict[str, Any]:
        """The position behind the last batch, as JSON can hold it: some 100 kB at most, with large batches."""
        return {
            "epoch": self._epoch,
            "window": self._window,
            "carried": list(self._carried),
            "batches": self._batches,
        }

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Go to a position, so that its next batches come; this takes the work of one window at most.

        Args:
            state: a position that `state` gave in an order with the same arguments.
        """
        self._epoch, self._window, self._carried = state["epoch"], state["window"], list(state["carried"])
        self._draws, self._batches = None, 0
        for _ in range(state["batches"]):
            next(self)
        return self

    def _open(self) -> "_Draws":
        rows = np.concatenate([np.array(self._carried, np.int64), self._permuted()])
        last = self._window == self._windows - 1
        return _Draws(rows, self._source.hashes(rows), self._batch_size, last)

    def _permuted(self) -> np.ndarray:
        """The rows of the current window."""
        count, of_epoch = self._source.rows, self._seed + self._epoch
        if self._windows == 1:
            return _permutation(count, of_epoch)
        a_window = self._window_rows // self._block
        blocks = _permutation(-(-count // self._block), of_epoch)
        chosen = blocks[self._window * a_window : (self._window + 1) * a_window] * self._block
        rows = np.concatenate([np.arange(start, min(start + self._block, count)) for start in chosen.tolist()])
        key = order_key(self._seed, "window", str(self._epoch), str(self._window))
        shuffled: np.ndarray = rows[_permutation(len(rows), int.from_bytes(key[:8], "little"))]
        return shuffled

    def _next_window(self, left: list[int]) -> None:
        # no more than a block or a batch: a text that most rows share would let the state grow without end
        self._carried = left[: max(self._block, self._batch_size)]
        self._draws, self._batches = None, 0
        self._window += 1
        if self._window >= self._windows:
            self._epoch, self._window, self._carried = self._epoch + 1, 0, []


class _Draws:
    """The batches of one window."""

    def __init__(self, rows: np.ndarray, hashes: np.ndarray, batch_size: int, last: bool) -> None:
        self._fresh = zip(rows.tolist(), hashes.tolist(), strict=True)
        self._waiting: list[tuple[int, list[int]]] = []
        self._batch_size = batch_size
        self._last = last
        self.left: list[int] = []
        """Rows for the next window, once there are no more batches."""

    def batch(self) -> list[int] | None:
        """The next batch; None if what is left gives none."""
        while True:
            batch, seen, passed = self._draw()
            if len(batch) == self._batch_size:
                return batch
            if not self._last:
                self.left = seen
                return None
            # as the sampler does: the rows of an incomplete batch are dropped, those that met a text in it go on
            self._waiting = passed
            if not passed:
                return None

    def _draw(self) -> tuple[list[int], list[int], list[tuple[int, list[int]]]]:
        """The rows of a batch, those looked at, and those passed over, each in the order of the window."""
        batch: list[int] = []
        looked_at: list[int] = []
        passed: list[tuple[int, list[int]]] = []
        texts: set[int] = set()
        waiting = iter(self._waiting)
        for row, hashes in chain(waiting, self._fresh):
            looked_at.append(row)
            if not texts.isdisjoint(hashes):
                passed.append((row, hashes))
                continue
            batch.append(row)
            if len(batch) == self._batch_size:
                self._waiting = [*passed, *waiting]
                break
            texts.update(hashes)
        return batch, looked_at, passed


def _permutation(count: int, seed: int) -> np.ndarray:
    """Permute as the sampler does: in int32 where that suffices, because the type decides what the generator draws."""
    kind = torch.int32 if count <= np.iinfo(np.int32).max else torch.int64
    generator = torch.Generator().manual_seed(seed)
    order: np.ndarray = torch.randperm(count, generator=generator, dtype=kind).numpy().astype(np.int64)
    return order
