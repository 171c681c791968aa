"""Whole groups are held out, in the shares that are promised."""

from collections import Counter

import pytest

from embudget.pairs.splitting import SHARES, Texts, assign_groups, join_groups, labels


def _rows(sizes: dict[str, int], source: str = "s") -> list[tuple[str, str]]:
    return [(source, group) for group, size in sizes.items() for _ in range(size)]


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_met_with_few_large_groups(seed: int) -> None:
    sizes = {f"large{n}": 5000 for n in range(4)} | {f"small{n}": 50 + 13 * n for n in range(40)}
    assigned = assign_groups(_rows(sizes), seed)
    rows = Counter[str]()
    for group, split in assigned.items():
        rows[split] += sizes[group]
    total = sum(sizes.values())
    for split, share in SHARES.items():
        assert 0.8 * share <= rows[split] / total <= share + 0.001
    assert all(assigned[f"large{n}"] == "train" for n in range(4))


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
