"""Each layout of the field is recognised by its columns' names and read as its tool reads it, in every format."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair
from embudget.pairs.columns import Table
from embudget.pairs.formats import read_pairs
from tests.command_line import Run

Rows = list[dict[str, Any]]


def _jsonl(path: Path, rows: Rows) -> Path:
    path.with_suffix(".jsonl").write_text("\n".join(map(json.dumps, rows)))
    return path.with_suffix(".jsonl")


def _json(path: Path, rows: Rows) -> Path:
    path.with_suffix(".json").write_text(json.dumps(rows))
    return path.with_suffix(".json")


def _parquet(path: Path, rows: Rows) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def _saved(path: Path, rows: Rows) -> Path:
    from datasets import Dataset

    Dataset.from_list(rows).save_to_disk(str(path / "saved"))
    return path / "saved"


def _csv(path: Path, rows: Rows) -> Path:
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path.with_suffix(".csv")


def _tsv(path: Path, rows: Rows) -> Path:
    lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]
    path.with_suffix(".tsv").write_text("\n".join(lines))
    return path.with_suffix(".tsv")


LISTS = (_jsonl, _json, _parquet, _saved)
FLAT = (*LISTS, _csv, _tsv)

TRIPLETS = [
    {"anchor": "q1", "positive": "p1", "negative": "n1"},
    {"anchor": "q2", "positive": "p2", "negative": "n2"},
]
TUPLES = [{"query": "q", "answer": "p", "negative_1": "n1", "negative_2": "n2", "negative_3": ""}]
MINED = [{"query": "q", "positive": "p", "negatives": ["n1", "n2"]}]
SCORED = [
    {"sentence1": "a", "sentence2": "b", "score": 0.8},
    {"sentence1": "c", "sentence2": "d", "score": 0.79},
    {"sentence1": "e", "sentence2": "f", "score": 1},
]
FLAG_EMBEDDING = [
    {"query": "q1", "pos": ["p1", "p2"], "neg": ["n1", "n2"], "pos_scores": [0.9, 0.8], "prompt": "Find:"},
    {"query": "q2", "pos": ["p3"], "neg": [], "pos_scores": [0.7], "prompt": "Find:"},
]
TEVATRON = [
    {
        "query_id": "1",
        "query": "q1",
        "positive_passages": [
            {"docid": "a", "title": "T ", "text": " one"},
            {"docid": "b", "title": "", "text": "two"},
        ],
        "negative_passages": [{"docid": "c", "title": "N", "text": "three"}],
    }
]

LAYOUTS: list[tuple[str, Rows, list[RawPair], tuple[Callable[[Path, Rows], Path], ...]]] = [
    (
        "sentence-transformers: anchor, positive, negative",
        TRIPLETS,
        [RawPair("q1", "p1", None, ("n1",)), RawPair("q2", "p2", None, ("n2",))],
        FLAT,
    ),
    (
        "pairs: query, answer, negative_1, negative_2, negative_3",
        TUPLES,
        [RawPair("q", "p", None, ("n1", "n2"))],
        FLAT,
    ),
    ("pairs: query, positive, negatives", MINED, [RawPair("q", "p", None, ("n1", "n2"))], LISTS),
    ("pairs: question, answer", [{"question": "q", "answer": "a"}], [RawPair("q", "a", None)], FLAT),
    (
        "scored pairs: sentence1, sentence2, score",
        SCORED,
        [RawPair("a", "b", None), RawPair("e", "f", None)],
        (_jsonl, _json, _saved, _csv, _tsv),
    ),
    (
        "FlagEmbedding: query, pos, neg",
        FLAG_EMBEDDING,
        [RawPair("q1", "p1", None, ("n1", "n2")), RawPair("q1", "p2", None, ("n1", "n2")), RawPair("q2", "p3", None)],
        LISTS,
    ),
    (
        "tevatron: query, positive_passages, negative_passages",
        TEVATRON,
        [RawPair("q1", "T one", None, ("N three",)), RawPair("q1", "two", None, ("N three",))],
        LISTS,
    ),
]


@pytest.mark.parametrize(
    ("read_as", "rows", "expected", "write"),
    [
        pytest.param(name, rows, expected, write, id=f"{name.partition(':')[0]}{write.__name__}")
        for name, rows, expected, writers in LAYOUTS
        for write in writers
    ],
)
def test_each_layout_in_each_format(
    tmp_path: Path, read_as: str, rows: Rows, expected: list[RawPair], write: Callable[[Path, Rows], Path]
) -> None:
    table = Table()
    assert list(read_pairs(write(tmp_path / "a", rows), None, table)) == expected
    assert table.read_as == (read_as,)


def test_what_is_plain_or_named_by_the_user_needs_no_line(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "a", [{"query": "a", "positive": "b", "title": "c"}])
    for wanted in (None, ("title", "query")):
        list(read_pairs(path, wanted, table := Table(wanted)))
        assert table.read_as == ()


def test_negatives_beside_columns_that_the_user_names(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "a", [{"title": "a", "body": "b", "negative": ["c", "d"], "negative_x": "no"}])
    assert list(read_pairs(path, None, table := Table(("title", "body")))) == [RawPair("a", "b", None, ("c", "d"))]
    assert table.read_as == ("named columns: title, body, negative",) and list(table.columns) == ["negative_x"]


def test_a_later_row_of_json_may_have_negatives_that_the_first_lacks(tmp_path: Path) -> None:
    rows = [{"query": "a", "positive": "b"}, {"query": "c", "positive": "d", "negative_1": "e"}]
    assert [pair.negatives for pair in read_pairs(_jsonl(tmp_path / "a", rows), None)] == [(), ("e",)]


def test_negatives_of_a_table_of_text_are_a_text_or_a_list_in_json(tmp_path: Path) -> None:
    rows: Rows = [{"query": "a", "positive": "b", "negatives": cell} for cell in ('["x", "y"]', "z", "")]
    assert [pair.negatives for pair in read_pairs(_csv(tmp_path / "a", rows), None)] == [("x", "y"), ("z",), ()]
    rows.append({"query": "a", "positive": "b", "negatives": "['x', 'y']"})  # as Python writes it
    with pytest.raises(
        PairsError, match=r"line 5: column 'negatives' must hold a text or a list of texts in JSON, got"
    ):
        list(read_pairs(_csv(tmp_path / "a", rows), None))


def test_a_sequence_of_objects_may_be_an_object_of_lists(tmp_path: Path) -> None:
    row = {"query": "q", "positive_passages": {"docid": ["1", "2"], "title": ["A", None], "text": ["b", "c"]}}
    assert [pair.positive for pair in read_pairs(_jsonl(tmp_path / "a", [row]), None)] == ["A b", "c"]


@pytest.mark.parametrize(
    ("threshold", "scores", "kept"),
    [
        (None, [0.0, 0.5, 0.8, 1.0], 2),
        (None, [True, False, "0.9", 1], 3),
        (0.5, [-1, 0.49, 0.5, 1], 2),
        (4, [0, 3.9, 4, 5], 2),
    ],
)
def test_scores_reach_a_threshold(tmp_path: Path, threshold: float | None, scores: list[Any], kept: int) -> None:
    rows: Rows = [{"sentence1": "a", "sentence2": f"b{n}", "similarity": score} for n, score in enumerate(scores)]
    table = Table(threshold=threshold)
    assert len(list(read_pairs(_jsonl(tmp_path / "a", rows), None, table))) == kept
    assert table.below_threshold == len(scores) - kept and table.scored


def test_a_threshold_uses_the_scores_of_any_layout(tmp_path: Path) -> None:
    rows = [{"query": "a", "positive": f"b{n}", "score": n / 10} for n in range(10)]
    path = _jsonl(tmp_path / "a", rows)
    assert len(list(read_pairs(path, None))) == 10
    assert len(list(read_pairs(path, None, Table(threshold=0.65)))) == 3


BAD: list[tuple[dict[str, Any], str]] = [
    ({"pos": "b"}, "column 'pos' must be a list of strings, got str"),
    ({"pos": []}, "column 'pos' must hold at least 1 text, got none"),
    ({"pos": ["b", 3]}, "column 'pos' must be a string, got int"),
    ({"pos": ["b"], "neg": "c"}, "column 'neg' must be a list of strings, got str"),
    ({"positive": "b", "negative": 3}, "column 'negative' must be a string or a list of strings, got int"),
    ({"positive": "b", "negatives": ["c", None]}, "column 'negatives' must be a string, got null"),
    ({"positive_passages": ["b"]}, "column 'positive_passages' must hold objects with a text, got str"),
    ({"positive_passages": [{"title": "b"}]}, "column 'positive_passages.text' must be a string, got null"),
    ({"positive_passages": [{"text": "b", "title": 1}]}, "column 'positive_passages.title' must be a string, got int"),
    ({"positive_passages": {"text": "b"}}, "column 'positive_passages' must be a list of objects with a text, got an"),
    ({"sentence1": "a", "sentence2": "b", "score": "high"}, "column 'score' must be a number, got 'high'"),
    ({"sentence1": "a", "sentence2": "b", "score": None}, "column 'score' must be a number, got null"),
    ({"sentence1": "a", "sentence2": "b", "score": float("nan")}, "column 'score' must be a number, got nan"),
    ({"sentence1": "a", "sentence2": "b", "score": 10**400}, "column 'score' must be a number, got int"),
    ({"sentence1": "a", "sentence2": "b", "label": 2}, "column 'label' must be from 0 to 1, got 2; give a threshold"),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_bad_row_is_refused_or_left_out(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    path = _jsonl(tmp_path / "a", [row if "sentence1" in row else {"query": "a", **row}])
    with pytest.raises(PairsError) as caught:
        list(read_pairs(path, None))
    assert f"a.jsonl line 1: {message}" in str(caught.value)
    table = Table(skip_bad=True)
    assert list(read_pairs(path, None, table)) == [] and table.bad_rows == 1


def test_a_score_beyond_the_scale_of_the_threshold_is_a_bad_row(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "a", [{"sentence1": "a", "sentence2": "b", "score": 3.2}])
    with pytest.raises(PairsError, match=r"column 'score' must be from -1 to 1, as the threshold 0.5 says, got 3.2"):
        list(read_pairs(path, None, Table(threshold=0.5)))


def test_sentences_without_a_score_are_no_pairs(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "a", [{"sentence1": "a", "sentence2": "b"}])
    with pytest.raises(PairsError, match=r"none of the columns .*sentence1/sentence2/score is there"):
        list(read_pairs(path, None))


def test_the_command_says_how_it_read_the_file(run: Run, tmp_path: Path) -> None:
    rows = [{"sentence1": f"what is {n}", "sentence2": f"{n} plus zero", "score": n % 5} for n in range(200)]
    path = _jsonl(tmp_path / "a", rows)
    arguments = ("pairs", "build", f"files:{path}", "--out", tmp_path / "out")
    assert "must be from 0 to 1, got 2; give a threshold on your scale" in run(*arguments).err
    done = run(*arguments, "--threshold", 3)
    assert done.code == 0, done.err
    assert f"files:{path}: read as scored pairs: sentence1, sentence2, score\n" in done.err
    assert "120 of 200 rows were left out, their score is below 3\n" in done.err
    assert "120 below the threshold" in done.out
    for wrong in ("nan", "inf"):
        done = run(*arguments, "--threshold", wrong)
        assert done.code == 2 and done.err.count("\n") == 1 and "threshold" in done.err


def test_a_threshold_without_scores_is_refused(run: Run, tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "a", [{"query": f"what is {n}", "positive": f"{n} plus zero"} for n in range(50)])
    done = run("pairs", "build", f"files:{path}", "--out", tmp_path / "out", "--threshold", 0.5)
    assert done.code == 2 and done.err.count("\n") == 1
    assert "threshold must be for sources with scores, but none has a column score, similarity, label" in done.err
    assert not (tmp_path / "out").exists()
