"""Hard negatives for training pairs, found by an embedding model: texts it takes for answers, and that are none.

For each query the candidates are the positives of the training pairs, the most similar first. Left out are its own
positives, what repeats a text of the pair, texts that stand in a held-out pair too, and, as likely right answers that
nobody labelled, those whose similarity to the query comes within a margin of its positive's:

    negative <= positive - margin * |positive|       relative, 0.05 by default
    negative <= positive - margin                    absolute

The search is `sentence_transformers.util.mine_hard_negatives`, exact and without an index. The relative margin of 0.05
is the best of NV-Retriever (Moreira et al. 2024, arXiv 2407.15831). Validation and test pairs are never looked at for
negatives. With N parameters but the input embedding, each distinct text is embedded once, for 2N FLOP a token.
"""

import contextlib
import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embudget.errors import PairsError, first_line
from embudget.limits import MOST_NEGATIVES
from embudget.pairs import Pairs, as_pairs, load_pairs
from embudget.pairs.folder import check_replaceable, check_writable, new_folder
from embudget.pairs.manifest import INDEX, Mined, Mining, SplitInfo, write_info
from embudget.pairs.negatives import NEGATIVES, NegativeFlaw, true_negatives
from embudget.pairs.shards import describe_file
from embudget.pairs.splitting import SPLITS
from embudget.pairs.text import text_key
from embudget.remote import local_copy
from embudget.suite.embedders import load_model
from embudget.suite.identity import model_identity
from embudget.suite.loading import load_embedder, weights_of
from embudget.suite.members import pooling_for, split_depth, start_of

if TYPE_CHECKING:
    import pyarrow as pa
    from sentence_transformers import SentenceTransformer

MARGIN = 0.05
MEMBER_LENGTH = 75
"""Tokens at which a member of a suite reads a text, as runs do by default."""
_ROW_GROUP = 16_384
_SCORES = 2**26  # similarities that are held at a time, 256 MB
_KEPT = 2**29  # candidates of all queries together, 6 GB with their places


def mine_negatives(
    pairs: Pairs | str | Path,
    model: str,
    out: str | Path,
    *,
    negatives: int = 4,
    margin: float = MARGIN,
    absolute: bool = False,
    range_min: int = 0,
    range_max: int | None = None,
    max_length: int | None = None,
) -> Pairs:
    """Write the pairs to a new folder, with hard negatives of the training pairs; earlier negatives are replaced.

    The same call again opens what is there.

    Args:
        pairs: the pairs, or their folder.
        model: a folder in sentence-transformers format or its URL, or a member of a suite, which is taken as it is.
        out: the folder to write.
        negatives: of each pair at most, 1 to 64, the most similar first.
        margin: by how much a negative must be less similar to the query than its positive.
        absolute: whether ``margin`` is a difference of cosines, and not a share of the positive's.
        range_min: most similar candidates that are passed over, as likely right answers.
        range_max: candidates that are looked at; by default ten for each negative, and the query's positives.
        max_length: tokens at which texts are cut; by default what the model reads, for members 75.

    Raises:
        PairsError: a number is out of range, there is nothing to mine in, nothing was found, or ``out`` holds other
            files or cannot be written.
        ModelError: there is no such model, or it cannot be loaded.

    Example:
        >>> hard = mine_negatives("pairs/", "model/", "hard/")
        >>> hard.info.mined.negatives
        398211
    """
    pairs, out = as_pairs(pairs), Path(out)
    _check(pairs, negatives, margin, range_min, range_max)
    if max_length is not None and max_length < 1:
        raise PairsError(f"max_length must be >= 1, got {max_length}")
    folder = local_copy(model) if split_depth(model)[1] is None else Path(model)
    is_folder = (folder / "modules.json").is_file()
    asked = Mining(
        pairs=pairs.hash,
        model=model,
        weights=(model_identity(folder) if is_folder else weights_of(model)) or "",
        max_length=MEMBER_LENGTH if max_length is None and not is_folder else max_length,
        negatives=negatives,
        margin=margin,
        absolute=absolute,
        range_min=range_min,
        range_max=range_max,
    )
    check_replaceable(out, [pairs.folder, *([folder] if is_folder else [])])
    sources = pairs.info.request.sources
    request = pairs.info.request.model_copy(
        update={"mining": asked, "sources": (*sources, "mined") if sources == (INDEX,) else sources}
    )
    with contextlib.suppress(PairsError):
        there = load_pairs(out)
        if there.info.request == request:
            return there
    check_writable(out)
    embedder = _load(asked, is_folder)
    table = pairs.table("train")
    with _counting(embedder) as counted:
        found = _search(table, embedder, asked)
    lists = _kept(table, found, _held_out(pairs))
    got = sum(map(bool, lists))
    if not got:
        raise PairsError(
            f"no hard negative was found in {pairs.folder}: all candidates are right answers or within the margin of "
            f"{margin:g}; lower the margin, or look at more candidates with range_max"
        )
    tokens = counted["tokens"]
    mined = Mined(
        pairs=got, negatives=sum(map(len, lists)), tokens=tokens, flops=2.0 * forward_params(embedder) * tokens
    )
    _write(pairs, out, lists, {"request": request, "mined": mined})
    return load_pairs(out)


def _check(pairs: Pairs, negatives: int, margin: float, range_min: int, range_max: int | None) -> None:
    if not 1 <= negatives <= MOST_NEGATIVES:
        raise PairsError(f"negatives must be between 1 and {MOST_NEGATIVES}, got {negatives}")
    if not 0 <= margin <= 2:
        raise PairsError(f"margin must be between 0 and 2, got {margin:g}")
    if range_min < 0:
        raise PairsError(f"range_min must be >= 0, got {range_min}")
    if range_max is not None and range_max < range_min + negatives:
        raise PairsError(
            f"range_max must leave {negatives} candidates behind the first range_min={range_min}, got {range_max}"
        )
    if pairs.rows("train") < 2:
        raise PairsError(f"{pairs.folder} must hold training pairs to mine in, got {pairs.rows('train')}")


def _load(asked: Mining, is_folder: bool) -> "SentenceTransformer":
    if not is_folder:
        assert asked.max_length is not None
        start = start_of(asked.model)
        return load_embedder(
            asked.model,
            asked.max_length,
            pooling_for(asked.model, None),
            query_prompt=start.query_prompt,
            document_prompt=start.document_prompt,
        )
    embedder = load_model(asked.model)
    if asked.max_length is not None:
        embedder.max_seq_length = asked.max_length
    return embedder


def _search(table: "pa.Table", model: "SentenceTransformer", asked: Mining) -> dict[tuple[str, str], list[str]]:
    """The candidates of each (query, positive), the most similar first.

    Raises:
        PairsError: one query has so many positives that they do not fit into the memory.
    """
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    queries, positives = (table.column(side).to_pylist() for side in ("query", "positive"))
    distinct = list(dict.fromkeys(zip(queries, positives, strict=True)))
    counts = Counter(query for query, _ in distinct)
    query, most = counts.most_common(1)[0]
    looked_at = asked.range_max or asked.range_min + 10 * asked.negatives + most
    if len(counts) * (looked_at + most) > _KEPT:
        raise PairsError(
            f"{len(counts):,} queries with up to {looked_at + most:,} candidates each are too many to mine at once: "
            f"lower range_max, or leave out queries with many positives ({query[:60]!r} has {most:,})"
        )
    silent = io.StringIO()  # the library's progress bars
    with contextlib.redirect_stderr(silent):
        try:
            mined = mine_hard_negatives(
                Dataset.from_dict({"query": [q for q, _ in distinct], "positive": [p for _, p in distinct]}),
                model,
                num_negatives=asked.negatives,
                range_min=asked.range_min,
                range_max=looked_at,
                absolute_margin=asked.margin if asked.absolute else None,
                relative_margin=None if asked.absolute else asked.margin,
                output_format="labeled-list",
                faiss_batch_size=max(1, _SCORES // len(set(positives))),
                verbose=False,
            )
        except ValueError as error:
            raise PairsError(f"cannot mine negatives: {first_line(error)}") from None
    return {(row["query"], row["positive"][0]): row["positive"][1:] for row in mined}


def _held_out(pairs: Pairs) -> set[str]:
    """What the texts of validation and test pairs are compared by."""
    tables = [pairs.table(split) for split in SPLITS if split != "train"]
    columns = [table.column(side).to_pylist() for table in tables for side in ("query", "positive")]
    return {text_key(text) for texts in columns for text in texts}


def _kept(table: "pa.Table", found: dict[tuple[str, str], list[str]], held_out: set[str]) -> list[list[str]]:
    """The candidates of each training pair that are wrong for it, by what texts are compared by."""
    rows = list(zip(table.column("query").to_pylist(), table.column("positive").to_pylist(), strict=True))
    keys = [(text_key(query), text_key(positive)) for query, positive in rows]
    known = set(keys)
    dropped: Counter[NegativeFlaw] = Counter()
    return [
        [
            text
            for text in true_negatives(
                found.get(row, []), key, text_key, lambda query, text: (query, text) in known, dropped
            )
            if text_key(text) not in held_out
        ]
        for row, key in zip(rows, keys, strict=True)
    ]


def _write(pairs: Pairs, out: Path, lists: list[list[str]], update: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest = hashlib.sha256(pairs.hash.encode())
    for texts in lists:
        digest.update("\x1f".join(texts).encode() + b"\x1e")
    splits: dict[str, SplitInfo] = {}
    with new_folder(out) as part:
        for split in SPLITS:
            table = pairs.table(split)
            if NEGATIVES in table.column_names:
                table = table.drop_columns([NEGATIVES])
            if split == "train":
                table = table.append_column(NEGATIVES, pa.array(lists, pa.list_(pa.string())))
            path = part / f"{split}.parquet"
            pq.write_table(table, path, compression="zstd", row_group_size=_ROW_GROUP)
            groups = pairs.info.splits[split].groups
            splits[split] = SplitInfo(pairs=table.num_rows, groups=groups, files=(describe_file(path, table.num_rows),))
        fresh = {"hash": digest.hexdigest()[:16], "splits": splits, "columns": {}, "tokens": {}}
        write_info(part, pairs.info.model_copy(update=fresh | {"negatives": (NEGATIVES,)} | update))


@contextlib.contextmanager
def _counting(model: "SentenceTransformer") -> Iterator[Counter[str]]:
    """Count the tokens that go through a model under "tokens", padding left out."""
    counted: Counter[str] = Counter()

    def count(module: Any, inputs: tuple[Any, ...]) -> None:  # noqa: ANN401 - as torch calls it
        features = inputs[0]
        mask = features.get("attention_mask")
        counted["tokens"] += int(features["input_ids"].numel() if mask is None else mask.sum())

    hook = model[0].register_forward_pre_hook(count)
    try:
        yield counted
    finally:
        hook.remove()


def forward_params(model: "SentenceTransformer") -> int:
    """N of any sentence-transformers model: its parameters without the input embedding."""
    total = sum(parameter.numel() for parameter in model.parameters())
    inner: Any = getattr(model[0], "model", None)
    if not hasattr(inner, "get_input_embeddings"):
        return int(total)
    return int(total - inner.get_input_embeddings().weight.numel())
