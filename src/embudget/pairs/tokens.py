"""How long the pairs are in the tokens of a model, from which budgets are turned into pairs and steps."""

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embudget.errors import PairsError
from embudget.pairs.folder import Pairs, read_info, write_info
from embudget.pairs.info import Quantiles, TokenStats
from embudget.suite.identity import tokenizer_identity
from embudget.suite.loading import find_checkpoint, load_tokenizer
from embudget.suite.members import local_folder, split_depth

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = 20_000
"""Training pairs measured at most."""
_PIECES = 20
"""Runs of rows that the sample of an indexed folder is made of: each is read from the start of its row group."""
_BATCH = 1000


def token_stats(pairs: Pairs, tokenizer: str, max_length: int = 75) -> TokenStats:
    """Tokens per query and positive, computed once and kept in `pairs.json` where that can be written.

    Args:
        pairs: the pairs; their training split is measured.
        tokenizer: a member's name; its depth does not matter.
        max_length: tokens after which a text is cut, special tokens included.

    Raises:
        PairsError: ``max_length`` is below 1, or the pairs cannot be read.
        ModelError: the tokenizer cannot be loaded.
    """
    if max_length < 1:
        raise PairsError(f"max_length must be >= 1, got {max_length}")
    name, _ = split_depth(tokenizer)
    folder = local_folder(name)
    # another tokenizer may come to lie in the same folder
    key = f"{name}@{max_length}" if folder is None else f"{name} {tokenizer_identity(folder)}@{max_length}"
    known = pairs.info.tokens.get(key) or read_info(pairs.folder).tokens.get(key)
    if known is not None:
        return known
    stats = _measure(pairs, load_tokenizer(name), name, max_length)
    with contextlib.suppress(OSError):  # a read-only folder: the numbers are right, only not kept
        info = read_info(pairs.folder)
        if info.hash == pairs.hash:
            write_info(pairs.folder, info.model_copy(update={"tokens": {**info.tokens, key: stats}}))
    return stats


def tokenizer_key(name: str) -> str:
    """What a tokenizer is told from others by, 16 hexadecimal digits: the content of its folder, or hub id and commit.

    Args:
        name: a member's name without depth.

    Raises:
        ModelError: it cannot be found.
    """
    path, revision, _ = find_checkpoint(name)
    identity = f"{path} {revision}" if revision else tokenizer_identity(Path(path))
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _measure(pairs: Pairs, tokenizer: Any, name: str, max_length: int) -> TokenStats:  # noqa: ANN401
    import numpy as np

    table = _sample(pairs)
    values: dict[str, Any] = {}
    for side in ("query", "positive"):
        # one token more than allowed tells the texts that are cut from those that just fit
        lengths = np.array(_lengths(tokenizer, table.column(side).to_pylist(), max_length + 1))
        cut = np.minimum(lengths, max_length)
        values[f"{side}_mean"] = float(cut.mean())
        values[f"{side}_cut"] = float((lengths > max_length).mean())
        p5, p25, p50, p75, p95 = np.quantile(cut, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()
        values[f"{side}_quantiles"] = Quantiles(p5=p5, p25=p25, p50=p50, p75=p75, p95=p95)
    return TokenStats(tokenizer=name, max_length=max_length, pairs=table.num_rows, **values)


def _sample(pairs: Pairs) -> "pa.Table":
    """The first training pairs where their order is random; evenly spaced ones of an index, whose order is the files'.

    Files of a kind may lie together there, short titles first and long passages last.
    """
    import pyarrow as pa

    rows = pairs.rows("train")
    if not pairs.info.indexed or rows <= SAMPLE:
        return pairs.head("train", SAMPLE)
    length = SAMPLE // _PIECES
    starts = [(2 * piece + 1) * rows // (2 * _PIECES) - length // 2 for piece in range(_PIECES)]
    return pa.concat_tables([pairs.read("train", start, start + length) for start in starts])


def _lengths(tokenizer: Any, texts: list[str], max_length: int) -> list[int]:  # noqa: ANN401
    lengths: list[int] = []
    for begin in range(0, len(texts), _BATCH):
        batch = tokenizer(
            texts[begin : begin + _BATCH], truncation=True, max_length=max_length, return_attention_mask=False
        )
        lengths.extend(map(len, batch["input_ids"]))
    return lengths
