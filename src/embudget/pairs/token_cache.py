"""The training texts as token ids, tokenised once and then read from memory-mapped Arrow files by every run.

The split is cut into blocks of 16,384 rows, and a block is made when it is first asked for, so that training on
millions of pairs starts as soon as the blocks of its first window are made. Several processes may make the same block:
each writes a temporary file of its own, and the last rename wins, which does no harm since their contents are equal.

A file is an Arrow IPC stream of one batch, followed by its SHA-256. The hash is compared before Arrow looks at the
stream, because Arrow reads past the end of a file whose header is damaged. A truncated or changed block is made anew.

The k-th hard negatives of a block's pairs are a file of their own beside it, made when a run first takes k of them: so
runs with other numbers of negatives share what they have in common, and files from before there were any are valid.

The files lie in `tokens/{pairs}-{tokenizer}-{max_length}` of `embudget.cache.cache_folder()`, and nothing removes them.
With EMBUDGET_SHARED_CACHE=s3://bucket/folder a block that another machine has made is fetched from there instead.
Prompts, which are put in front of the texts, add a hash of theirs to the name. The hashes of texts, by which repeated
ones are found, are those without prompts, so that prompts change no batch.
They are uncompressed, since they could not be mapped otherwise: 1,000 pairs of 55 tokens take about 0.14 MB.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embudget.cache import cache_folder
from embudget.errors import PairsError
from embudget.files import whole_file
from embudget.pairs.folder import Pairs
from embudget.pairs.manifest import SIDES
from embudget.pairs.negatives import NEGATIVES
from embudget.pairs.token_batch import TokenBatch, batch_of, negatives_of
from embudget.remote.shared import fetch_shared, put_shared
from embudget.suite.identity import tokenizer_identity
from embudget.suite.loading import find_checkpoint, load_tokenizer
from embudget.suite.long_texts import beginning
from embudget.suite.members import split_depth
from embudget.suite.tokens import EMPTY_AS, reads_empty

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 16_384
"""Rows of a block. Tokenising one takes 0.7 s on two cores and gives 2 MB of ids."""
_OPEN = 32  # blocks that stay mapped; a window of batches needs 8
_BATCH = 1024  # texts tokenised at a time; 4,096 leave the processor's cache, and a text takes 1.6 times as long
_FORMAT = b"2"  # version of the files; part of their hash, so that those of another version are made anew
_DIGEST_BYTES = 32
_NOTHING = np.uint64(0)


class _Texts(NamedTuple):
    """The queries, the positives or the k-th negatives of a block, as views of its mapped file."""

    offsets: np.ndarray
    """Where each text begins among the ids, and the end of the last one, (rows + 1,)."""
    ids: np.ndarray
    """All texts one after the other, (tokens,)."""
    hashes: np.ndarray
    """64-bit hashes of the texts, (rows,)."""

    def text(self, row: int) -> np.ndarray:
        begin, end = self.offsets[row : row + 2]
        return self.ids[begin:end]


class TokenCache:
    """Token ids of the training split.

    They are what `embudget.suite.tokens` says of a text: with its special tokens, cut at ``max_length``, not padded.

    Args:
        pairs: the pairs.
        model: a model whose tokenizer to use; its depth does not matter.
        max_length: tokens after which a text is cut, special tokens included.
        end_token: whether each text ends with an end token, as for last-token pooling.
        negatives: hard negatives of each pair that batches hold, where it has as many.
        prompts: what is put in front of each query, and of each positive and negative, before it is tokenised.
        folder: where the files go instead of the user's cache.
        block: rows of a block.

    Raises:
        PairsError: ``max_length`` is below 1.
        ModelError: the tokenizer cannot be found.

    Example:
        >>> cache = TokenCache(load_pairs("pairs/"), "smollm2-135m", 75)
        >>> [len(ids) for ids in cache.texts([0, 1])]  # two queries, then their positives
        [16, 22, 75, 75]
    """

    def __init__(
        self, pairs: Pairs, model: str, max_length: int, *, end_token: bool = False, negatives: int = 0,
        prompts: tuple[str, str] = ("", ""), folder: Path | None = None, block: int = BLOCK,
    ) -> None:  # fmt: skip
        if max_length < 1:
            raise PairsError(f"max_length must be >= 1, got {max_length}")
        self.pairs = pairs
        self.model = split_depth(model)[0]
        self.max_length = max_length
        self.end_token = end_token
        self.negatives = negatives
        self.prompts = prompts
        self.block = block
        self.rows = pairs.rows("train")
        name = f"{pairs.hash}-{_tokenizer_key(self.model)}-{max_length}{'-end' if end_token else ''}"
        name += f"-{prompts_key(prompts)}" if any(prompts) else ""
        self.name = name if block == BLOCK else f"{name}-{block}"
        self.folder = (folder or cache_folder() / "tokens") / self.name
        self._open: OrderedDict[tuple[int, int], list[_Texts]] = OrderedDict()

    def texts(self, rows: Sequence[int]) -> list[np.ndarray]:
        """Get the token ids of some rows, tokenising their blocks if nobody has before.

        Returns:
            2B arrays for B ``rows``: first their queries, then their positives. Ids are uint16, or int32 if the
            vocabulary has more than 65,536 tokens. The arrays are views of mapped files, which stay mapped as long as a
            view lives; do not write to them.

        Raises:
            PairsError: the pairs cannot be read, or the cache cannot be written.
            ModelError: the tokenizer cannot be loaded.
        """
        places = [(self._get(row // self.block), row % self.block) for row in rows]
        return [block[side].text(row) for side in range(len(SIDES)) for block, row in places]

    def batch(self, rows: Sequence[int]) -> TokenBatch:
        """Get some rows as a batch: their queries, their positives, and as many of their negatives as the cache holds.

        Raises:
            PairsError, ModelError: see `texts`.
        """
        texts, hashes = self.texts(rows), []
        for slot in range(1, self.negatives + 1):
            for row in rows:
                (negatives,) = self._get(row // self.block, slot)
                place = row % self.block
                if negatives.hashes[place] != _NOTHING:
                    texts.append(negatives.text(place))
                    hashes.append(negatives.hashes[place])
        if not hashes:
            return TokenBatch(texts, len(rows), np.empty((0, 2), np.int64))
        return batch_of(texts, self.hashes(rows), np.array(hashes, np.uint64))

    def hashes(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Get hashes of the texts of some rows, by which a batch finds texts that occur twice in it.

        Returns:
            64-bit hashes of query and positive, (B, 2), uint64. Equal texts have equal hashes.

        Raises:
            PairsError, ModelError: see `texts`.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        found = np.empty((len(wanted), len(SIDES)), np.uint64)
        numbers = wanted // self.block
        for number in np.unique(numbers).tolist():
            here = numbers == number
            for side, texts in enumerate(self._get(number)):
                found[here, side] = texts.hashes[wanted[here] % self.block]
        return found

    def _get(self, number: int, slot: int = 0) -> list[_Texts]:
        """Both sides of a block's pairs (slot 0), or the negatives at a place of their lists, from 1."""
        key = number, slot
        block = self._open.get(key)
        if block is None:
            block = self._open[key] = self._read(number, slot) or self._get_shared(number, slot)
            if len(self._open) > _OPEN * (1 + self.negatives):
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return block

    def _path(self, number: int, slot: int) -> Path:
        return self.folder / (f"{number:06d}-negative-{slot}.arrow" if slot else f"{number:06d}.arrow")

    def _span(self, number: int) -> tuple[int, int]:
        return number * self.block, min((number + 1) * self.block, self.rows)

    def _read(self, number: int, slot: int) -> list[_Texts] | None:
        """Map a block, if its file is there and undamaged."""
        import pyarrow as pa

        try:
            with pa.memory_map(str(self._path(number, slot))) as file:
                data = file.read_buffer()
        except OSError:  # usually because nobody has made it yet
            return None
        stream = data.slice(0, max(0, data.size - _DIGEST_BYTES))
        if _digest(stream) != data.slice(stream.size).to_pybytes():
            return None
        batch = pa.ipc.open_stream(stream).read_next_batch()
        start, stop = self._span(number)
        return _views(batch) if batch.num_rows == stop - start else None

    def _get_shared(self, number: int, slot: int) -> list[_Texts]:
        """Fetch a block that another machine has made, where caches are shared; else make it, and share it."""
        path = self._path(number, slot)
        if fetch_shared(f"tokens/{self.name}/{path.name}", path) and (block := self._read(number, slot)):
            return block
        block = self._make(number, slot)
        put_shared(f"tokens/{self.name}/{path.name}", path)
        return block

    def _make(self, number: int, slot: int) -> list[_Texts]:
        """Tokenise a block, write it, and map what was written."""
        import pyarrow as pa

        columns: dict[str, Any] = {}
        for side, texts in self._sides(number, slot).items():
            prompt = self.prompts[0 if side == SIDES[0] else 1]
            columns[side] = self._tokenise([prompt + (text or "") for text in texts])
            columns[f"{side}_hash"] = pa.array(np.frombuffer(b"".join(map(_hash, texts)), "<u8"))
        batch, sink = pa.record_batch(columns), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        stream = sink.getvalue()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(self._path(number, slot)) as part, part.open("wb") as file:
                file.write(stream)
                file.write(_digest(stream))
        except OSError as error:
            raise PairsError(f"cannot write the token cache {self.folder}: {error.strerror or error}") from None
        return self._read(number, slot) or _views(batch)

    def _sides(self, number: int, slot: int) -> dict[str, list[str | None]]:
        start, stop = self._span(number)
        if slot:
            lists = negatives_of(self.pairs, start, stop)
            return {NEGATIVES: [texts[slot - 1] if slot <= len(texts) else None for texts in lists]}
        table = self.pairs.read("train", start, stop)
        return {side: table.column(side).to_pylist() for side in SIDES}

    def _tokenise(self, texts: list[str]) -> "pa.ListArray":
        import pyarrow as pa

        tokenizer, kind, reads = self._tokenizer
        texts = texts if reads else [text or EMPTY_AS for text in texts]
        if tokenizer.truncation["direction"] == "right":
            texts = [beginning(text, self.max_length, lambda part: len(tokenizer.encode(part).ids)) for text in texts]
        lengths, parts = [0], []
        for begin in range(0, len(texts), _BATCH):
            encoded = [one.ids for one in tokenizer.encode_batch_fast(texts[begin : begin + _BATCH])]
            lengths.extend(map(len, encoded))
            parts.append(np.fromiter(chain.from_iterable(encoded), kind))
        offsets = np.cumsum(lengths, dtype=np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(parts)))

    @cached_property
    def _tokenizer(self) -> tuple[Any, type[np.integer[Any]], bool]:
        """The Rust tokenizer inside transformers' one, the ids' type, and whether an empty text has a token.

        Without the wrapping it is 1.4 times as fast.
        """
        wrapped = load_tokenizer(self.model, end_token=self.end_token)
        reads = reads_empty(wrapped)
        backend = wrapped.backend_tokenizer
        backend.enable_truncation(self.max_length, direction=wrapped.truncation_side)
        backend.no_padding()
        return backend, np.uint16 if len(wrapped) <= 2**16 else np.int32, reads


def prompts_key(prompts: tuple[str, str]) -> str:
    """Name two prompts by 8 hexadecimal digits, for files whose content depends on them."""
    return hashlib.sha256(json.dumps(prompts).encode()).hexdigest()[:8]


def _tokenizer_key(name: str) -> str:
    """Name a tokenizer by 16 hexadecimal digits: by the content of its folder, or by its hub name and commit.

    The place of a folder is left out, so that a model that is moved or copied finds the ids that are there.
    """
    path, revision, _ = find_checkpoint(name)
    identity = f"{path} {revision}" if revision else tokenizer_identity(Path(path))
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _hash(text: str | None) -> bytes:
    """64 bits that tell texts apart; those of a negative that is not there are 0, which 1 text in 10^19 has too."""
    return _NOTHING.tobytes() if text is None else hashlib.blake2b(text.encode(), digest_size=8).digest()


def _digest(stream: "pa.Buffer") -> bytes:
    digest = hashlib.sha256(_FORMAT)
    digest.update(stream)
    return digest.digest()


def _views(batch: "pa.RecordBatch") -> list[_Texts]:
    sides = [name for name in batch.schema.names if not name.endswith("_hash")]
    columns = [(batch.column(side), batch.column(f"{side}_hash")) for side in sides]
    return [_Texts(ids.offsets.to_numpy(), ids.values.to_numpy(), hashes.to_numpy()) for ids, hashes in columns]
