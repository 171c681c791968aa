"""Folders of pairs with hard negatives, made of folders without."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from embudget.pairs import Pairs, index_pairs

LISTS = pa.list_(pa.string())


def with_negatives(pairs: Pairs, folder: Path, negatives: list[list[str] | None]) -> Pairs:
    """The same pairs, with these negatives of the training pairs."""
    folder.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        table = pairs.table(split)
        if split == "train":
            table = table.append_column("negatives", pa.array(negatives, LISTS))
        pq.write_table(table, folder / f"{split}.parquet", row_group_size=500)
    return index_pairs(folder)


def some_negatives(pairs: Pairs, seed: int = 0) -> list[list[str] | None]:
    """From 0 to 3 for each training pair: positives of others, now and then its own one or its query; some null."""
    rng = random.Random(seed)
    table = pairs.table("train")
    queries, positives = table["query"].to_pylist(), table["positive"].to_pylist()
    found: list[list[str] | None] = []
    for query, positive in zip(queries, positives, strict=True):
        kinds = [rng.choice(positives) if rng.random() < 0.8 else rng.choice([query, positive]) for _ in range(3)]
        found.append(rng.choice([None, kinds[:1], kinds[:2], kinds, kinds]))
    return found
