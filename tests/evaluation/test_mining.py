"""Mined negatives are near, wrong, from the training split alone, and the same each time."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.errors import EmbudgetError, ModelError, PairsError
from embudget.evaluation.mining import forward_params, mine_negatives
from embudget.pairs import Pairs, build_pairs, index_pairs, load_pairs
from embudget.pairs.text import text_key
from embudget.pairs.token_batch import negatives_of
from embudget.suite import find_shape
from embudget.suite.loading import load_embedder, load_tokenizer
from embudget.training.run import train
from tests.command_line import Run
from tests.training.test_run import config_for


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """Some 200 pairs in 20 groups; every tenth query has a second positive."""
    folder = tmp_path_factory.mktemp("few")
    verbs, nouns = ["open", "close", "delete", "rotate", "publish"], ["bucket", "table", "queue", "secret", "alarm"]
    rows = []
    for number in range(200):
        verb, noun = verbs[number % 5], nouns[number // 5 % 5]
        row = {
            "query": f"How to {verb} the {noun} with the number {number}?",
            "positive": f"The {noun} numbered {number} lets its owner {verb} it at any time of the day.",
            "group": f"service-{number % 20}",
        }
        rows.append(row)
        if number % 10 == 0:
            rows.append(row | {"positive": f"Ask for the {noun}, say that {number} is meant, and {verb} it yourself."})
    (folder / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return build_pairs([f"files:{folder / 'few.jsonl'}"], folder / "pairs", near_duplicates=False)


ASKED = {"negatives": 3, "margin": 0.001, "range_max": 150}
"""A random model finds all texts alike, so that a negative is hard to tell from a positive."""


@pytest.fixture(scope="module")
def hard(few: Pairs, tiny_neox: Path, tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return mine_negatives(few, str(tiny_neox), tmp_path_factory.mktemp("mined") / "hard", **ASKED)  # type: ignore[arg-type]


def test_negatives_are_wrong_answers_from_the_training_split(few: Pairs, hard: Pairs) -> None:
    table = hard.table("train").to_pylist()
    right = {(text_key(row["query"]), text_key(row["positive"])) for row in table}
    training = {row["positive"] for row in table}
    held_out = {
        text for split in ("validation", "test") for side in ("query", "positive")
        for text in few.table(split).column(side).to_pylist()
    }  # fmt: skip
    found = 0
    for row in table:
        negatives = row["negatives"]
        assert len(set(negatives)) == len(negatives) <= 3
        for text in negatives:
            found += 1
            assert text in training and text not in held_out
            assert (text_key(row["query"]), text_key(text)) not in right
            assert text not in (row["query"], row["positive"])
    assert hard.info.mined is not None
    assert found == hard.info.mined.negatives > 200


def test_negatives_are_the_most_similar_that_keep_the_margin(few: Pairs, hard: Pairs, tiny_neox: Path) -> None:
    """By all similarities at once, in another way than the library's search."""
    model = load_embedder(str(tiny_neox), 75)
    table = few.table("train").to_pydict()
    documents = list(dict.fromkeys(table["positive"]))
    q, d = (model.encode(texts, convert_to_tensor=True) for texts in (table["query"], documents))
    scores = (q @ d.T).tolist()
    right: dict[str, set[str]] = {}
    for query, positive in zip(table["query"], table["positive"], strict=True):
        right.setdefault(query, set()).add(positive)
    lists = negatives_of(hard, 0, hard.rows("train"))
    found = 0
    for row, query in enumerate(table["query"]):
        lowest = min(scores[row][documents.index(one)] for one in right[query])
        limit = lowest - 0.001 * abs(lowest)
        nearest = sorted(zip(scores[row], documents, strict=True), reverse=True)[:152]
        wanted = [score for score, text in nearest if text not in right[query] and score <= limit][:3]
        assert [scores[row][documents.index(text)] for text in lists[row]] == pytest.approx(wanted, abs=1e-5)
        found += len(wanted)
    assert found > 200


def test_the_rest_of_the_folder_is_as_it_was(few: Pairs, hard: Pairs) -> None:
    for split in ("train", "validation", "test"):
        assert hard.table(split).select(few.table(split).column_names).equals(few.table(split))
        assert (hard.rows(split), hard.info.splits[split].groups) == (few.rows(split), few.info.splits[split].groups)
    assert hard.hash != few.hash
    assert load_pairs(hard.folder).info == hard.info


def test_its_cost_is_kept(few: Pairs, hard: Pairs, tiny_neox: Path) -> None:
    model = load_embedder(str(tiny_neox), 75)
    assert forward_params(model) == find_shape(str(tiny_neox)).model_params
    table, tokenizer = few.table("train"), load_tokenizer(str(tiny_neox))
    texts = [text for side in ("query", "positive") for text in dict.fromkeys(table.column(side).to_pylist())]
    tokens = sum(min(75, len(tokenizer(text)["input_ids"])) for text in texts)
    assert hard.info.mined is not None
    assert hard.info.mined.tokens == tokens
    assert hard.info.mined.flops == 2 * find_shape(str(tiny_neox)).model_params * tokens


def test_mining_again_gives_the_same(
    few: Pairs, hard: Pairs, tiny_neox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = mine_negatives(few, str(tiny_neox), tmp_path / "other", **ASKED)  # type: ignore[arg-type]
    assert (other.hash, other.info.mined) == (hard.hash, hard.info.mined)
    for changes in ({"negatives": 2}, {"margin": 0.003}, {"range_min": 3}):
        asked: dict[str, Any] = ASKED | changes
        assert mine_negatives(few, str(tiny_neox), tmp_path / "other", **asked).hash != hard.hash
    monkeypatch.setattr("embudget.evaluation.mining._search", lambda *_: pytest.fail("what is there is opened"))
    assert mine_negatives(few, str(tiny_neox), hard.folder, **ASKED).hash == hard.hash  # type: ignore[arg-type]


def test_a_folder_of_a_trained_model_mines_in_indexed_files(few: Pairs, tiny_neox: Path, tmp_path: Path) -> None:
    model = train(config_for(tiny_neox, few, train_flops=1.5e9, eval_pairs=8, eval_candidates=8), few)
    model.save(str(tmp_path / "model"))
    (tmp_path / "mine").mkdir()
    for split in ("train", "validation"):
        table = few.table(split).select(["query", "positive"]).rename_columns(["question", "answer"])
        pq.write_table(table, tmp_path / "mine" / f"{split}.parquet")
    pairs = index_pairs(tmp_path / "mine")
    hard = mine_negatives(pairs, str(tmp_path / "model"), tmp_path / "hard", negatives=2, absolute=True, margin=0)
    assert hard.table("train").select(["query", "positive"]).equals(few.table("train").select(["query", "positive"]))
    assert hard.info.mined is not None and hard.info.mined.negatives > 0
    run = config_for(tiny_neox, hard, negatives=2, train_flops=1.5e9, eval_pairs=8, eval_candidates=8)
    assert train(run, hard, with_record=True)[1].status in ("done", "no_gain")
    again = mine_negatives(pairs, str(tmp_path / "model"), tmp_path / "hard", negatives=1, absolute=True, margin=0)
    assert again.hash != hard.hash, "what was mined may be replaced"


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"negatives": 0}, PairsError, "negatives must be between 1 and 64, got 0"),
        ({"negatives": 65}, PairsError, "negatives must be between 1 and 64, got 65"),
        ({"margin": -0.1}, PairsError, "margin must be between 0 and 2, got -0.1"),
        ({"margin": float("nan")}, PairsError, "margin must be between 0 and 2, got nan"),
        ({"range_min": -1}, PairsError, "range_min must be >= 0, got -1"),
        (
            {"range_min": 5, "range_max": 6},
            PairsError,
            "range_max must leave 4 candidates behind the first range_min=5",
        ),
        ({"max_length": 0}, PairsError, "max_length must be >= 1, got 0"),
        ({"margin": 2.0}, PairsError, "no hard negative was found in "),
        ({"model": "no-such-model"}, ModelError, "no-such-model"),
    ],
)
def test_what_cannot_be_mined_is_refused_in_one_line(
    few: Pairs, tiny_neox: Path, tmp_path: Path, changes: dict[str, object], kind: type[EmbudgetError], message: str
) -> None:
    given = {"model": str(tiny_neox), "out": tmp_path / "hard", "negatives": 4} | changes
    with pytest.raises(kind, match=message) as raised:
        mine_negatives(few, **given)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir()), "nothing half-written"


def test_pairs_with_nothing_to_mine_in_are_refused(tiny_neox: Path, tmp_path: Path) -> None:
    for split, count in (("train", 1), ("validation", 2)):
        columns = {side: pa.array([f"{split} {side} {row}" for row in range(count)]) for side in ("query", "positive")}
        pq.write_table(pa.table(columns), tmp_path / f"{split}.parquet")
    with pytest.raises(PairsError, match="must hold training pairs to mine in, got 1"):
        mine_negatives(index_pairs(tmp_path), str(tiny_neox), tmp_path / "hard")


def test_other_peoples_files_are_not_replaced(few: Pairs, tiny_neox: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(PairsError, match="holds other files"):
        mine_negatives(few, str(tiny_neox), tmp_path)
    with pytest.raises(EmbudgetError, match="out"):
        mine_negatives(few, str(tiny_neox), few.folder)


def test_the_command_says_what_it_found_and_what_it_cost(run: Run, few: Pairs, tiny_neox: Path, tmp_path: Path) -> None:
    out = tmp_path / "hard"
    done = run("pairs", "mine", str(few.folder), "--model", str(tiny_neox), "--out", str(out), "--negatives", "2",
               "--absolute-margin", "0",
               "--range-max", "150")  # fmt: skip
    mined = load_pairs(out).info.mined
    assert mined is not None
    assert done.code == 0
    assert f"{mined.negatives:,} hard negatives for {mined.pairs:,} of {few.rows('train'):,} training pairs" in done.out
    assert f"{mined.flops:.3g} FLOP, 2N for each of {mined.tokens:,} tokens" in done.out
    failed = run("pairs", "mine", str(few.folder), "--model", str(tmp_path / "none"), "--out", str(tmp_path / "x"))
    assert failed.code == 2
