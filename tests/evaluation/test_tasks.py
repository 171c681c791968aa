"""What the words of `--tasks` mean, and which data are refused, before mteb is needed at all."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from embudget.errors import ConfigError
from embudget.evaluation.beir import read_retrieval
from embudget.evaluation.labelled import read_labelled, read_scored_pairs, read_train_and_test
from embudget.evaluation.tasks import PAPER, read_tasks, word_beside, words_of
from embudget.pairs import Pairs


def test_commas_part_tasks_and_the_names_of_mteb(tmp_path: Path) -> None:
    assert words_of(["sts=a.csv,mteb:BIOSSES,STS22,paper", "retrieval=x/", "sts=a.csv"]) == [
        "sts=a.csv", "mteb:BIOSSES", "mteb:STS22", "paper", "retrieval=x/",
    ]  # fmt: skip
    (tmp_path / "a,b.csv").touch()
    assert words_of([f"sts={tmp_path}/a,b.csv"]) == [f"sts={tmp_path}/a,b.csv"]


def test_paths_are_taken_beside_a_studys_file() -> None:
    words = [word_beside(Path("/study"), word) for word in ("sts=a.csv", "sts=/b.csv", "offline", "mteb:A")]
    assert words == ["sts=/study/a.csv", "sts=/b.csv", "offline", "mteb:A"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("clasification=x", "there is no task clasification=x: did you mean classification=FILE?"),
        ("Banking77Classification", "did you mean mteb:Banking77Classification?"),
        ("xyz", "there is no task xyz: give retrieval=DIR"),
        ("sts=", "there is no task sts="),
        (" , ", "tasks must name at least one of"),
    ],
)
def test_what_is_no_task_is_refused_with_a_near_name(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        words_of([word])
    assert message in str(refused.value)


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "faq.csv").write_text("text,label\na,x\nb,y\n")
    with pytest.raises(ConfigError, match="two tasks are called 'faq'"):
        read_tasks([f"clustering={tmp_path}/{name}/faq.csv" for name in ("one", "two")])


def test_the_content_of_data_is_what_they_are_known_by(tmp_path: Path) -> None:
    """Scores on changed data must not come from the cache, and those on the same data in another format may."""
    frame = pd.DataFrame({"text": ["a", "b", "c"], "label": ["x", "y", "x"]})
    frame.to_csv(tmp_path / "d.csv", index=False)
    frame.to_parquet(tmp_path / "e.parquet")
    frame.assign(label=["x", "y", "y"]).to_json(tmp_path / "f.jsonl", orient="records", lines=True)
    contents = [
        read_tasks([f"clustering={tmp_path}/{name}"])[0][0].content for name in ("d.csv", "e.parquet", "f.jsonl")
    ]
    assert contents[0] == contents[1] != contents[2]


def beir(folder: Path, qrels: str = "q1\td1\t1\n") -> Path:
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": "d1", "title": "Cats", "text": "They sleep."}, {"_id": "d2", "text": "Dogs bark."}]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "Who sleeps?"}\n{"_id": "q2", "text": "Who barks?"}')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return folder


def test_a_folder_of_beir_is_read(tmp_path: Path) -> None:
    data = read_retrieval(beir(tmp_path / "faq", "q1\td1\t2\nq1\td2\t0\nq2\td1\t0\n"))
    assert data.queries == {"q1": "Who sleeps?"}, "a query without a right answer is not asked"
    assert data.documents == {"d1": ("Cats", "They sleep."), "d2": ("", "Dogs bark.")}
    assert data.relevant == {"q1": {"d1": 2, "d2": 0}}
    assert not data.ids_are_texts


def test_a_judgement_below_0_is_not_relevant(tmp_path: Path) -> None:
    """TREC-COVID in BEIR has some of -1, and `pairs build` reads them too."""
    data = read_retrieval(beir(tmp_path / "faq", "q1\td1\t1\nq1\td2\t-1\n"))
    assert data.relevant == {"q1": {"d1": 1, "d2": 0}}


def test_pairs_are_ranked_as_evaluate_ranks_them(tiny_pairs: Pairs) -> None:
    data = read_retrieval(tiny_pairs.folder)
    test = tiny_pairs.table("test")
    assert set(data.queries.values()) == set(test["query"].to_pylist())
    assert {text for _, text in data.documents.values()} == set(test["positive"].to_pylist())
    assert data.ids_are_texts


def rewrite(path: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_text(text)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            rewrite("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td9\t1\n"),
            "test.tsv line 2: document d9 is not in corpus.jsonl",
        ),
        (
            rewrite("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq9\td1\t1\n"),
            "test.tsv line 2: query q9 is not in queries.jsonl",
        ),
        (rewrite("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t0.5\n"), "score must be a whole number up to"),
        (rewrite("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t2147483648\n"), "a whole number up to 1000"),
        (
            rewrite("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td1\t0\n"),
            "test.tsv line 3: q1 and d1 are scored otherwise than in an earlier row",
        ),
        (rewrite("corpus.jsonl", '{"_id": "d1", "text": "x"}'), "at least 2 documents to rank, got 1"),
        (
            rewrite("corpus.jsonl", '{"_id": "d1", "text": "x\\ud800"}'),
            "corpus.jsonl line 1: column 'text' holds half of a surrogate",
        ),
        (rewrite("corpus.jsonl", '{"_id": "d\\ud800", "text": "x"}'), "line 1: column '_id' holds half of a surrogate"),
        (
            rewrite("queries.jsonl", '{"_id": "q\\ud800", "text": "x"}'),
            "line 1: column '_id' holds half of a surrogate",
        ),
        (rewrite("corpus.jsonl", '{"_id": "d1", "title": 5, "text": "x"}'), "line 1: column 'title' must be a string"),
        (rewrite("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\tmany\n"), "score must be a whole number"),
        (rewrite("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t0\n"), "no document with a score above 0"),
        (
            rewrite("qrels/test.tsv", "q1 0 d1 1\nq2 0 d1 1\n"),
            "test.tsv: the header must be query-id, corpus-id, score",
        ),
        (rewrite("queries.jsonl", '{"_id": "q1", "text": " "}'), "queries.jsonl line 1: the query is empty"),
        (rewrite("queries.jsonl", ""), "holds no rows"),
        (rewrite("corpus.jsonl", '{"id": "d1", "text": "x"}'), "line 1: column '_id' must be a string, got null"),
        (
            rewrite("corpus.jsonl", '{"_id": "d1", "text": "x"}\n{"_id": "d1", "text": "y"}'),
            "line 2: _id d1 stands twice",
        ),
        (rewrite("corpus.jsonl", "no json"), "line 1: not valid JSON"),
        (lambda folder: (folder / "qrels" / "test.tsv").unlink(), "lacks qrels/test.tsv; BEIR's layout is"),
        (lambda folder: [path.unlink() for path in folder.glob("*.jsonl")], "holds neither corpus.jsonl"),
    ],
)
def test_a_folder_of_another_layout_is_refused(
    tmp_path: Path, break_it: Callable[[Path], object], message: str
) -> None:
    break_it(beir(tmp_path / "faq"))
    with pytest.raises(ConfigError) as refused:
        read_retrieval(tmp_path / "faq")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence1,sentence2,score\na,b,1\nc,d,many\n", "row 2: score must be a number from 0 to 100, got 'many'"),
        ("sentence1,sentence2,score\na,b,-1\n", "row 1: score must be a number from 0 to 100, got '-1'"),
        ("sentence1,sentence2,score\na,b,nan\n", "row 1: score must be a number from 0 to 100"),
        ("sentence1,sentence2,score\na,,1\n", "row 1: sentence2 is empty"),
        ("sentence1,sentence2,score\na,b\n", "line 2: must have 3 columns as the header, got 2"),
        ("sentence1,sentence2,score\na,b,1,\nc,d,2,\ne,f,3,\n", "line 2: must have 3 columns as the header, got 4"),
        ("sentence1,sentence1,sentence2,score\na,b,c,1\n", "the header must name each column once"),
        ('sentence1,sentence2,score\n"a,b,1\nc,d,2\n', "line 2: not valid CSV: a quote opens a cell"),
        ("sentence1,sentence2,score\na,b,1\nc,d,1\ne,f,1\n", "at least 3 pairs with scores that differ"),
        ("sentence1,sentence2\na,b\n", "must have a column score, got sentence1, sentence2"),
        ("sentence1,sentence2,score\n", "holds no rows"),
        ("", "holds no rows"),
    ],
)
def test_scores_that_cannot_be_correlated_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rated.csv").write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_scored_pairs(tmp_path / "rated.csv")
    assert message in str(refused.value)


def test_a_quote_in_a_tsv_is_text_and_swallows_no_rows(tmp_path: Path) -> None:
    """Pandas would make one pair of the first three, and the score would be of the wrong texts."""
    (tmp_path / "rated.tsv").write_text('sentence1\tsentence2\tscore\n"a\tb\t5\nc\td\t1\n"e\tf\t4\n')
    assert read_scored_pairs(tmp_path / "rated.tsv") == (['"a', "c", '"e'], ["b", "d", "f"], [5.0, 1.0, 4.0])


def test_tables_are_read_as_spreadsheets_write_them(tmp_path: Path) -> None:
    lines = "sentence1;sentence2;score\r\ná;b;5\r\nc;d;1\r\ne;f;4\r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "rated.csv").write_bytes(lines.encode(encoding))
        assert read_scored_pairs(tmp_path / "rated.csv").first == ["á", "c", "e"]
    (tmp_path / "rated.csv").write_bytes(lines.encode("latin-1"))
    with pytest.raises(ConfigError, match="line 2: not UTF-8 at byte 1"):
        read_scored_pairs(tmp_path / "rated.csv")


def test_half_a_character_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "a\\ud800", "label": "x"}\n{"text": "b", "label": "y"}\n')
    with pytest.raises(ConfigError, match="row 1: column 'text' holds half of a surrogate pair"):
        read_labelled(file)
    file.write_text('{"text": "a", "label": ["x", "z"]}\n{"text": "b", "label": "y"}\n')
    with pytest.raises(ConfigError, match="row 1: column 'label' must be a string, got list"):
        read_labelled(file)


def test_the_layouts_of_a_classification(tmp_path: Path) -> None:
    train, test = [["a", "x"], ["b", "y"]], [["c", "x"]]
    for name, rows in (("train", train), ("test", test)):
        lines = ["text,category", *(",".join(row) for row in rows)]
        (tmp_path / f"bank_{name}.csv").write_text("\n".join(lines))
    (tmp_path / "clinc.json").write_text(json.dumps({"train": train, "test": test, "val": []}))
    both = [{"text": text, "intent": label, "split": name}
            for name, rows in (("train", train), ("test", test)) for text, label in rows]  # fmt: skip
    (tmp_path / "both.jsonl").write_text("\n".join(map(json.dumps, both)))
    found = [read_train_and_test(tmp_path / name) for name in ("", "clinc.json", "both.jsonl")]
    assert found[0] == found[1] == found[2] == ((["a", "b"], ["x", "y"]), (["c"], ["x"]))


def test_labels_that_tell_nothing_apart_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("text,label\na,x\nb,x\n")
    with pytest.raises(ConfigError, match="at least 2 labels to tell apart, got 1"):
        read_labelled(file)
    file.write_text("text,label\na,x\nb,\n")
    with pytest.raises(ConfigError, match="row 2: label is empty"):
        read_labelled(file)
    file.write_text("text,label,split\na,x,train\nb,y,train\n")
    with pytest.raises(ConfigError, match="got none of test"):
        read_train_and_test(file)
    with pytest.raises(ConfigError, match="one table named train and one named test"):
        read_train_and_test(tmp_path)
    with pytest.raises(ConfigError, match="No such file"):
        read_labelled(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="must be a table"):
        read_labelled(tmp_path / "none.xlsx")


def test_the_papers_tasks_are_fifteen() -> None:
    assert len(set(PAPER)) == 15
