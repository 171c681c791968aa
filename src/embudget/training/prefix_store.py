"""Hidden states above a frozen prefix, kept on disk so that later epochs and runs skip the prefix.

The states of a text depend on the checkpoint, the number of frozen blocks and the text alone, so that runs of other
rates, seeds or budgets share them. They are computed when a text is first seen and written in bf16 to a memory-mapped
file per block of rows (see `embudget.pairs.token_cache`); the files are sparse and take space only for texts that were
seen, 2 x hidden size bytes a token. Each text's states carry a checksum: what an interrupted process left half-written
is computed again. Fresh states are rounded as well, so that a run gives the same whatever was there before.

Files lie in `suite.loading.cache_folder()`, in `prefixes/{tokens}-{checkpoint}-{blocks}`; nothing removes them.
"""

import zlib
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from embudget.errors import RunError
from embudget.pairs.token_cache import TokenCache
from embudget.suite.loading import cache_folder, find_checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray


_OPEN = 32  # blocks mapped at a time; a window of batches has 8


class Text(NamedTuple):
    """A text of the training split."""

    row: int
    side: int
    """0 for the query, 1 for the positive."""


class _Block(NamedTuple):
    states: "NDArray[np.uint16]"
    """(tokens, H): bf16, as bits."""
    checks: "NDArray[np.uint32]"
    """(rows, 2): CRC-32 of each text's states, 0 where there are none."""
    starts: "NDArray[np.int64]"
    """(rows, 2): first token of each text."""


class PrefixStore:
    """States of the texts of one token cache above the first blocks of one checkpoint.

    Args:
        tokens: the texts.
        model: the member.
        blocks: frozen blocks.
        hidden_size: H.

    Raises:
        RunError: the cache folder cannot be written.
    """

    def __init__(self, tokens: TokenCache, model: str, blocks: int, hidden_size: int) -> None:
        self._tokens = tokens
        self._hidden_size = hidden_size
        checkpoint = sha256(find_checkpoint(model).identity.encode()).hexdigest()[:16]
        self.folder = cache_folder() / "prefixes" / f"{tokens.folder.name}-{checkpoint}-{blocks}"
        self._open: dict[int, _Block] = {}

    def load(self, texts: Sequence[Text]) -> list[Tensor] | None:
        """Each text's states, (L, H) in float32; None unless all are there and whole."""
        found = []
        for text in texts:
            block, row = self._block(text.row)
            start = block.starts[row, text.side]
            bits = np.array(block.states[start : start + self._length(text)])
            if block.checks[row, text.side] != _check(bits):
                return None
            found.append(torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).float())
        return found

    def save(self, texts: Sequence[Text], states: Sequence[Tensor]) -> None:
        """Write the states of texts, (L, H) each."""
        for text, states_LH in zip(texts, states, strict=True):
            block, row = self._block(text.row)
            bits = states_LH.to("cpu", torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
            start = block.starts[row, text.side]
            block.states[start : start + len(bits)] = bits
            block.checks[row, text.side] = _check(bits)

    def _length(self, text: Text) -> int:
        return len(self._tokens.texts([text.row])[text.side])

    def _block(self, row: int) -> tuple[_Block, int]:
        number, place = divmod(row, self._tokens.block)
        if number not in self._open:
            if len(self._open) == _OPEN:
                del self._open[next(iter(self._open))]
            self._open[number] = self._map(number)
        return self._open[number], place

    def _map(self, number: int) -> _Block:
        first = number * self._tokens.block
        rows = range(first, min(first + self._tokens.block, self._tokens.rows))
        lengths = np.array([len(text) for text in self._tokens.texts(rows)]).reshape(2, -1).T
        starts = np.concatenate([[0], np.cumsum(lengths.ravel())])
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            states = self._array(f"{number:06d}.states", np.uint16, (int(starts[-1]), self._hidden_size))
            checks = self._array(f"{number:06d}.checks", np.uint32, (len(rows), 2))
        except OSError as error:
            raise RunError(f"cannot write the states of frozen blocks to {self.folder}: {error.strerror}") from None
        return _Block(states, checks, starts[:-1].reshape(-1, 2))

    def _array(self, name: str, kind: type, shape: tuple[int, int]) -> Any:  # noqa: ANN401
        """A memory-mapped file of zeros, sparse where it was not written; one of another process is kept."""
        path = self.folder / name
        with path.open("ab") as file:
            file.truncate(max(file.tell(), int(np.prod(shape)) * np.dtype(kind).itemsize))
        return np.memmap(path, dtype=kind, mode="r+", shape=shape)


def _check(bits: "NDArray[np.uint16]") -> int:
    """Of states that were written, never 0."""
    return zlib.crc32(bits.tobytes()) or 1
