"""Rows are the same however a split is cut into files, and changed files are found out."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.errors import PairsError
from embudget.pairs import FileInfo, Pairs, build_from, load_pairs
from embudget.pairs.shards import check_file, describe_file, pieces_for, read_rows

from .conftest import MadeSource, made_pairs

ROWS = 50
TABLE = pa.table(
    {
        "query": [f"what is {row}" for row in range(ROWS)],
        "positive": [f"{row} plus zero" for row in range(ROWS)],
        "group": [f"g{row % 7}" for row in range(ROWS)],
        "source": ["made"] * ROWS,
    }
)


def write_shards(folder: Path, cuts: list[int], row_group: int = 4) -> list[FileInfo]:
    files = []
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, ROWS], strict=True)):
        path = folder / f"train-{number:05d}-of-{len(cuts) + 1:05d}.parquet"
        pq.write_table(TABLE.slice(start, stop - start), path, row_group_size=row_group)
        files.append(describe_file(path, stop - start))
    return files


@pytest.mark.parametrize("cuts", [[], [13, 29], [20, 20]], ids=["one file", "three files", "an empty file"])
@pytest.mark.parametrize(("start", "stop"), [(0, ROWS), (0, 3), (5, 7), (11, 31), (12, 13), (48, 50), (20, 20)])
def test_rows_are_the_same_however_they_are_cut(tmp_path: Path, cuts: list[int], start: int, stop: int) -> None:
    files = write_shards(tmp_path, cuts)
    assert read_rows(tmp_path, files, {}, start, stop) == TABLE.slice(start, stop - start)


def test_only_the_row_groups_needed_are_read(tmp_path: Path) -> None:
    files = write_shards(tmp_path, [])
    path = tmp_path / files[0].name
    metadata = pq.read_metadata(path)
    column = metadata.row_group(3).column(0)  # rows 12 to 15
    data = bytearray(path.read_bytes())
    end = column.dictionary_page_offset + column.total_compressed_size
    data[column.dictionary_page_offset : end] = bytes(end - column.dictionary_page_offset)
    path.write_bytes(data)
    for start, stop in [(0, 12), (16, ROWS)]:
        assert read_rows(tmp_path, files, {}, start, stop) == TABLE.slice(start, stop - start)
    with pytest.raises(PairsError, match=r"^cannot read .*train-00000-of-00001.parquet: "):
        read_rows(tmp_path, files, {}, 11, 13)


def test_row_groups_larger_than_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embudget.pairs.shards._BATCH", 3)
    files = write_shards(tmp_path, [], row_group=ROWS)
    assert read_rows(tmp_path, files, {}, 7, 14) == TABLE.slice(7, 7)


def test_other_names_and_kinds_of_strings(tmp_path: Path) -> None:
    columns = {"anchor": TABLE["query"].cast(pa.large_string()), "reply": TABLE["positive"].dictionary_encode()}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    files = [describe_file(tmp_path / "train.parquet", ROWS)]
    found = read_rows(tmp_path, files, {"query": "anchor", "positive": "reply"}, 3, 9)
    assert found.select(["query", "positive"]) == TABLE.slice(3, 6).select(["query", "positive"])
    assert found["group"].to_pylist() == found["source"].to_pylist() == [""] * 6


def test_a_null_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"query": ["a", "b"], "positive": ["c", None]}), tmp_path / "train.parquet")
    files = [describe_file(tmp_path / "train.parquet", 2)]
    with pytest.raises(PairsError, match=r"^.*train.parquet: column 'positive' must have no nulls$"):
        read_rows(tmp_path, files, {}, 0, 2)


def test_a_file_that_has_lost_rows_is_refused(tmp_path: Path) -> None:
    (file,) = write_shards(tmp_path, [])
    pq.write_table(TABLE.slice(0, 10), tmp_path / file.name)
    with pytest.raises(PairsError, match=r"must hold 20 rows or more, got 10: it has changed since it was opened$"):
        read_rows(tmp_path, [file], {}, 5, 20)


@pytest.mark.parametrize(
    ("place", "found"),
    [(0, True), (2**19, True), (2**20 + 2**19, False), (2**20 + 2**21 - 1, True)],
    ids=["first byte", "first piece", "between pieces", "last byte"],
)
def test_a_large_file_is_hashed_by_pieces(tmp_path: Path, place: int, found: bool) -> None:
    path = tmp_path / "train.parquet"
    data = bytearray(os.urandom(3 * 2**20))
    path.write_bytes(data)
    file = describe_file(path, 1, count=2)
    assert file.pieces == 2
    assert describe_file(path, 1, count=3).pieces is None, "it fits"
    data[place] ^= 1
    path.write_bytes(data)
    if found:
        with pytest.raises(PairsError, match=r"its content is not what pairs.json says; build it again$"):
            check_file(tmp_path, file, "build it again")
    else:
        check_file(tmp_path, file, "build it again")


def test_files_of_a_split_share_its_pieces() -> None:
    assert [pieces_for(files) for files in (1, 2, 10, 32, 1000)] == [64, 32, 6, 2, 2]


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    return build_from([MadeSource(made_pairs(20, 5))], tmp_path / "pairs")


def test_a_folder_from_before_shards_opens(pairs: Pairs) -> None:
    path = pairs.folder / "pairs.json"
    data = json.loads(path.read_text())
    for split in data["splits"].values():
        (file,) = split.pop("files")
        split.update(bytes=file["bytes"], sha256=file["sha256"])
    del data["columns"]
    path.write_text(json.dumps(data))
    assert load_pairs(pairs.folder) == pairs
    (pairs.folder / "test.parquet").write_bytes(b"")
    with pytest.raises(PairsError, match=r"test.parquet is damaged: \d+ bytes expected, got 0; build the pairs again$"):
        load_pairs(pairs.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": 1}, r"splits.test: pairs must be the sum over files, \d+, got "),
        ({"files": [{"name": "../a.parquet", "pairs": 1, "bytes": 1, "sha256": ""}]}, r"splits.test.files.0.name: "),
    ],
)
def test_a_split_that_contradicts_itself_is_refused(pairs: Pairs, change: dict[str, object], message: str) -> None:
    path = pairs.folder / "pairs.json"
    data = json.loads(path.read_text())
    data["splits"]["test"] |= change
    path.write_text(json.dumps(data))
    with pytest.raises(PairsError, match=message):
        load_pairs(pairs.folder)


def test_head_and_read_are_parts_of_the_table(pairs: Pairs) -> None:
    table = pairs.table("train")
    assert pairs.head("train", 7) == table.slice(0, 7)
    assert pairs.head("train", 10**6) == table
    assert pairs.read("train", 3, 5) == table.slice(3, 2)
