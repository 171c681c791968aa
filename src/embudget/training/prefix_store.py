"""Hidden states above a frozen prefix, kept on disk so that later epochs and runs skip the prefix.

The states of a text depend on the checkpoint, the number of frozen blocks, the arithmetic (precision and attention
kernel) and the text, so that runs of other rates, seeds or budgets share them. They are computed when a text is first
seen and written in bf16 to a file per block of rows (see `embudget.pairs.token_cache`); the files are sparse and take
space only for texts that were seen, 2 x hidden size bytes a token. Each text's states carry a checksum: what an
interrupted process left half-written is computed again.

Fresh states are rounded as well: a run gives the same, bit for bit, whether it computes them or finds those that it
wrote itself. States that another run wrote come from other chunks, in which the last bits of float32 may be others, and
after rounding to bf16 a state now and then is its neighbour, up to 1 part in 128 away. So what other runs wrote may
change a run's losses by as much as rounding does. Dropout of frozen blocks, where a checkpoint brings any, is left
out.

Files lie in `suite.loading.cache_folder()`, in `prefixes/{tokens}-{checkpoint}-{blocks}-{arithmetic}`; nothing removes
them.
"""

import weakref
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from embudget.errors import RunError
from embudget.pairs.token_cache import TokenCache
from embudget.suite.loading import cache_folder, find_checkpoint
from embudget.training.attention import training_arithmetic

if TYPE_CHECKING:
    from numpy.typing import NDArray


_CHECK_WORDS = 2  # a CRC-32 in words of 16 bits
_OPEN = 32  # files open at a time; a window of batches has 8


class Text(NamedTuple):
    """A text of the training split."""

    row: int
    side: int
    """0 for the query, 1 for the positive."""


class _Block:
    """The file of a block of rows: of each text a checksum, then its states in bf16, (L, H).

    Written and read by calls, not mapped into memory: a mapping has no error for a full disk, only a signal that kills.
    """

    def __init__(self, path: Path, lengths: "NDArray[np.int64]", hidden_size: int) -> None:
        """``lengths``: tokens of each text, (rows, 2)."""
        path.touch()
        self._file = path.open("r+b", buffering=0)
        weakref.finalize(self, self._file.close)
        self._sizes = _CHECK_WORDS + lengths * hidden_size
        self._starts = (np.cumsum(self._sizes) - self._sizes.ravel()).reshape(self._sizes.shape)

    def read(self, row: int, side: int) -> "NDArray[np.uint16] | None":
        """The states of a text, as bits; None unless they are there and whole."""
        words = np.zeros(self._sizes[row, side], np.uint16)
        self._file.seek(words.itemsize * int(self._starts[row, side]))
        self._file.readinto(words.data)
        check, bits = words[:_CHECK_WORDS].view(np.uint32), words[_CHECK_WORDS:]
        return bits if check[0] and check[0] == _check(bits) else None

    def write(self, row: int, side: int, bits: "NDArray[np.uint16]") -> None:
        words = np.concatenate([np.array([_check(bits)], np.uint32).view(np.uint16), bits.ravel()])
        assert len(words) == self._sizes[row, side]
        self._file.seek(words.itemsize * int(self._starts[row, side]))
        left = words.data.cast("B")
        while left:  # a disk that fills takes a part before it refuses
            left = left[self._file.write(left) :]


class PrefixStore:
    """States of the texts of one token cache above the first blocks of one checkpoint.

    Args:
        tokens: the texts.
        model: the member.
        blocks: frozen blocks.
        hidden_size: H.
    """

    def __init__(self, tokens: TokenCache, model: str, blocks: int, hidden_size: int) -> None:
        self._tokens = tokens
        self._hidden_size = hidden_size
        checkpoint = sha256(find_checkpoint(model).identity.encode()).hexdigest()[:16]
        name = f"{tokens.folder.name}-{checkpoint}-{blocks}-{training_arithmetic()}"
        self.folder = cache_folder() / "prefixes" / name
        self._open: dict[int, _Block] = {}

    def load(self, texts: Sequence[Text]) -> list[Tensor] | None:
        """Each text's states, (L, H) in float32; None unless all are there and whole.

        Raises:
            RunError: the cache folder cannot be read or written.
        """
        found = []
        with self._refusals():
            for text in texts:
                block, row = self._block(text.row)
                bits = block.read(row, text.side)
                if bits is None:
                    return None
                states_LH = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).float()
                found.append(states_LH.view(-1, self._hidden_size))
        return found

    def save(self, texts: Sequence[Text], states: Sequence[Tensor]) -> None:
        """Write the states of texts, (L, H) each.

        Raises:
            RunError: they cannot be written, such as to a full disk.
        """
        with self._refusals():
            for text, states_LH in zip(texts, states, strict=True):
                block, row = self._block(text.row)
                bits = states_LH.to("cpu", torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
                block.write(row, text.side, bits)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(f"cannot keep the states of frozen blocks in {self.folder}: {error.strerror}") from None

    def _block(self, row: int) -> tuple[_Block, int]:
        number, place = divmod(row, self._tokens.block)
        if number not in self._open:
            if len(self._open) == _OPEN:
                del self._open[next(iter(self._open))]
            self._open[number] = self._open_block(number)
        return self._open[number], place

    def _open_block(self, number: int) -> _Block:
        first = number * self._tokens.block
        rows = range(first, min(first + self._tokens.block, self._tokens.rows))
        lengths = np.array([len(text) for text in self._tokens.texts(rows)], np.int64).reshape(2, -1).T
        self.folder.mkdir(parents=True, exist_ok=True)
        return _Block(self.folder / f"{number:06d}.states", lengths, self._hidden_size)


def _check(bits: "NDArray[np.uint16]") -> int:
    """Of states that were written, never 0."""
    return zlib.crc32(bits.tobytes()) or 1
