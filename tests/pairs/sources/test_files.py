import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.errors import PairsError
from embudget.pairs import Pairs, RawPair, build_pairs
from embudget.pairs.sources.files import Files
from embudget.pairs.splitting import SPLITS

EXPECTED = [RawPair("how, exactly?", "like\nthat", None), RawPair("où", "là", None)]


def _write(path: Path) -> Path:
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
    assert list(Files(str(_write(tmp_path / f"data{suffix}"))).read()) == EXPECTED


def test_folder_and_pattern(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    _write(tmp_path / "a.jsonl"), _write(tmp_path / "sub" / "b.csv"), (tmp_path / "README").write_text("no data")
    assert list(Files(str(tmp_path)).read()) == EXPECTED * 2
    assert list(Files(str(tmp_path / "*.jsonl")).read()) == EXPECTED
    assert len(Files(str(tmp_path / "**" / "*")).versions()) == 2


def test_named_columns_and_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"q": "x", "p": "y", "group": 7}\n{"q": "v", "p": "w", "group": null}')
    assert list(Files(str(path), ("q", "p")).read()) == [RawPair("x", "y", "7"), RawPair("v", "w", None)]


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
        ("a.txt", b"text", r"^a pairs file must end in .jsonl, .csv, .tsv, .parquet, got "),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PairsError, match=message) as caught:
        list(Files(str(tmp_path / name)).read())
    assert "\n" not in str(caught.value)


def test_a_null_in_parquet_is_refused_with_its_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"query": ["a", None], "positive": ["b", "c"]}), tmp_path / "a.parquet")
    with pytest.raises(PairsError, match=r"a.parquet row 2: column 'query' must be a string, got null$"):
        list(Files(str(tmp_path / "a.parquet")).read())


def test_a_wanted_column_must_be_there(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv")
    with pytest.raises(PairsError, match=r"a.csv line 3: column 'title' is missing; there are id, question, answer$"):
        list(Files(str(path), ("title", "answer")).read())


def test_nothing_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.jsonl", tmp_path / "*.csv"):
        with pytest.raises(PairsError, match=r"^no file ending in .* at "):
            Files(str(path)).versions()


def test_the_pairs_do_not_depend_on_where_the_file_lies(tmp_path: Path) -> None:
    content = "\n".join(
        json.dumps({"query": f"What is number {n}?", "positive": f"It comes after {n - 1}.", "group": n % 20})
        for n in range(100)
    )
    built: list[Pairs] = []
    for place in ("here", "some/where/else"):
        path = tmp_path / place / "faq.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text(content)
        built.append(build_pairs([f"files:{path}"], tmp_path / f"out{len(built)}"))
    one, other = built
    assert one.hash == other.hash
    for split in SPLITS:
        columns = [pairs.table(split).drop_columns("source").to_pylist() for pairs in built]
        assert columns[0] == columns[1] != []
    assert {row["group"].partition("/")[0] for row in columns[0]} == {"files"}


def test_a_users_long_text_stays_whole(tmp_path: Path) -> None:
    long = " ".join(f"word{number}" for number in range(500))
    path = tmp_path / "a.jsonl"
    rows = [{"query": long, "positive": f"{long} and an answer {long[::-1]}"}]
    rows += [{"query": f"what is {n}", "positive": f"{n} plus zero"} for n in range(30)]
    path.write_text("\n".join(map(json.dumps, rows)))
    pairs = build_pairs([f"files:{path}"], tmp_path / "out")
    assert long in {text for split in SPLITS for text in pairs.table(split).column("query").to_pylist()}


def test_the_whole_way_and_again_after_a_change(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    lines = ["title,body"] + [f"What is number {n}?,It comes after {n - 1} and before {n + 1}." for n in range(100)]
    path.write_text("\n".join(lines))
    source, out = [f"files:{path}"], tmp_path / "out"
    first = build_pairs(source, out, query_column="title", positive_column="body")
    assert [first.rows(split) for split in ("train", "validation", "test")] == [91, 4, 5]
    path.write_text("\n".join(lines[:-1]))
    second = build_pairs(source, out, query_column="title", positive_column="body")
    assert sum(second.rows(split) for split in ("train", "validation", "test")) == 99
    assert second.info.request.versions.keys() == {str(path)}
