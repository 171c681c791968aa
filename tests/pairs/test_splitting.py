"""Whole groups are held out, in the shares that are promised."""

import json
import random
import time
from pathlib import Path

import pytest

from embudget.pairs import build_pairs
from embudget.pairs.splitting import SHARES, Split, Texts, assign_groups, join_groups, labels


def _rows(sizes: dict[str, int], source: str = "s") -> list[tuple[str, str]]:
    return [(source, group) for group, size in sizes.items() for _ in range(size)]


def held_out(assigned: dict[str, Split], sizes: dict[str, int], split: Split) -> tuple[int, float]:
    """How many groups a split has, and its share of the rows."""
    groups = [group for group, one in assigned.items() if one == split]
    return len(groups), sum(sizes[group] for group in groups) / sum(sizes.values())


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_met_with_few_large_groups(seed: int) -> None:
    sizes = {f"large{n}": 5000 for n in range(4)} | {f"small{n}": 50 + 13 * n for n in range(40)}
    assigned = assign_groups(_rows(sizes), seed)
    for split, share in SHARES.items():
        groups, held = held_out(assigned, sizes, split)
        assert groups >= 44 // 5
        assert 0.7 * share <= held <= 1.3 * share
    assert all(assigned[f"large{n}"] == "train" for n in range(4))


@pytest.mark.parametrize("seed", range(5))
def test_each_held_out_split_has_many_groups_whatever_their_sizes(seed: int) -> None:
    """In the order alone, without a cap, some 17 services of the usual sizes would fill validation."""
    rng = random.Random(seed)
    scopes = {"a": 434, "b": 332, "c": 1048}
    sizes = {
        f"{scope}{n}": 1 + int(50 * rng.lognormvariate(0, 1.3)) for scope, count in scopes.items() for n in range(count)
    }
    rows = [(group[0], group) for group, size in sizes.items() for _ in range(size)]
    assigned = assign_groups(rows, seed)
    for split, share in SHARES.items():
        groups, held = held_out(assigned, sizes, split)
        assert groups >= 300 and held <= share + 0.001, (split, groups, held)


def test_the_cap_is_no_smaller_than_it_has_to_be() -> None:
    """Many groups could be had by taking the smallest; then held-out groups would be unlike all others."""
    sizes = {f"g{n:03}": 1 + n for n in range(400)}
    assigned = assign_groups(_rows(sizes), 0)
    held = [sizes[group] for group, split in assigned.items() if split == "test"]
    assert len(held) >= 80 and 120 < max(held) < 300, "the smallest 80 would end at 80"
    small = [split for group, split in assigned.items() if sizes[group] <= 80]
    assert small.count("train") >= 10


def test_groups_of_one_size_take_up_to_a_tenth_of_the_rows() -> None:
    sizes = {f"g{n}": 100 for n in range(300)}
    assigned = assign_groups(_rows(sizes), 0)
    assert held_out(assigned, sizes, "validation") == held_out(assigned, sizes, "test") == (30, 0.1)
    pairs = {f"g{n}": 1 for n in range(6000)}  # without groups each pair is one: 600 of them
    assert held_out(assign_groups(_rows(pairs), 0), pairs, "validation") == (600, 0.1)


def test_many_groups_are_assigned_in_seconds() -> None:
    sizes = {f"g{n}": 1 + (n * n) % 997 for n in range(20_000)}
    started = time.process_time()
    assign_groups(_rows(sizes), 0)
    assert time.process_time() - started < 30  # most of it is counting 10 million rows


def test_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    rows = _rows({f"g{n}": 5 for n in range(200)})
    assert assign_groups(rows, 0) == assign_groups(rows[::-1], 0)
    assert assign_groups(rows, 0) != assign_groups(rows, 1)


def test_each_source_gives_to_each_split() -> None:
    rows = _rows({f"a{n}": 1 for n in range(100)}, "a") + _rows({f"b{n}": 10 for n in range(30)}, "b")
    assigned = assign_groups(rows, 0)
    for source in "ab":
        assert {split for group, split in assigned.items() if group[0] == source} == {"train", "validation", "test"}


def test_three_groups_are_enough_and_the_largest_trains() -> None:
    assert assign_groups(_rows({"a": 10, "b": 30, "c": 20}), 0) == {"a": "test", "c": "validation", "b": "train"}


def test_two_groups_train() -> None:
    assert set(assign_groups(_rows({"a": 10, "b": 30}), 0).values()) == {"train"}


def test_groups_that_share_a_text_on_either_side_are_joined() -> None:
    pairs = [
        Texts("a", "q1", "p1"),
        Texts("b", "q1", "p2"),  # many answers for one question
        Texts("c", "q3", "p2"),  # many questions for one answer
        Texts("d", "p2", "p4"),  # a positive that is a query elsewhere
        Texts("e", "q5", "p5"),
        Texts("e", "q6", "p6"),
    ]
    assert join_groups(pairs) == {"a": "a", "b": "a", "c": "a", "d": "a", "e": "e"}
    assert join_groups(pairs[::-1]) == join_groups(pairs)


def test_labels_join_nothing_but_their_queries_do() -> None:
    pairs = [Texts(f"g{n}", f"q{n // 2}", f"label {n % 3}") for n in range(60)]
    sets = join_groups(pairs)
    assert len(set(sets.values())) == 30
    assert labels(pairs) == {"label 0": 20, "label 1": 20, "label 2": 20}


@pytest.mark.parametrize("pairs", [100, 12_500, 100_000])
def test_a_frequent_positive_is_no_label_where_many_others_fit_into_validation(pairs: int) -> None:
    for times, is_label in [(5, False), (40, pairs < 100_000), (41, True)]:
        made = [Texts(f"g{n}", f"q{n}", "p" if n < times else f"p{n}") for n in range(pairs)]
        assert bool(labels(made)) == is_label


def test_small_groups_beside_a_huge_one_fill_both_held_out_splits() -> None:
    """All three fit into the share of test, which left the huge one for validation and nothing to train on."""
    assigned = assign_groups(_rows({"a": 1, "b": 1, "c": 1, "huge": 197}), 0)
    assert assigned["huge"] == "train"
    assert set(assigned.values()) == {"train", "validation", "test"}


def test_each_of_the_user_s_sources_gives_its_share(tmp_path: Path) -> None:
    """A table without groups has the smallest there are, and was once held out whole beside one with larger groups."""
    grouped = [
        {
            "query": f"how is {word(n)} kept",
            "positive": f"in {word(n)} {word(n + 1)} by {word(2 * n)}",
            "group": n // 40,
        }
        for n in range(2_000)
    ]
    single = [{"query": f"who met {word(7 * n)}", "positive": f"nobody but {word(7 * n)} itself"} for n in range(300)]
    for name, rows in (("grouped", grouped), ("single", single)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    names = [f"files:{tmp_path / name}.jsonl" for name in ("grouped", "single")]
    pairs = build_pairs(names, tmp_path / "pairs", near_duplicates=False)
    for name in names:
        of_source = pairs.info.sources[name].pairs
        held_out = of_source["validation"] + of_source["test"]
        assert 0.05 < held_out / sum(of_source.values()) < 0.25, of_source


def word(number: int) -> str:
    """A made-up word that no other number has."""
    return "".join("bdfgklmnprstvz"[int(digit)] + "aeiou"[int(digit) % 5] for digit in f"{number:05d}")
