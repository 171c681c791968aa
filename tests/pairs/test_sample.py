"""What a held-out loss is measured on: few pairs of each of many groups, the same whatever the order of the files."""

import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.pairs import Pairs, index_pairs
from embudget.pairs.sample import MOST, Drawn, draw_evenly
from embudget.pairs.splitting import order_key

Rows = list[dict[str, str]]


def indexed(folder: Path, rows: Rows, **writing: int) -> Pairs:
    """Pairs whose validation rows are these."""
    folder.mkdir(parents=True)
    train = pa.table({name: [f"{name} to train on"] for name in rows[0]})
    for split, table in (("train", train), ("validation", pa.Table.from_pylist(rows))):
        pq.write_table(table, folder / f"{split}.parquet", **writing)
    return index_pairs(folder)


def made(sizes: dict[tuple[str, str], int]) -> Rows:
    return [
        {"query": f"{source} {group} asks {n}", "positive": f"{group} says {n}", "group": group, "source": source}
        for (source, group), size in sizes.items()
        for n in range(size)
    ]


UNEVEN = {("a", f"g{n}"): 1 + 7 * n for n in range(30)} | {("b", f"g{n}"): 40 for n in range(8)}


def shares(drawn: list[Drawn], part: int) -> Counter[str]:
    return Counter(pair.group.split("/")[part] for pair in drawn)


def test_sources_and_groups_give_evenly(tmp_path: Path) -> None:
    drawn = draw_evenly(indexed(tmp_path / "p", made(UNEVEN)), "validation", 100)
    assert shares(drawn, 0) == {"a": 50, "b": 50}
    of_groups = Counter(pair.group for pair in drawn)
    assert {count for group, count in of_groups.items() if group.startswith("b/")} <= {6, 7}
    assert sorted(count for group, count in of_groups.items() if group.startswith("a/")) == [1] * 10 + [2] * 20


def test_a_source_that_has_no_more_lets_the_others_go_on(tmp_path: Path) -> None:
    """And of no group more than ten are taken while another has some left."""
    drawn = draw_evenly(indexed(tmp_path / "p", made(UNEVEN)), "validation", 300)
    assert shares(drawn, 0) == {"a": 220, "b": 80}
    assert max(Counter(pair.group for pair in drawn).values()) == MOST


def test_where_groups_are_few_they_give_more(tmp_path: Path) -> None:
    drawn = draw_evenly(indexed(tmp_path / "p", made({("a", f"g{n}"): 100 for n in range(4)})), "validation", 120)
    assert set(Counter(pair.group for pair in drawn).values()) == {30}


def test_a_larger_sample_begins_with_a_smaller_one(tmp_path: Path) -> None:
    pairs = indexed(tmp_path / "p", made(UNEVEN))
    every = draw_evenly(pairs, "validation", 10_000)
    assert len(every) == pairs.rows("validation") == len(set(every))
    for count in (1, 2, 37, 300, 1000):
        assert draw_evenly(pairs, "validation", count) == every[:count]


def test_neighbours_are_of_other_groups(tmp_path: Path) -> None:
    drawn = draw_evenly(indexed(tmp_path / "p", made({("a", f"g{n}"): 20 for n in range(60)})), "validation", 512)
    for start in range(0, 512, 60):
        assert len({pair.group for pair in drawn[start : start + 60]}) == len(drawn[start : start + 60])


@pytest.mark.parametrize("columns", [("group", "source"), ("group",), ("source",), ()])
def test_the_order_of_the_rows_does_not_matter(tmp_path: Path, columns: tuple[str, ...]) -> None:
    rows = [{name: row[name] for name in ("query", "positive", *columns)} for row in made(UNEVEN)]
    one = draw_evenly(indexed(tmp_path / "one", rows), "validation", 200)
    random.Random(0).shuffle(rows)
    other = draw_evenly(indexed(tmp_path / "other", rows, row_group_size=100), "validation", 200)
    assert one == other and len(set(one)) == 200
    if "group" not in columns:
        assert len({pair.group for pair in one}) == 200, "each row is a group"


@pytest.mark.parametrize("columns", [("group", "source"), ("group",), ()])
def test_more_rows_than_are_kept_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: tuple[str, ...]
) -> None:
    """What is dropped on the way would never have been drawn: the same comes out as by ordering all rows at once."""
    rows = [{name: row[name] for name in ("query", "positive", *columns)} for row in made(UNEVEN)]
    pairs = indexed(tmp_path / "p", rows)
    wanted = draw_evenly(pairs, "validation", 150)
    monkeypatch.setattr("embudget.pairs.sample._known", {})  # or it would only be remembered
    monkeypatch.setattr("embudget.pairs.shards._BATCH", 16)
    assert draw_evenly(pairs, "validation", 150) == wanted


def test_a_source_for_each_row_is_no_source(tmp_path: Path) -> None:
    rows = [row | {"source": f"https://{number}"} for number, row in enumerate(made(UNEVEN))]
    drawn = draw_evenly(indexed(tmp_path / "p", rows), "validation", 30)
    assert len({pair.group for pair in drawn}) == 30


def test_a_built_group_is_named_once(tiny_pairs: Pairs) -> None:
    drawn = draw_evenly(tiny_pairs, "validation", 50)
    assert {pair.group for pair in drawn} == set(tiny_pairs.table("validation")["group"].to_pylist())
    assert all(group.startswith("files/service-") for group in {pair.group for pair in drawn})


def test_within_a_group_the_texts_decide(tmp_path: Path) -> None:
    rows = made({("a", "g"): 30})
    drawn = draw_evenly(indexed(tmp_path / "p", rows), "validation", 5)
    keys = [order_key(0, row["query"], row["positive"]) for row in rows]
    assert [order_key(0, pair.query, pair.positive) for pair in drawn] == sorted(keys)[:5]
