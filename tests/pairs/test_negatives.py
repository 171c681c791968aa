"""Hard negatives are kept as they are, unless they are none: then they are left out and counted, and the pair stays."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from embudget.limits import MOST_NEGATIVES
from embudget.pairs import RawPair, build_from, load_pairs, token_stats
from embudget.pairs.cleaning import Cleaned, clean
from embudget.pairs.sources.base import OWN_TEXTS
from embudget.pairs.splitting import SPLITS, Split
from tests.command_line import Run

from .conftest import MadeSource, made_pairs


def _clean(*pairs: RawPair, **options: bool) -> Cleaned:
    return clean([MadeSource(pairs, rules=OWN_TEXTS)], None, 0, lambda stage, count: None, **options)


def test_negatives_stay_as_they_are_in_their_order() -> None:
    negatives = ("  def f():\n\treturn 1 ", "b", "a")
    (row,) = _clean(RawPair("q", "p", None, negatives)).rows
    assert row.negatives == negatives


@pytest.mark.parametrize(
    ("negative", "flaw"),
    [
        (" q\n", "repeats the query"),
        ("p", "repeats the positive"),
        ("Ｐ１", "positive of the query"),  # in full width
        ("n  1", "repeated"),
        (" \u200b", "empty"),
    ],
)
def test_what_is_no_negative_is_left_out_and_counted(negative: str, flaw: str) -> None:
    result = _clean(
        RawPair("q", "p", None, ("n 1", negative, "n 2")), RawPair("q", "P1", None), RawPair("r", "n 2", None)
    )
    assert {row.positive: row.negatives for row in result.rows} == {"p": ("n 1", "n 2"), "P1": (), "n 2": ()}
    assert result.dropped_negatives == {"made": {flaw: 1}} and not result.dropped["made"]


def test_a_positive_of_the_query_counts_even_if_its_pair_was_left_out() -> None:
    pairs = RawPair("q", "p", None, ("other",)), RawPair("q", "other", None)
    result = _clean(*pairs, one_per_query=True)
    assert len(result.rows) == 1 and result.rows[0].negatives == ()


def test_at_most_so_many_are_kept() -> None:
    result = _clean(RawPair("q", "p", None, tuple(f"n {n}" for n in range(100))))
    assert result.rows[0].negatives == tuple(f"n {n}" for n in range(MOST_NEGATIVES))
    assert result.dropped_negatives == {"made": {"over 64": 100 - MOST_NEGATIVES}}


def test_documentation_compares_its_negatives_by_words() -> None:
    query, positive, *_ = made_pairs(1, 1)[0]
    source = MadeSource([RawPair(query, positive, "a", (positive.upper(), " An other\n text. "))])
    result = clean([source], None, 0, lambda stage, count: None)
    assert result.rows[0].negatives == ("An other text.",)
    assert result.dropped_negatives == {"made": {"repeats the positive": 1}}


def _pairs(split: Split | None, *numbers: int, negatives: tuple[str, ...] = ()) -> list[RawPair]:
    return [RawPair(f"what is {n}", f"{n} plus zero", None, negatives, split) for n in numbers]


def test_held_out_texts_are_no_negatives_of_training_pairs(tmp_path: Path) -> None:
    negatives = ("what is 101", "101 plus zero", "what is 102", "shared", "fine")
    shared = [RawPair("how is 104", "shared", None, (), "train"), RawPair("how is 105", "shared", None, (), "test")]
    source = MadeSource(
        [
            *_pairs("train", *range(10), negatives=negatives),
            *_pairs("test", 101, negatives=("what is 1",)),
            *_pairs("validation", 102, negatives=("101 plus zero", "1 plus zero")),
            *shared,
        ],
        rules=OWN_TEXTS,
    )
    pairs = build_from([source], tmp_path / "out", on_remark=lambda line: None)
    found = {row["query"]: row["negatives"] for split in SPLITS for row in pairs.table(split).to_pylist()}
    assert found["what is 3"] == ["shared", "fine"]
    assert found["what is 101"] == ["what is 1"] and found["what is 102"] == ["101 plus zero", "1 plus zero"]
    assert pairs.info.sources["made"].dropped_negatives == {"held out": 30}
    assert pairs.info.sources["made"].negatives == 10 * 2 + 1 + 2


def test_the_hash_covers_negatives_only_where_there_are_any(tmp_path: Path) -> None:
    plain = made_pairs(20, 5)
    hashes = []
    for number, negatives in enumerate([(), ("a",), ("a", "b"), ("ab",), ("b", "a")]):
        pairs = [pair._replace(negatives=negatives) for pair in plain]
        built = build_from([MadeSource(pairs)], tmp_path / str(number), on_remark=lambda line: None)
        hashes.append(built.hash)
        columns = {*pq.read_schema(tmp_path / str(number) / "train.parquet").names}
        assert ("negatives" in columns) == bool(negatives)
    assert len(set(hashes)) == 5
    assert hashes[0] == build_from([MadeSource(plain)], tmp_path / "plain").hash


def test_a_part_of_the_rows_is_read_with_its_negatives(tmp_path: Path) -> None:
    pairs = [pair._replace(negatives=(f"no {n}",) * (n % 2)) for n, pair in enumerate(made_pairs(20, 5))]
    built = build_from([MadeSource(pairs)], tmp_path / "out", on_remark=lambda line: None)
    table = load_pairs(built.folder).table("train")
    assert built.head("train", 3) == table.slice(0, 3) and built.read("train", 5, 9) == table.slice(5, 4)
    expected = {pair.query: list(pair.negatives) for pair in pairs}
    assert all(row["negatives"] == expected[row["query"]] for row in table.to_pylist())


def test_lengths_of_texts_do_not_change_by_negatives(tmp_path: Path, tiny_llama: Path) -> None:
    plain = made_pairs(20, 5)
    long = [pair._replace(negatives=("a long text " * 50,)) for pair in plain]
    stats = [
        token_stats(build_from([MadeSource(some)], tmp_path / str(at), on_remark=lambda line: None), str(tiny_llama))
        for at, some in enumerate((plain, long))
    ]
    assert stats[0] == stats[1]


def test_the_command_says_and_shows_them(run: Run, tmp_path: Path) -> None:
    rows = [{"query": f"what is {n}", "pos": [f"{n} plus zero"], "neg": [f"no {n}", f"what is {n}"]} for n in range(60)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    done = run("pairs", "build", f"files:{path}", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert done.err.splitlines() == [
        f"files:{path}: read as FlagEmbedding: query, pos, neg",
        f"files:{path}: 60 hard negatives, others were left out: 60 repeats the query",
    ]
    assert f"files:{path}: 60 hard negatives\n" in done.out
    assert "  negative  no " in run("pairs", "show", tmp_path / "out", "-n", 1).out
