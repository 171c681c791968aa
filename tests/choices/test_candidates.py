"""What a budget may be spent on: members of suites, measured sizes, and sizes between them."""

import pytest

from embudget.choices import candidates_of, considered, evenly, in_order, measured_candidates, with_sizes_between
from embudget.choices.candidates import BETWEEN
from embudget.methods import parse_method
from embudget.runs import Cell
from embudget.suite import find_shape


def cell(method: str, size: float, budget: float, cost: float = 6.0) -> Cell:
    tokens = budget / (cost * size)
    return Cell(
        model=f"N={size:.4g}", method=method, budget=budget, model_params=size, tokens=tokens, train_flops=budget,
        loss=2.0, seeds=1, seed_squares=0.0,
    )  # fmt: skip


def test_a_member_costs_what_the_method_says_and_may_be_refused() -> None:
    full, bias = candidates_of([find_shape("smollm2-135m:2")], ["full", "bias"])
    assert full.flops_per_token == 6 * full.model_params
    assert full.refusal is None
    assert bias.refusal is not None and "bias needs a model with bias terms" in bias.refusal


def test_a_measured_size_needs_no_known_model() -> None:
    cells = [cell("full", 1e6, 1e12, 6.0), cell("full", 1e6, 4e12, 6.6), cell("full", 2e6, 4e12)]
    small, large = measured_candidates(cells, step=4.0)
    assert (small.model, small.shape, str(small.method)) == ("N=1e+06", None, "full")
    assert small.flops_per_token == pytest.approx((6.0 * 6.6) ** 0.5 * 1e6)
    assert small.budgets == pytest.approx((1e12 / 4, 4e12 * 4))  # one step beyond what was measured
    assert considered([large], [5e11, 1e12, 1.6e13, 1e14]) == [1e12, 1.6e13]


def test_sizes_between_the_measured_ones_are_interpolated_within_them() -> None:
    cells = [cell("lora:8", size, 1e12) for size in (1e6, 4e6)] + [cell("lora:32", 1e6, 1e12)]
    between = with_sizes_between(measured_candidates(cells, step=2.0))
    assert len(between) == 2 * BETWEEN
    first = between[:BETWEEN]
    assert {str(one.method) for one in first} == {"lora:8"}
    sizes = [one.model_params for one in first]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == pytest.approx((1e6, 4e6))
    assert all(one.flops_per_token == pytest.approx(6 * one.model_params) for one in first)


def test_methods_of_a_kind_are_ordered_by_their_number() -> None:
    methods = [parse_method(name) for name in ("lora:32", "full", "lora:8", "freeze:0.5", "lora:8")]
    assert [str(method) for method in in_order(methods)] == ["freeze:0.5", "full", "lora:8", "lora:32"]


def test_many_values_are_taken_evenly_with_both_ends() -> None:
    assert evenly([3.0, 1.0, 2.0], 3) == [1.0, 2.0, 3.0]
    assert evenly(map(float, range(101)), 5) == [0.0, 25.0, 50.0, 75.0, 100.0]
