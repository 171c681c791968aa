"""The column of hard negatives, as files may hold it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.errors import PairsError
from embudget.pairs import Pairs, index_pairs, token_stats
from embudget.pairs.token_batch import check_negatives, negatives_of
from embudget.suite.loading import load_tokenizer
from tests.hard_negatives import with_negatives


def folder_with(tmp_path: Path, column: pa.Array | None, parts: int = 1) -> Pairs:
    """Six training pairs with a column of negatives, in so many files."""
    rows = {"query": [f"question {row}" for row in range(6)], "positive": [f"answer {row}" for row in range(6)]}
    table = pa.table(rows if column is None else rows | {"negatives": column})
    tmp_path.mkdir(exist_ok=True)
    for part in range(parts):
        name = "train" if parts == 1 else f"train-{part}-of-{parts}"
        pq.write_table(table.slice(6 // parts * part, 6 // parts), tmp_path / f"{name}.parquet")
    pq.write_table(pa.table({"query": ["q a", "q b"], "positive": ["p a", "p b"]}), tmp_path / "validation.parquet")
    return index_pairs(tmp_path)


LISTS = [["a", "b"], None, [], ["c", None, "", "d"], ["e"], ["f", "g", "h"]]
CLEAN = [["a", "b"], [], [], ["c", "d"], ["e"], ["f", "g", "h"]]


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.large_string())])
def test_lists_are_read_without_nulls_and_empty_texts(tmp_path: Path, kind: pa.DataType, parts: int) -> None:
    pairs = folder_with(tmp_path, pa.array(LISTS, kind), parts)
    assert negatives_of(pairs, 0, 6) == CLEAN
    assert negatives_of(pairs, 2, 5) == CLEAN[2:5]
    check_negatives(pairs, 2)


@pytest.mark.parametrize(
    "column",
    [None, pa.nulls(6), pa.array([None] * 6, pa.list_(pa.string())), pa.array([[]] * 6, pa.list_(pa.string()))],
)
def test_pairs_without_any_are_refused_where_a_run_wants_some(tmp_path: Path, column: pa.Array | None) -> None:
    pairs = folder_with(tmp_path, column)
    check_negatives(pairs, 0)
    with pytest.raises(PairsError) as raised:
        check_negatives(pairs, 4)
    assert str(raised.value) == (
        f"negatives=4 needs training pairs with hard negatives, and {tmp_path} has none: make them with "
        f"`embudget pairs mine {tmp_path} --model MODEL --out DIR`, or train with negatives=0"
    )


def test_a_file_that_has_lost_rows_is_refused(tmp_path: Path) -> None:
    pairs = folder_with(tmp_path, pa.array(LISTS, pa.list_(pa.string())))
    table = pq.read_table(tmp_path / "train.parquet")
    pq.write_table(table.slice(0, 3), tmp_path / "train.parquet")
    with pytest.raises(PairsError, match="must hold 6 rows or more, got 3"):
        negatives_of(pairs, 0, 6)


def test_their_tokens_count_in_the_length_of_a_pair(tiny_pairs: Pairs, tiny_llama: Path, tmp_path: Path) -> None:
    texts = tiny_pairs.head("train", 30)["positive"].to_pylist()
    lists: list[list[str] | None] = [texts[:3] if row % 2 else None for row in range(tiny_pairs.rows("train"))]
    pairs = with_negatives(tiny_pairs, tmp_path / "hard", lists)
    none, two = (token_stats(pairs, str(tiny_llama), 20, negatives=k) for k in (0, 2))
    tokenizer = load_tokenizer(str(tiny_llama))
    lengths = [len(tokenizer(text, truncation=True, max_length=20)["input_ids"]) for text in texts[:2]]
    share = pairs.rows("train") // 2 / pairs.rows("train")
    assert two.tokens_per_pair - none.tokens_per_pair == pytest.approx(sum(lengths) * share)
    assert (none.negatives, none.negatives_mean, two.negatives) == (0, 0.0, 2)
    assert token_stats(pairs, str(tiny_llama), 20, negatives=2) == two, "kept apart from those without"
    assert token_stats(pairs, str(tiny_llama), 20) == none
