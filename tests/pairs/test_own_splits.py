"""Splits that data come with stay what they are, and no held-out query is trained on."""

import json
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import Pairs, RawPair, build_from, build_pairs
from embudget.pairs.own_splits import choose_splits, split_named, splits_of_files
from embudget.pairs.sources.base import OWN_TEXTS
from embudget.pairs.splitting import SPLITS, Split

from .conftest import MadeSource


def _write(path: Path, numbers: range) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    rows = [{"query": f"what is {n}", "positive": f"{n} plus zero"} for n in numbers]
    path.write_text("\n".join(map(json.dumps, rows)))


def _build(folder: Path, *, resplit: bool = False) -> Pairs:
    return build_pairs([f"files:{folder / 'data'}"], folder / "out", resplit=resplit, on_remark=lambda line: None)


def _queries(pairs: Pairs, split: Split) -> set[str]:
    return set(pairs.table(split)["query"].to_pylist())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train.jsonl", "dev.jsonl", "test.jsonl"], ["train", "validation", "test"]),
        (["data/train-00000-of-00002.parquet", "data/validation-00000-of-00001.parquet"], ["train", "validation"]),
        (["banking77_train.csv", "banking77_test.csv", "more.csv"], ["train", "test", "train"]),
        (["train/a.jsonl", "val/a.jsonl"], ["train", "validation"]),
        (["test_cases.csv", "faq.csv"], [None, None]),
        (["train.csv", "training_2.csv"], [None, None]),
        (["trainer.csv", "test.csv", "contest.csv"], [None, None, None]),
    ],
)
def test_names_tell_the_split(names: list[str], expected: list[Split | None]) -> None:
    assert splits_of_files([Path(name) for name in names]) == expected


def test_splits_of_a_data_set_are_chosen_by_name() -> None:
    assert (split_named("DEV"), split_named("unlabelled")) == ("validation", None)
    splits = ["unlabelled", "train", "dev", "test"]
    assert choose_splits(splits, resplit=False) == (
        [("test", "test"), ("dev", "validation"), ("train", "train")],
        ["unlabelled"],
    )
    assert choose_splits(splits, resplit=True) == ([("train", None)], ["unlabelled", "dev", "test"])
    assert choose_splits(["pair", "triplet"], resplit=False) == ([("pair", None)], ["triplet"])


def test_files_named_as_splits_stay_them(tmp_path: Path) -> None:
    numbers = {"train": range(100), "dev": range(100, 120), "test": range(120, 150)}
    for name, of_name in numbers.items():
        _write(tmp_path / "data" / f"{name}.jsonl", of_name)
    pairs = _build(tmp_path)
    assert [pairs.rows(split) for split in SPLITS] == [100, 20, 30]
    own = {f"what is {n}" for n in range(100, 120)}
    assert _queries(pairs, "validation") == own
    assert pairs.info.sources[f"files:{tmp_path / 'data'}"].own_splits == SPLITS
    anew = _build(tmp_path, resplit=True)
    assert sum(map(anew.rows, SPLITS)) == 150 and _queries(anew, "validation") != own
    assert anew.hash != pairs.hash and not anew.info.sources[f"files:{tmp_path / 'data'}"].own_splits


def test_a_split_that_is_missing_is_made_of_the_training_pairs(tmp_path: Path) -> None:
    _write(tmp_path / "data" / "train.jsonl", range(100))
    _write(tmp_path / "data" / "test.jsonl", range(100, 150))
    pairs = _build(tmp_path)
    assert pairs.rows("test") == 50 and 1 <= pairs.rows("validation") == 100 - pairs.rows("train") <= 20
    assert _queries(pairs, "validation") <= {f"what is {n}" for n in range(100)}


def test_a_saved_data_set_keeps_its_splits(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    parts = {"train": range(100), "validation": range(100, 110), "test": range(110, 130), "unlabelled": range(3)}
    data = {
        name: Dataset.from_list([{"query": f"what is {n}", "positive": f"{n} plus zero"} for n in numbers])
        for name, numbers in parts.items()
    }
    DatasetDict(data).save_to_disk(str(tmp_path / "data"))
    pairs = _build(tmp_path)
    assert [pairs.rows(split) for split in SPLITS] == [100, 10, 20]
    assert pairs.info.sources[f"files:{tmp_path / 'data'}"].ignored_splits == ("unlabelled",)
    assert sum(map(_build(tmp_path, resplit=True).rows, SPLITS)) == 100


def _made(*pairs: tuple[str, str, Split]) -> MadeSource:
    train = [RawPair(f"what is {n}", f"{n} plus zero", None, (), "train") for n in range(50)]
    return MadeSource([*(RawPair(*pair[:2], None, (), pair[2]) for pair in pairs), *train], rules=OWN_TEXTS)


def test_a_text_of_a_held_out_query_leaves_train_and_is_counted(tmp_path: Path) -> None:
    source = _made(
        ("what is 1", "another answer", "test"),  # its query trains with another positive
        ("A question", " what is 2\n", "validation"),  # a query that trains is its positive
        ("3 plus  zero", "An answer", "validation"),  # a positive that trains is its query
        ("Who knows?", "4 plus zero", "test"),  # documents may be those of both
        ("Who knows?", "5 plus zero", "validation"),  # in test already
        ("Who else?", "6 plus zero", "validation"),
    )
    pairs = build_from([source], tmp_path / "out", on_remark=lambda line: None)
    assert [pairs.rows(split) for split in SPLITS] == [47, 3, 2]
    assert pairs.info.sources["made"].dropped == {"in a held-out split": 4}
    assert not _queries(pairs, "train") & {"what is 1", "what is 2", "what is 3"}
    assert "what is 4" in _queries(pairs, "train") and "Who knows?" in _queries(pairs, "test")


def test_the_copy_that_leaves_is_the_one_in_train(tmp_path: Path) -> None:
    _write(tmp_path / "data" / "train.jsonl", range(100))
    _write(tmp_path / "data" / "validation.jsonl", range(95, 120))
    _write(tmp_path / "data" / "test.jsonl", range(110, 150))
    pairs = _build(tmp_path)
    assert [pairs.rows(split) for split in SPLITS] == [95, 15, 40]


def test_groups_of_other_sources_stay_out_of_a_held_out_split_too(tmp_path: Path) -> None:
    own = _made(("how is 7", "7 is well", "test"), ("how is 8", "8 is well", "validation"))
    others = [RawPair(f"how is {n}", f"{n} is well, thank you", None) for n in range(100)]
    pairs = build_from([own, MadeSource(others, "others", OWN_TEXTS)], tmp_path / "out", on_remark=lambda line: None)
    assert pairs.info.sources["others"].dropped == {"in a held-out split": 2}
    assert pairs.info.sources["made"].pairs == {"train": 50, "validation": 1, "test": 1}
    of_others = pairs.info.sources["others"].pairs
    assert of_others["validation"] and of_others["test"], "a source without splits gets some as ever"
    queries = [_queries(pairs, split) for split in SPLITS]
    assert len(set.union(*queries)) == sum(map(len, queries))


def test_a_pair_that_shares_a_text_with_one_that_must_train_trains(tmp_path: Path) -> None:
    own = _made(("a", "b", "test"), ("c", "d", "validation"))
    others = [RawPair(f"how is {n}", f"{n % 50} plus zero", None) for n in range(100)]
    pairs = build_from([own, MadeSource(others, "others", OWN_TEXTS)], tmp_path / "out", on_remark=lambda line: None)
    assert [pairs.rows(split) for split in SPLITS] == [150, 1, 1]


def test_no_pair_to_validate_on_is_refused(tmp_path: Path) -> None:
    pairs = [RawPair("a", "b", None, (), "train"), RawPair("c", "d", None, (), "test")]
    with pytest.raises(PairsError, match=r"^too few pairs: .*which leaves nothing for validation"):
        build_from([MadeSource(pairs, rules=OWN_TEXTS)], tmp_path / "out")
