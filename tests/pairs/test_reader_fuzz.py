"""Whatever JSON holds in whatever place, reading it gives pairs or a `PairsError`, in each layout and each format."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from embudget.errors import PairsError
from embudget.pairs import RawPair, build_pairs
from embudget.pairs.sources.files import Files

bounded = settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2, 10**30, 10**400, 0.5, 1e300, float("nan"), float("inf"), "", " ", "a", "0.9", "\ud800", "\0",
    "[", '["a", "b"]', "x" * 300, [], {}, [[]], [None], ["a", 1], [{}], [{"text": "t"}],
    [{"text": None, "title": "t"}], {"text": ["a"], "title": []}, {"text": ["a", "b"], "title": [None, "t"]},
    {"text": "a"},
)  # fmt: skip
NAMES = ("query", "anchor", "question", "positive", "answer", "pos", "neg", "positive_passages", "negative_passages",
         "sentence1", "sentence2", "score", "similarity", "label", "negative", "negatives", "negative_1", "group",
         "_id", "text", "title", "data")  # fmt: skip
ROWS: tuple[dict[str, Any], ...] = (
    {"anchor": "a", "positive": "b", "negative": "c"},
    {"query": "a", "positive": "b", "negatives": ["c"]},
    {"query": "a", "pos": ["b", "c"], "neg": ["d"]},
    {"query": "a", "positive_passages": [{"title": "b", "text": "c"}], "negative_passages": [{"text": "d"}]},
    {"sentence1": "a", "sentence2": "b", "score": 1.0},
    {"question": "a", "answer": "b"},
)

scalars = st.sampled_from([value for value in ODD if not isinstance(value, list | dict)]) | st.text(max_size=5)
values = st.sampled_from(ODD) | st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def _changed(draw: st.DrawFn) -> Any:  # noqa: ANN401 - whatever JSON holds
    """A row of a layout in which some of its own values, or of others, are odd ones; or no row at all."""
    row: dict[str, Any] = dict(draw(st.sampled_from(ROWS)))
    for name in draw(st.lists(st.sampled_from((*row, *row, *row, *NAMES)), max_size=3)):
        row[name] = draw(values)
    return row if draw(st.integers(0, 9)) else draw(values)


rows = st.lists(_changed(), min_size=1, max_size=3)
thresholds = st.sampled_from([None, -1.0, 0.0, 0.5, 1.0, 3.0])


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp())
    yield path
    shutil.rmtree(path)


def _read(path: Path, **options: Any) -> None:  # noqa: ANN401 - of Files
    """Read all pairs twice: as they come, and without the bad rows."""
    for skip_bad in (False, True):
        try:
            pairs = list(Files(str(path), skip_bad=skip_bad, **options).read())
        except PairsError as error:
            assert "\n" not in str(error) and len(str(error)) < 500 + 2 * len(str(path))
            continue
        for pair in pairs:
            assert isinstance(pair, RawPair) and all(isinstance(text, str) for text in (*pair[:2], *pair.negatives))
            "".join((pair.query, pair.positive, *pair.negatives)).encode()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row))
def test_each_odd_value_in_each_place_of_each_layout(row: dict[str, Any], tmp_path: Path) -> None:
    for name in (*row, "group"):
        for value in ODD:
            (tmp_path / "a.jsonl").write_text(json.dumps({**row, name: value}))
            _read(tmp_path / "a.jsonl")
            _read(tmp_path / "a.jsonl", threshold=0.5)


@pytest.mark.parametrize("name", ["_id", "title", "text", "more"])
@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl"])
def test_each_odd_value_in_each_place_of_beir(file: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    row = {"_id": "a", "title": "t", "text": "x"}
    for other in ("corpus.jsonl", "queries.jsonl"):
        (tmp_path / other).write_text(json.dumps(row))
    for value in ODD:
        lines = [("query-id", "corpus-id", "score"), ("a", "a", "1"), ("a", "a", str(value)), (str(value), "a", "1")]
        table = "\n".join("\t".join(line) for line in lines)
        (tmp_path / "qrels" / "train.tsv").write_text(table, errors="backslashreplace")
        (tmp_path / file).write_text(json.dumps({**row, name: value}))
        _read(tmp_path)


@bounded
@given(rows, thresholds)
def test_json(found: list[Any], threshold: float | None) -> None:
    with _folder() as folder:
        (folder / "a.jsonl").write_text("\n".join(map(json.dumps, found)))
        _read(folder / "a.jsonl", threshold=threshold)
        (folder / "a.json").write_text(json.dumps(found))
        _read(folder / "a.json", threshold=threshold)


@bounded
@given(st.lists(st.lists(scalars.map(str), min_size=3, max_size=3), max_size=3), st.permutations(NAMES))
def test_tables_of_text(cells: list[list[str]], names: list[str]) -> None:
    with _folder() as folder:
        for header in (names[:3], ["query", "positive", "negatives"], ["sentence1", "sentence2", "score"]):
            for name, between in (("a.csv", ","), ("a.tsv", "\t")):
                lines = [between.join(line) for line in (header, *cells)]
                (folder / name).write_text("\n".join(lines), errors="backslashreplace")
                _read(folder / name)


@bounded
@given(rows)
def test_parquet(found: list[Any]) -> None:
    try:
        table = pa.Table.from_pylist([row for row in found if isinstance(row, dict)])
    except (pa.ArrowException, OverflowError, UnicodeError, AttributeError, TypeError):
        return  # Parquet cannot hold it
    with _folder() as folder:
        try:
            pq.write_table(table, folder / "a.parquet")
        except pa.ArrowException:
            return
        _read(folder / "a.parquet")


@bounded
@given(rows, rows, st.lists(st.tuples(*[scalars.map(str)] * 3), max_size=3), st.sampled_from(["train", "test", "x"]))
def test_beir(corpus: list[Any], queries: list[Any], judged: list[tuple[str, ...]], name: str) -> None:
    with _folder() as folder:
        (folder / "qrels").mkdir()
        for file, found, more in (
            ("corpus", corpus, {"_id": "d", "title": "t", "text": "x"}),
            ("queries", queries, {"_id": "q", "text": "x"}),
        ):
            lines = [json.dumps(row) for row in (more, *found)]
            (folder / f"{file}.jsonl").write_text("\n".join(lines))
        table = [("query-id", "corpus-id", "score"), ("q", "d", "1"), *judged]
        lines = ["\t".join(line) for line in table]
        (folder / "qrels" / f"{name}.tsv").write_text("\n".join(lines), errors="backslashreplace")
        _read(folder)


@settings(bounded, max_examples=60)
@given(st.sampled_from(ROWS), rows)
def test_the_whole_way(row: dict[str, Any], odd: list[Any]) -> None:
    good = [json.loads(json.dumps(row).replace('"a"', f'"a{n}"')) for n in range(30)]
    with _folder() as folder:
        (folder / "a.jsonl").write_text("\n".join(map(json.dumps, [*good, *odd])))
        with contextlib.suppress(PairsError):
            build_pairs([f"files:{folder / 'a.jsonl'}"], folder / "out", skip_bad=True, on_remark=lambda line: None)
