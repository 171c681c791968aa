"""Equal pairs are read from every format, and a file that breaks a rule is refused with its line."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair
from embudget.pairs.columns import Table
from embudget.pairs.formats import read_pairs

EXPECTED = [RawPair("how, exactly?", "like\nthat", None), RawPair("où", "là", None)]
ROWS = [{"question": pair.query, "answer": pair.positive, "id": n} for n, pair in enumerate(EXPECTED)]
CUT_OFF = gzip.compress(b"query,positive\na,b\n" * 99, mtime=0)[:-9]  # the same bytes in every process of the tests
OPENS: dict[str, Callable[..., object]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def write_pairs(path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
        return path
    text = {
        ".jsonl": "\ufeff" + "\n\n".join(map(json.dumps, ROWS)),
        ".json": json.dumps(ROWS, indent=1),
        ".csv": 'id,question,answer\n0,"how, exactly?","like\nthat"\n\n1,où,là\n',
        ".tsv": "question\tanswer\r\nhow, exactly?\tlike that\r\noù\tlà\r\n",
    }[next(suffix for suffix in path.suffixes if suffix not in OPENS)]
    data = text.encode()
    path.write_bytes(OPENS[path.suffix](data) if path.suffix in OPENS else data)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    "suffix", [".jsonl", ".csv", ".parquet", ".json", ".jsonl.gz", ".csv.gz", ".json.xz", ".csv.bz2"]
)
def test_formats(tmp_path: Path, suffix: str) -> None:
    assert list(read_pairs(write_pairs(tmp_path / f"data{suffix}"), None)) == EXPECTED


def test_tsv_has_no_line_breaks_in_cells(tmp_path: Path) -> None:
    assert list(read_pairs(write_pairs(tmp_path / "data.tsv"), None)) == [
        RawPair("how, exactly?", "like that", None),
        EXPECTED[1],
    ]


@pytest.mark.parametrize("stray", ['"cell', 'ce"ll', 'cell"', '"', '"cell"'])
def test_a_quote_in_tsv_is_text(tmp_path: Path, stray: str) -> None:
    """One stray quote once swallowed 501 of 802 rows."""
    lines = [f"q {n}\ta {n}" for n in range(800)]
    lines[300] = f"{stray}\tx"
    lines[700] = f"y\t{stray}"
    (tmp_path / "a.tsv").write_text("\n".join(["query\tpositive", *lines]))
    pairs = list(read_pairs(tmp_path / "a.tsv", None))
    assert len(pairs) == 800
    assert (pairs[300].query, pairs[700].positive) == (stray, stray)


def _csv_with_a_runaway_quote(path: Path, closes: int) -> Path:
    lines = [f"q {n},a {n}" for n in range(800)]
    lines[300] = '"q 300,a 300'
    if closes:
        lines[closes] = f'q {closes}",a {closes}'
    path.write_text("\n".join(["query,positive", *lines]) + "\n")
    return path


@pytest.mark.parametrize("closes", [0, 310, 330, 700])
def test_a_quote_that_swallows_rows_is_refused_where_it_opens(tmp_path: Path, closes: int) -> None:
    path = _csv_with_a_runaway_quote(tmp_path / "a.csv", closes)
    with pytest.raises(PairsError, match=r"a.csv line 302: .*a quote opens a cell .*--skip-bad$") as caught:
        list(read_pairs(path, None))
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("closes", [0, 310, 700])
def test_behind_a_runaway_quote_reading_goes_on(tmp_path: Path, closes: int) -> None:
    table = Table(None, skip_bad=True)
    pairs = list(read_pairs(_csv_with_a_runaway_quote(tmp_path / "a.csv", closes), None, table))
    assert len(pairs) == 799 and pairs[300] == RawPair("q 301", "a 301", None)
    assert table.bad_rows == 1 and "a.csv line 302: " in table.examples[0]


@pytest.mark.parametrize("end", ['q 8,a 8"\n', 'q 8 text,a 8 text",end\n'])
def test_a_few_rows_that_a_quote_may_have_swallowed_are_told_of(tmp_path: Path, end: str) -> None:
    """They may be meant, but three rows that became one in silence would be lost."""
    rows = "".join(f"q {n},a {n}\n" for n in range(5)) + '"q 5,a 5\nq 6,a 6\nq 7,a 7\n' + end + "q 9,a 9\n"
    (tmp_path / "a.csv").write_text("query,positive\n" + rows)
    table = Table(None, skip_bad=True)
    assert len(list(read_pairs(tmp_path / "a.csv", None, table))) == (7 if end.endswith("end\n") else 6)
    assert table.bad_rows or [place.rpartition(" line ")[2] for place in table.doubtful] == ["10"]
    with (tmp_path / "b.csv").open("w") as file:
        file.write('query,positive\n"Dear Sir,\nhow do I, as a guest, pay?\nBest, Tom",by card\n')
    assert list(read_pairs(tmp_path / "b.csv", None, table := Table(None))) and not table.doubtful


def test_code_and_prose_in_a_cell_may_be_long(tmp_path: Path) -> None:
    code = "def f(x):\n" + "\n".join(f"    y = g({n}, x)" for n in range(300))
    prose = "\n\n".join(f"Paragraph {n} says, as others do, a bit." if n % 3 else f"Line {n}" for n in range(300))
    with (tmp_path / "a.csv").open("w", newline="") as file:
        import csv

        csv.writer(file).writerows([("query", "positive"), ("code", code), ("prose", prose), ("x", "y")])
    assert [pair.positive for pair in read_pairs(tmp_path / "a.csv", None)] == [code, prose, "y"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
def test_the_header_shows_what_separates_cells(tmp_path: Path, delimiter: str) -> None:
    lines = [("query", "positive"), ("a, b; c | d", "x"), ("e", "f")]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in line) for line in lines)
    (tmp_path / "a.csv").write_text(text)
    assert list(read_pairs(tmp_path / "a.csv", None)) == [RawPair(*line, None) for line in lines[1:]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_encodings_and_ends_of_lines(tmp_path: Path, encoding: str, end: str, suffix: str) -> None:
    rows = ['{"query": "où", "positive": "là"}', '{"query": "日本", "positive": "क"}']
    if suffix != ".jsonl":
        rows = [
            ("," if suffix == ".csv" else "\t").join(row)
            for row in (("query", "positive"), ("où", "là"), ("日本", "क"))
        ]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(end.join([*rows, ""]).encode(encoding))
    assert list(read_pairs(path, None)) == [RawPair("où", "là", None), RawPair("日本", "क", None)]


def test_white_space_and_line_breaks_stay(tmp_path: Path) -> None:
    code = "  if x:\r\n\treturn\u00a0y  \n"
    rows = [{"query": code, "positive": " p "}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]))
    (tmp_path / "a.csv").write_bytes(f'query,positive\r\n"{code}", p \r\n'.encode())
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for path in tmp_path.iterdir():
        assert list(read_pairs(path, None)) == [RawPair(code, " p ", None)], path


@pytest.mark.parametrize(
    "text",
    [
        '{"data": [{"query": "a", "positive": "b"}]}',
        '[{"query": "a", "positive": "b"}]',
        '{"query": "a", "positive": "b"}\n',
        '\n{"query": "a", "positive": "b"}\n\n',
    ],
)
def test_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    if text.strip().startswith('{"query"'):  # one object is an object, not a table of one line
        text = text + '{"query": "c", "positive": "d"}'
        (tmp_path / "a.json").write_text(text)
    assert next(read_pairs(tmp_path / "a.json", None)) == RawPair("a", "b", None)


def test_a_saved_data_set(tmp_path: Path) -> None:
    from datasets import Dataset

    Dataset.from_list([*ROWS, *ROWS[1:]]).save_to_disk(str(tmp_path / "one"), num_shards=2)
    table = Table()
    assert list(read_pairs(tmp_path / "one", None, table)) == [*EXPECTED, EXPECTED[1]]
    assert list(table.columns) == ["id"]


def test_columns_that_are_not_used_may_hold_anything(tmp_path: Path) -> None:
    rows = [{"query": "a", "positive": "b", "title": ["c"], "score": {"x": 1.0}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]))
    for path in tmp_path.iterdir():
        table = Table()
        assert list(read_pairs(path, None, table)) == [RawPair("a", "b", None)]
        assert table.unused.columns == ("title", "score")


def test_named_columns_and_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"q": "x", "p": "y", "group": 7}\n{"q": "v", "p": "w", "group": null}')
    assert list(read_pairs(path, ("q", "p"))) == [RawPair("x", "y", "7"), RawPair("v", "w", None)]


GOOD = b'{"query": "a", "positive": "b"}\n'
BAD_ROWS = [
    ("a.jsonl", GOOD + b'{"query": "a", ', r"a.jsonl line 2: not valid JSON: "),
    ("a.jsonl", b'{"query": "a", "query": "z", "positive": "b"}', r"line 1: not valid JSON: query is there twice"),
    ("a.jsonl", b"[1]", r"a.jsonl line 1: must be a JSON object, got list; "),
    ("a.jsonl", GOOD + b'\n{"query": "a"}', r"line 3: column 'positive' is missing; "),
    ("a.jsonl", b'{"query": "a", "positive": 3}', r"line 1: column 'positive' must be a string, got int; "),
    ("a.jsonl", b'{"query": null, "positive": "b"}', r"line 1: column 'query' must be a string, got null; "),
    ("a.jsonl", GOOD + b'{"query": "\xff"}', r"line 2: not UTF-8 at byte 12; .*iconv -f WINDOWS-1252 -t UTF-8 a.jsonl"),
    ("a.jsonl", b'{"query": "\\ud800", "positive": "b"}', r"line 1: column 'query' holds half of a surrogate pair"),
    ("a.jsonl", b"[" * 100_000, r"line 1: (JSON nested too deeply|not valid JSON)"),
    ("a.json", b'[{"query": "a", "positive": "b"}, 3]', r"a.json item 2: must be a JSON object, got int; "),
    ("a.csv", b"query,positive\na,b\nc\n", r"a.csv line 3: must have 2 columns as the header, got 1; "),
    ("a.csv", b'query,positive\na,"b\n', r"a.csv line 2: not valid CSV: .*: unexpected end of data; "),
    ("a.csv", b'query,positive\na,"b" c\nd,e\n', r"a.csv line 2: not valid CSV: "),
    ("a.csv", b"query,positive\na,\xe9\n", r"a.csv line 2: not UTF-8 at byte 3; .*iconv"),
    ("a.csv", b"query,positive\na,b\0\n", r"a.csv line 2: holds a NUL byte"),
    ("a.tsv", b"query\tpositive\na\tb\tc\n", r"a.tsv line 2: must have 2 columns as the header, got 3; "),
]  # fmt: skip
BAD_FILES = [
    ("a.jsonl", b'{"a": "b", "c": "d"}', r"line 1: none of the columns query/positive, .*\(columns: a, c\)"),
    ("a.jsonl", b"", r"a.jsonl is empty: it holds no pairs$"),
    ("a.jsonl", b"\n \n", r"a.jsonl is empty: it holds no pairs$"),
    ("a.json", b" ", r"a.json is empty: it holds no pairs$"),
    ("a.json", b'{"query": ["a"], "positive": ["b"]}', r"a.json: must be an array .*, got dict with query, positive$"),
    ("a.json", b"[1", r"a.json: not valid JSON"),
    ("a.json", b"[" * 100_000, r"a.json: (JSON nested too deeply|not valid JSON)"),
    ("a.csv", b"query,positive\n", r"a.csv is empty: it holds no pairs$"),
    ("a.csv", b"query,positive,positive\na,b,c", r"a.csv: the header must name each column once, got positive 2"),
    ("a.csv", "query,positive\na,b".encode("utf-16-le"), r"a.csv: not UTF-8, it holds NUL bytes; .*iconv -f UTF-16LE"),
    ("a.csv", "query,positive\na,b".encode("utf-16")[:-1], r"a.csv: not the UTF-16 that its first bytes announce"),
    ("a.csv", b"query,r\xe9ponse\na,b", r"a.csv line 1: not UTF-8 at byte 8; .*iconv"),
    ("a.tsv", b"query,positive\na,b\n", r"a.tsv line 2: none of the columns"),
    ("a.parquet", b"PAR1 but not really", r"a.parquet: not valid Parquet: "),
    ("a.csv.gz", CUT_OFF, r"a.csv.gz: damaged or cut off .*; fetch it"),
    ("a.csv.gz", b"query,positive\na,b\n", r"a.csv.gz: damaged or cut off"),
    ("a.csv.xz", lzma.compress(b"query,positive\na,b\n" * 99)[:-9], r"a.csv.xz: damaged or cut off"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), [*BAD_ROWS, *BAD_FILES])
def test_a_bad_file_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PairsError, match=message) as caught:
        list(read_pairs(tmp_path / name, None))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize(("name", "content", "message"), BAD_ROWS)
def test_a_bad_row_may_be_left_out(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    table = Table(skip_bad=True)
    pairs = list(read_pairs(tmp_path / name, None, table))
    assert table.bad_rows == 1 and len(table.examples) == 1
    assert all(pair in [RawPair("a", "b", None), RawPair("d", "e", None)] for pair in pairs)


def test_many_columns_make_no_long_message(tmp_path: Path) -> None:
    names = [f"a column with quite a long name, number {n}" for n in range(5000)]
    (tmp_path / "a.jsonl").write_text(json.dumps(dict.fromkeys(names, "")))
    with pytest.raises(PairsError, match="and 4990 more") as caught:
        list(read_pairs(tmp_path / "a.jsonl", None))
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv", "a.csv.gz", "a.json"])
def test_a_cell_without_end_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real bounds are 34 million characters a line and 10 million a cell; 200 MB take long to write."""
    monkeypatch.setattr("embudget.pairs.formats.lines.MOST_IN_A_LINE", 50_000)
    monkeypatch.setattr("embudget.pairs.cells.MOST_CHARACTERS", 20_000)
    for length, message in [(30_000, "must have at most 20,000 char"), (200_000, "longer than 50,000 char|at most")]:
        rows = {
            "jsonl": json.dumps({"query": "x" * length, "positive": "y"}),
            "json": json.dumps([{"query": "x" * length, "positive": "y"}]),
            "csv": f"query,positive\n{'x' * length},y\n",
            "tsv": f"query\tpositive\n{'x' * length}\ty\n",
        }[name.split(".")[1]]
        (tmp_path / name).write_bytes(gzip.compress(rows.encode(), mtime=0) if name.endswith("gz") else rows.encode())
        with pytest.raises(PairsError, match=message):
            list(read_pairs(tmp_path / name, None))


@pytest.mark.parametrize("line", [b"\n", b"a,b\n"])
def test_a_bomb_is_refused(tmp_path: Path, line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embudget.pairs.formats.lines.FREE_CHARACTERS", 2**20)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"query,positive\n" + line * 3_000_000, mtime=0))
    with pytest.raises(PairsError, match=r"a.csv.gz: expands to over 100 times its size; decompress it first"):
        for _ in read_pairs(tmp_path / "a.csv.gz", None):
            pass


def test_a_null_in_parquet_is_refused_with_its_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"query": ["a", None], "positive": ["b", "c"]}), tmp_path / "a.parquet")
    with pytest.raises(PairsError, match=r"a.parquet row 2: column 'query' must be a string, got null; "):
        list(read_pairs(tmp_path / "a.parquet", None))


def test_a_wanted_column_must_be_there(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "a.csv")
    with pytest.raises(PairsError, match=r"a.csv line 3: column 'title' is missing; there are id, question, answer$"):
        list(read_pairs(path, ("title", "answer")))


def test_the_limit_of_csv_cells_is_as_it_was(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    list(read_pairs(write_pairs(tmp_path / "a.csv"), None))
    assert csv.field_size_limit() == before
