"""How related methods share their coefficients."""

import numpy as np
import pytest

from embudget.laws.basis import basis_of
from embudget.methods import kind_of

RANKS = ("lora:4", "lora:8", "lora:16", "lora:64", "lora:128")


@pytest.mark.parametrize("methods", [("full",), ("bias", "full", "lora:8"), RANKS, (*RANKS, "freeze:0.5", "full")])
def test_rows_are_positive_and_sum_to_one(methods: tuple[str, ...]) -> None:
    basis = basis_of(methods)
    rows = np.array([basis[method] for method in methods])
    assert set(basis) == set(methods)
    assert (rows >= 0).all()
    assert rows.sum(axis=1) == pytest.approx(1)


def test_kinds_do_not_touch_each_other() -> None:
    basis = basis_of(("full", "lora:8", "lora:32", "freeze:0.5"))
    used: dict[str, set[int]] = {kind: set() for kind in ("full", "lora", "freeze")}
    for method, row in basis.items():
        used[kind_of(method)] |= set(np.flatnonzero(row).tolist())
    assert {kind: len(columns) for kind, columns in used.items()} == {"full": 1, "lora": 2, "freeze": 1}
    assert set.union(*used.values()) == set(range(4))


def test_other_options_are_another_family() -> None:
    basis = basis_of(["lora:8", "lora:32", "lora:32:alpha=16", "lora:32:layers=mlp"])
    overlaps = [basis["lora:32"] @ basis[other] for other in ("lora:32:alpha=16", "lora:32:layers=mlp")]
    assert overlaps == [0.0, 0.0]
    assert basis["lora:32:alpha=16"] @ basis["lora:32:layers=mlp"] == 0.0


def test_one_and_two_and_three_values_have_a_coefficient_each() -> None:
    for count in (1, 2, 3):
        basis = basis_of(RANKS[:count])
        rows = np.array(list(basis.values()))
        assert rows.shape == (count, count)
        assert np.linalg.matrix_rank(rows) == count  # any three coefficients can be reached


def test_the_ends_have_a_coefficient_of_their_own() -> None:
    basis = basis_of(RANKS)
    assert basis["lora:4"].tolist() == [1, 0, 0]
    assert basis["lora:128"].tolist() == [0, 0, 1]


def test_many_values_lie_on_a_parabola_in_the_log_rank() -> None:
    x = np.log([4, 8, 16, 64, 128])
    basis = basis_of(RANKS)
    rows = np.array([basis[rank] for rank in RANKS])
    assert rows.shape == (5, 3)
    for truth in (2 + 0.3 * x, 3 + 0.2 * (x - np.log(32)) ** 2):
        _, rest, *_ = np.linalg.lstsq(rows, truth, rcond=None)
        assert rest == pytest.approx(0, abs=1e-20)
    _, rest, *_ = np.linalg.lstsq(rows, x**3, rcond=None)
    assert rest > 0.01


def test_two_values_lie_on_a_line_in_the_log_fraction() -> None:
    basis = basis_of(("freeze:0.25", "freeze:1"))
    between = basis_of(("freeze:0.25", "freeze:0.5", "freeze:1"))["freeze:0.5"]
    assert np.eye(2).tolist() == [row.tolist() for row in basis.values()]
    assert between == pytest.approx([0.25, 0.5, 0.25])  # 0.5 is half way between 0.25 and 1 by their logarithms


def test_the_order_of_the_methods_does_not_matter() -> None:
    forth, back = basis_of(RANKS), basis_of(RANKS[::-1])
    assert all(np.array_equal(forth[rank], back[rank]) for rank in RANKS)
