"""Equal pairs are read from every format, and a file that breaks a rule is refused with its line."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair
from embudget.pairs.formats import read_pairs

EXPECTED = [RawPair("how, exactly?", "like\nthat", None), RawPair("où", "là", None)]


def write_pairs(path: Path) -> Path:
    records = [{"question": pair.query, "answer": pair.positive, "id": n} for n, pair in enumerate(EXPECTED)]
    if path.suffix == ".jsonl":
        path.write_text("\n\n".join(json.dumps(record) for record in records), encoding="utf-8-sig")
    elif path.suffix == ".csv":
        path.write_text('id,question,answer\n0,"how, exactly?","like\nthat"\n\n1,où,là\n', encoding="utf-8")
    elif path.suffix == ".tsv":
        path.write_text('question\tanswer\r\nhow, exactly?\t"like\nthat"\r\noù\tlà\r\n', encoding="utf-8", newline="")
    else:
        pq.write_table(pa.Table.from_pylist(records), path)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    assert list(read_pairs(write_pairs(tmp_path / f"data{suffix}"), None)) == EXPECTED


def test_named_columns_and_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"q": "x", "p": "y", "group": 7}\n{"q": "v", "p": "w", "group": null}')
    assert list(read_pairs(path, ("q", "p"))) == [RawPair("x", "y", "7"), RawPair("v", "w", None)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"query": "a", "positive": "b"}\n{"query": "a", ', r"a.jsonl line 2: not valid JSON: "),
        ("a.jsonl", b"[1]", r"a.jsonl line 1: must be a JSON object, got list$"),
        ("a.jsonl", b'{"a": "b", "c": "d"}', r"line 1: none of the columns query/positive, .*\(columns: a, c\)"),
        ("a.jsonl", b'{"query": "a", "positive": "b"}\n\n{"query": "a"}', r"line 3: column 'positive' is missing$"),
        ("a.jsonl", b'{"query": "a", "positive": 3}', r"line 1: column 'positive' must be a string, got int$"),
        ("a.jsonl", b'{"query": null, "positive": "b"}', r"line 1: column 'query' must be a string, got null$"),
        ("a.jsonl", b'{"query": "a", "positive": "b"}\n{"query": "\xff"}', r"line 2: not UTF-8 at byte 12$"),
        ("a.jsonl", b"[" * 100_000, r"line 1: (JSON nested too deeply|not valid JSON)"),
        ("a.jsonl", b"", r"a.jsonl is empty: it holds no pairs$"),
        ("a.jsonl", b"\n \n", r"a.jsonl is empty: it holds no pairs$"),
        ("a.csv", b"query,positive\n", r"a.csv is empty: it holds no pairs$"),
        ("a.csv", b"query,positive\na,b\nc\n", r"a.csv line 3: must have 2 columns as the header, got 1$"),
        ("a.csv", b'query,positive\na,"b\n', r"a.csv line 2: not valid CSV: unexpected end of data$"),
        ("a.csv", b"query,positive\na,\xe9\n", r"a.csv line 2: not UTF-8 at byte 3$"),
        ("a.tsv", b"query,positive\na,b\n", r"a.tsv line 2: none of the columns"),
        ("a.parquet", b"PAR1 but not really", r"a.parquet: not valid Parquet: "),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PairsError, match=message) as caught:
        list(read_pairs(tmp_path / name, None))
    assert "\n" not in str(caught.value)


def test_a_null_in_parquet_is_refused_with_its_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"query": ["a", None], "positive": ["b", "c"]}), tmp_path / "a.parquet")
    with pytest.raises(PairsError, match=r"a.parquet row 2: column 'query' must be a string, got null$"):
        list(read_pairs(tmp_path / "a.parquet", None))


def test_a_wanted_column_must_be_there(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "a.csv")
    with pytest.raises(PairsError, match=r"a.csv line 3: column 'title' is missing; there are id, question, answer$"):
        list(read_pairs(path, ("title", "answer")))
