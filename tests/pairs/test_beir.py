"""A folder of BEIR becomes pairs in its own splits, and a judgement that names nothing is refused with its line."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair, build_pairs, load_pairs
from embudget.pairs.sources.files import Files
from embudget.pairs.splitting import SPLITS
from tests.command_line import Run

HEADER = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """60 queries to train on, 10 for dev and 10 for test; each has one document and one judged to be none."""
    folder = tmp_path / "scifact"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{n}", "title": f"Title {n}", "text": f"text {n}", "metadata": {}} for n in range(200)]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    queries = [{"_id": f"q{n}", "text": f"what is {n}", "metadata": {}} for n in range(90)]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    for name, numbers in {"train": range(60), "dev": range(60, 70), "test": range(70, 80)}.items():
        lines = [f"q{n}\td{n}\t{1 + n % 2}\nq{n}\td{n + 100}\t0\n" for n in numbers]
        (folder / "qrels" / f"{name}.tsv").write_text(HEADER + "".join(lines))
    return folder


def test_the_qrels_are_the_splits_and_a_judgement_of_zero_is_a_negative(beir: Path) -> None:
    source = Files(str(beir))
    pairs = list(source.read())
    assert pairs[0] == RawPair("what is 70", "Title 70 text 70", None, ("Title 170 text 170",), "test")
    assert [(pair.split, pair.query) for pair in pairs] == [
        *(("test", f"what is {n}") for n in range(70, 80)),
        *(("validation", f"what is {n}") for n in range(60, 70)),
        *(("train", f"what is {n}") for n in range(60)),
    ]
    assert source.read_as == ("BEIR: corpus.jsonl, queries.jsonl, qrels/test.tsv, qrels/dev.tsv, qrels/train.tsv",)
    assert source.versions().keys() == {str(beir)}


def test_a_query_with_several_documents_gives_as_many_pairs(beir: Path) -> None:
    (beir / "qrels" / "train.tsv").write_text(f"{HEADER}q1\td1\t1\nq2\td2\t1\nq1\td3\t2\nq1\td4\t-1\n")
    train = [pair for pair in Files(str(beir)).read() if pair.split == "train"]
    assert train == [
        RawPair("what is 1", "Title 1 text 1", None, ("Title 4 text 4",), "train"),
        RawPair("what is 1", "Title 3 text 3", None, ("Title 4 text 4",), "train"),
        RawPair("what is 2", "Title 2 text 2", None, (), "train"),
    ]


def test_compressed_files_without_titles_and_numbers_as_identifiers(beir: Path) -> None:
    (beir / "corpus.jsonl").unlink()
    documents = "\n".join(json.dumps({"_id": n, "text": f"text {n}"}) for n in range(3))
    (beir / "corpus.jsonl.gz").write_bytes(gzip.compress(documents.encode()))
    (beir / "queries.jsonl").write_text('{"_id": 7, "text": "seven"}')
    for name in ("dev", "test"):
        (beir / "qrels" / f"{name}.tsv").unlink()
    (beir / "qrels" / "train.tsv").write_text(f"{HEADER}7\t1\t1\n")
    assert list(Files(str(beir)).read()) == [RawPair("seven", "text 1", None, (), "train")]


def test_the_whole_way(run: Run, beir: Path, tmp_path: Path) -> None:
    done = run("pairs", "build", f"files:{beir}", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "read as BEIR: corpus.jsonl, queries.jsonl, qrels/test.tsv, qrels/dev.tsv, qrels/train.tsv\n" in done.err
    assert "the data's own splits are kept: validation and test; --resplit makes new splits\n" in done.err
    pairs = load_pairs(tmp_path / "out")
    assert [pairs.rows(split) for split in SPLITS] == [60, 10, 10]
    for row in pairs.table("train").to_pylist():
        number = int(row["query"].split()[-1])
        assert row["positive"] == f"Title {number} text {number}"
        assert row["negatives"] == [f"Title {number + 100} text {number + 100}"]
    again = run("pairs", "build", f"files:{beir}", "--out", tmp_path / "new", "--resplit")
    assert again.code == 0 and "not used: split dev, test\n" in again.err
    assert sum(map(load_pairs(tmp_path / "new").rows, SPLITS)) == 60


def test_a_benchmark_of_test_pairs_alone_is_no_training_data(beir: Path, tmp_path: Path) -> None:
    for name in ("train", "dev"):
        (beir / "qrels" / f"{name}.tsv").unlink()
    with pytest.raises(
        PairsError, match=r"^there are no training pairs: files:.*scifact holds none; name a source that"
    ):
        build_pairs([f"files:{beir}"], tmp_path / "out")
    rows = [{"query": f"how is {n}", "positive": f"{n} is well"} for n in range(100)]
    (tmp_path / "faq.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs = build_pairs([f"files:{tmp_path / 'faq.jsonl'}", f"files:{beir}"], tmp_path / "out")
    of_benchmark = {split: pairs.info.sources[f"files:{beir}"].pairs[split] for split in SPLITS}
    assert of_benchmark == {"train": 0, "validation": 0, "test": 10}


Spoil = Callable[[Path], object]


def _line(name: str, text: str) -> Spoil:
    return lambda folder: (folder / name).write_text((folder / name).read_text() + "\n" * ("qrels" not in name) + text)


def _replaced(name: str, old: str, new: str) -> Spoil:
    return lambda folder: (folder / name).write_text((folder / name).read_text().replace(old, new))


def _gone(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        for file in list(folder.glob(name)):
            file.unlink()

    return spoil


TEST, DEV, QUERIES, CORPUS = "qrels/test.tsv", "qrels/dev.tsv", "queries.jsonl", "corpus.jsonl"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_line(TEST, "q999\td1\t1\n"), "qrels/test.tsv line 22: query q999 is not in queries.jsonl; mend it"),
        (_line(DEV, "q61\tx\t1\n"), "qrels/dev.tsv line 22: document x is not in corpus.jsonl; mend it"),
        (_line(DEV, "q61\td1\thigh\n"), "qrels/dev.tsv line 22: column 'score' must be a number, got 'high'"),
        (_line(DEV, "q61\td1\n"), "qrels/dev.tsv line 22: must have 3 columns as the header, got 2"),
        (_replaced(DEV, HEADER, ""), "dev.tsv: the header must be query-id, corpus-id, score, got q60, d60, 1"),
        (_replaced(QUERIES, '"what is 5"', '" "'), "queries.jsonl line 6: the query is empty; mend it"),
        (_replaced(QUERIES, '"what is 5"', "null"), "line 6: column 'text' must be a string, got null"),
        (_line(QUERIES, '{"_id": "q1", "text": "again"}'), "queries.jsonl line 91: _id q1 stands twice; mend it"),
        (_line(CORPUS, '{"text": "again"}'), "corpus.jsonl line 201: column '_id' must be a string, got null"),
        (_replaced(CORPUS, '"text 5"', "5"), "line 6: column 'corpus.text' must be a string, got int"),
        (
            _gone(QUERIES),
            "queries.jsonl is missing; a folder of BEIR holds corpus.jsonl, queries.jsonl and qrels/*.tsv",
        ),
        (_gone(CORPUS), "corpus.jsonl is missing; a folder of BEIR holds corpus.jsonl"),
        (_gone("qrels/*"), "qrels/*.tsv is missing; a folder of BEIR holds corpus.jsonl"),
    ],
)
def test_a_fault_is_one_line_with_its_place(run: Run, beir: Path, tmp_path: Path, spoil: Spoil, message: str) -> None:
    spoil(beir)
    done = run("pairs", "build", f"files:{beir}", "--out", tmp_path / "out")
    assert done.code == 2 and done.err.count("\n") == 1 and message in done.err
    assert not (tmp_path / "out").exists()


def test_faults_may_be_left_out(beir: Path) -> None:
    for name, text in [("qrels/test.tsv", "q999\td1\t1\n"), ("corpus.jsonl", "no JSON")]:
        _line(name, text)(beir)
    source = Files(str(beir), skip_bad=True)
    assert len(list(source.read())) == 80
    assert source.unused.bad_rows == 2


def test_judgements_without_a_relevant_document_are_refused(beir: Path) -> None:
    for name in ("train", "dev", "test"):
        (beir / "qrels" / f"{name}.tsv").write_text(f"{HEADER}q1\td1\t0\n")
    with pytest.raises(PairsError, match=r"scifact is empty: no document of its qrels has a score above 0$"):
        list(Files(str(beir)).read())
