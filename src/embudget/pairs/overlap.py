"""Whether held-out pairs are in the training split as well, in bounded memory.

A held-out query that was trained on says nothing of other queries, whatever its positive. Queries are compared by
`embudget.pairs.text.text_key`, of which only 64-bit hashes are kept: 8 bytes for each held-out pair. A hit is confirmed
by the texts themselves. The queries of all splits are read once, which takes some 3 s for a million.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import PairsError, first_line
from embudget.pairs.layouts import shown
from embudget.pairs.splitting import SPLITS, Split
from embudget.pairs.text import text_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROWS = 8192  # decoded at a time, so that a file with one huge row group needs no more memory than others
_CONFIRMED = 1000  # texts that are kept to confirm hits; one is enough to refuse


def check_held_out(paths: Mapping[Split, Sequence[Path]], query: str) -> None:
    """Refuse splits of which one that is held out has a query of the training split.

    Args:
        paths: the Parquet files of each split.
        query: the column of the queries, strings without nulls.

    Raises:
        PairsError: the first such row, and how many there are in its split; or a file cannot be read.
    """
    import numpy as np

    held_out: dict[Split, NDArray[np.uint64]] = {
        split: np.unique(np.concatenate([_hashes(keys) for _, _, keys in _batches(paths[split], query)]))
        for split in SPLITS
        if split != "train" and paths[split]
    }
    hits: dict[Split, dict[int, str]] = {split: {} for split in held_out}
    for _, _, keys in _batches(paths["train"], query):
        hashes = _hashes(keys)
        for split, wanted in held_out.items():
            for at in np.flatnonzero(np.isin(hashes, wanted)).tolist():
                if len(hits[split]) < _CONFIRMED:
                    hits[split][int(hashes[at])] = keys[at]
    for split, texts in hits.items():
        if texts:
            _confirm(split, paths[split], query, texts)


def _confirm(split: Split, paths: Sequence[Path], query: str, texts: Mapping[int, str]) -> None:
    """Look the hits up among the held-out rows, and refuse the first one whose text is the same."""
    first, count = "", 0
    for path, start, keys in _batches(paths, query):
        for at, (key, found) in enumerate(zip(keys, _hashes(keys).tolist(), strict=True)):
            if texts.get(found) == key:
                count += 1
                first = first or f"{path.name} row {start + at + 1} ({shown(key)!r})"
    if count:
        at_least = "at least " if len(texts) == _CONFIRMED else ""
        raise PairsError(
            f"{split} queries must not be in train: {first} is, {at_least}{count:,} in all; take them out of one, or "
            "let embudget pairs build make the splits"
        )


def _batches(paths: Sequence[Path], query: str) -> Iterator[tuple[Path, int, list[str]]]:
    """Read what the queries are compared by: the file, the first row, and up to 8,192 keys."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in paths:
        start = 0
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_ROWS, columns=[query]):
                    keys = [text_key(text or "") for text in batch.column(0).to_pylist()]
                    yield path, start, keys
                    start += len(keys)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise PairsError(f"cannot read {path}: {first_line(error)}") from None


def _hashes(keys: Sequence[str]) -> "NDArray[np.uint64]":
    import numpy as np

    digests = (hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys)
    return np.frombuffer(b"".join(digests), "<u8")
