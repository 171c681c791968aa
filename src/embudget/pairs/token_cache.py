"""The training texts as token ids: made once ahead of training, then read from memory-mapped Arrow files.

The split is cut into blocks of 16,384 rows, and a block is made when it is first asked for: training on millions of
pairs starts after the blocks of its first window. Several processes may make the same block: each writes its own
temporary file, and the last rename stays, of equal content. A file is an Arrow IPC stream of one batch and then its
SHA-256, which is compared before Arrow looks at it, since Arrow reads past the end of a file whose header is damaged; a
truncated or changed one is made anew.

Files lie in `suite.loading.cache_folder()`, in `tokens/{pairs}-{tokenizer}-{max_length}`; nothing removes them.
Uncompressed, as they have to be to be mapped, 1,000 pairs of 55 tokens take about 0.14 MB.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embudget.errors import PairsError
from embudget.files import whole_file
from embudget.pairs.folder import Pairs
from embudget.pairs.info import SIDES
from embudget.pairs.tokens import tokenizer_key
from embudget.suite.loading import cache_folder, load_tokenizer
from embudget.suite.members import split_depth

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 16_384
"""Rows of a block: 0.7 s of tokenising on two cores, 2 MB of ids."""
_OPEN = 32  # blocks mapped at a time; a window of batches has 8
_BATCH = 1024  # texts tokenised at a time; 4,096 take 1.6 times as long a text, for want of processor cache
_FORMAT = b"1"
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class _Block:
    """Views of a mapped file."""

    offsets: tuple[np.ndarray, np.ndarray]
    """Of queries and positives: where each text begins, (rows + 1,)."""
    ids: tuple[np.ndarray, np.ndarray]
    hashes: tuple[np.ndarray, np.ndarray]

    def text(self, side: int, row: int) -> np.ndarray:
        begin, end = self.offsets[side][row : row + 2]
        return self.ids[side][begin:end]


class TokenCache:
    """Token ids of the training split, as the bare tokenizer gives them: its special tokens included, then cut.

    Args:
        pairs: the pairs.
        model: a member whose tokenizer to use; its depth does not matter.
        max_length: tokens after which a text is cut, special tokens included.
        folder: where the files go, instead of the user's cache.
        block: rows of a block.

    Raises:
        PairsError: ``max_length`` is below 1.
        ModelError: the tokenizer cannot be found.
    """

    def __init__(
        self, pairs: Pairs, model: str, max_length: int, *, folder: Path | None = None, block: int = BLOCK
    ) -> None:
        if max_length < 1:
            raise PairsError(f"max_length must be >= 1, got {max_length}")
        self.pairs = pairs
        self.model = split_depth(model)[0]
        self.max_length = max_length
        self.block = block
        self.rows = pairs.rows("train")
        name = f"{pairs.hash}-{tokenizer_key(self.model)}-{max_length}"
        self.folder = (folder or cache_folder() / "tokens") / (name if block == BLOCK else f"{name}-{block}")
        self._open: OrderedDict[int, _Block] = OrderedDict()

    def texts(self, rows: Sequence[int]) -> list[np.ndarray]:
        """Token ids of the queries of ``rows``, then of their positives: 2B arrays, uint16 or int32, not to be written.

        They are views of mapped files, which stay mapped as long as a view lives.

        Raises:
            PairsError: the pairs cannot be read, or the cache cannot be written.
            ModelError: the tokenizer cannot be loaded.
        """
        places = [(self._get(row // self.block), row % self.block) for row in rows]
        return [block.text(side, row) for side in range(len(SIDES)) for block, row in places]

    def hashes(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """64-bit hashes of the texts of ``rows``: query and positive, (B, 2), uint64. Equal texts have equal hashes.

        Raises:
            PairsError, ModelError: see `texts`.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        found = np.empty((len(wanted), len(SIDES)), np.uint64)
        numbers = wanted // self.block
        for number in np.unique(numbers).tolist():
            here = numbers == number
            for side, values in enumerate(self._get(number).hashes):
                found[here, side] = values[wanted[here] % self.block]
        return found

    def _get(self, number: int) -> _Block:
        block = self._open.get(number)
        if block is None:
            block = self._open[number] = self._read(number) or self._make(number)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return block

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.arrow"

    def _span(self, number: int) -> tuple[int, int]:
        return number * self.block, min((number + 1) * self.block, self.rows)

    def _read(self, number: int) -> _Block | None:
        """The block if it is there and whole."""
        import pyarrow as pa

        try:
            with pa.memory_map(str(self._path(number))) as file:
                data = file.read_buffer()
        except OSError:  # not there, most of the time
            return None
        stream = data.slice(0, max(0, data.size - _DIGEST_BYTES))
        if _digest(stream) != data.slice(stream.size).to_pybytes():
            return None
        batch = pa.ipc.open_stream(stream).read_next_batch()
        start, stop = self._span(number)
        return _views(batch) if batch.num_rows == stop - start else None

    def _make(self, number: int) -> _Block:
        """Tokenise a block, write it, and map what was written."""
        import pyarrow as pa

        table = self.pairs.read("train", *self._span(number))
        columns: dict[str, Any] = {}
        for side in SIDES:
            texts = table.column(side).to_pylist()
            columns[side] = self._tokenise(texts)
            digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
            columns[f"{side}_hash"] = pa.array(np.frombuffer(b"".join(digests), "<u8"))
        batch, sink = pa.record_batch(columns), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        stream = sink.getvalue()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(self._path(number)) as part, part.open("wb") as file:
                file.write(stream)
                file.write(_digest(stream))
        except OSError as error:
            raise PairsError(f"cannot write the token cache {self.folder}: {error.strerror or error}") from None
        return self._read(number) or _views(batch)

    def _tokenise(self, texts: list[str]) -> "pa.ListArray":
        import pyarrow as pa

        kind = np.uint16 if len(self._tokenizer) <= 2**16 else np.int32
        lengths, parts = [0], []
        for begin in range(0, len(texts), _BATCH):
            encoded = [one.ids for one in self._backend.encode_batch_fast(texts[begin : begin + _BATCH])]
            lengths.extend(map(len, encoded))
            parts.append(np.fromiter(chain.from_iterable(encoded), kind))
        offsets = np.cumsum(lengths, dtype=np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(parts)))

    @cached_property
    def _tokenizer(self) -> Any:  # noqa: ANN401 - transformers is untyped
        return load_tokenizer(self.model)

    @cached_property
    def _backend(self) -> Any:  # noqa: ANN401 - tokenizers is untyped
        """What transformers calls: 1.4 times as fast without its wrapping."""
        backend = self._tokenizer.backend_tokenizer
        backend.enable_truncation(self.max_length, direction=self._tokenizer.truncation_side)
        backend.no_padding()
        return backend


def _digest(stream: "pa.Buffer") -> bytes:
    digest = hashlib.sha256(_FORMAT)
    digest.update(stream)
    return digest.digest()


def _views(batch: "pa.RecordBatch") -> _Block:
    query, positive = (batch.column(side) for side in SIDES)
    return _Block(
        offsets=(query.offsets.to_numpy(), positive.offsets.to_numpy()),
        ids=(query.values.to_numpy(), positive.values.to_numpy()),
        hashes=(batch.column("query_hash").to_numpy(), batch.column("positive_hash").to_numpy()),
    )
