"""Whole groups are held out, in the shares that are promised."""

from collections import Counter

import pytest

from embudget.pairs.splitting import SHARES, assign_groups


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
