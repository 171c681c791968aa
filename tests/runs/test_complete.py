"""What a table leaves out: methods from their parts, tokens and FLOP from each other, budgets from levels."""

import numpy as np
import pytest

from embudget.errors import ConfigError
from embudget.methods import parse_method
from embudget.runs.columns import Columns
from embudget.runs.complete import LEVEL_SPAN, asked, levels_of, with_budgets, with_costs, with_methods
from embudget.suite import find_shape


def columns(numbers: dict[str, list[float]], texts: dict[str, list[str]] | None = None) -> Columns:
    arrays = {name: np.array(values, dtype=float) for name, values in numbers.items()}
    count = len(next(iter(arrays.values())))
    return Columns(
        source="runs.csv",
        rows=np.arange(1, count + 1),
        numbers=arrays,
        empty={name: np.isnan(values) for name, values in arrays.items()},
        texts={name: np.array(values, dtype=object) for name, values in (texts or {}).items()},
    )


def test_a_bare_method_takes_its_value_from_its_own_column() -> None:
    nan = float("nan")
    parts = columns(
        {"rank": [32, nan, nan, 8, 4, 4], "active_fraction": [nan, 0.5, 1, 0.25, nan, 0.5]},
        {"method": ["lora", "freeze", "Freeze", "lora", "full", "lora:16"]},
    )
    methods = with_methods(parts).texts["method"].tolist()
    assert methods == ["lora:32", "freeze:0.5", "freeze:1", "lora:8", "full", "lora:16"]


@pytest.mark.parametrize(
    ("method", "rank", "message"),
    [
        ("lora", float("nan"), "row 2: method must be .* got 'lora'"),
        ("lora", 2.5, "row 2: method must be .* got 'lora:2.5'"),
        ("lora", -1.0, "row 2: rank of lora must be >= 1, got -1"),
        ("sft", 8.0, "row 2: method must be .* got 'sft'"),
    ],
)
def test_a_method_that_is_none_is_named_with_its_row(method: str, rank: float, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^runs.csv: {message}"):
        with_methods(columns({"rank": [8, rank]}, {"method": ["lora", method]}))


def test_without_methods_tokens_are_flops_over_six_n() -> None:
    sizes, texts = find_shape("pythia-70m").model_params, {"model": ["pythia-70m", "ours"]}
    given = with_methods(columns({"model_params": [sizes, 2e7], "train_flops": [6e14, 6e14]}, texts))
    full = with_costs(given, by_shape=False)  # a known model too
    assert full.texts["method"].tolist() == ["full", "full"]
    assert full.numbers["tokens"].tolist() == [pytest.approx(1e14 / sizes), 5e6]


@pytest.mark.parametrize(("method", "per_param"), [("full", 6), ("freeze:0.25", 3), ("bias", 4), ("lora:32", 4)])
def test_costs_of_an_unknown_model_follow_its_size(method: str, per_param: float) -> None:
    texts = {"method": [method], "model": ["llama-of-ours"]}
    priced = with_costs(columns({"model_params": [1e8], "tokens": [1e9]}, texts), by_shape=True)
    assert priced.numbers["train_flops"] == pytest.approx(per_param * 1e8 * 1e9)
    back = with_costs(columns({"model_params": [1e8], "train_flops": [per_param * 1e17]}, texts), by_shape=True)
    assert back.numbers["tokens"] == pytest.approx(1e9)


@pytest.mark.parametrize("method", ["full", "freeze:0.5", "bias", "lora:32"])
def test_costs_of_a_known_member_are_exact(method: str) -> None:
    shape = find_shape("pythia-70m:4")
    texts = {"method": [method, method], "model": ["pythia-70m:4", "pythia-70m:99"]}  # the other has no 99 blocks
    priced = with_costs(columns({"model_params": [shape.model_params] * 2, "tokens": [1e9] * 2}, texts), by_shape=True)
    per_token = parse_method(method).flops_per_token(shape)
    approximate = parse_method(method).flops_per_param * shape.model_params
    assert priced.numbers["train_flops"].tolist() == [per_token * 1e9, approximate * 1e9]


def test_a_known_member_of_another_size_is_priced_by_the_size_given() -> None:
    """70 M with the embeddings, or of a depth that the table does not name: its FLOP are counted in that size."""
    size = find_shape("pythia-70m").model_params
    texts = {"model": ["pythia-70m"] * 3, "method": ["full"] * 3}
    priced = with_costs(columns({"model_params": [7e7, 1.04 * size, 0.96 * size], "train_flops": [1e15] * 3}, texts),
                        by_shape=True)  # fmt: skip
    per_token = parse_method("full").flops_per_token(find_shape("pythia-70m"))
    assert priced.numbers["tokens"] == pytest.approx([1e15 / (6 * 7e7), 1e15 / per_token, 1e15 / per_token])


def test_tokens_and_flops_that_are_both_there_are_kept() -> None:
    given = columns({"model_params": [1e8], "tokens": [1e9], "train_flops": [1e18]}, {"method": ["full"]})
    assert with_costs(given, by_shape=True).numbers == given.numbers


def test_given_budgets_are_kept_and_others_are_levels() -> None:
    given = columns({"train_flops": [1.0e15, 1.1e15], "budget": [1e15, 1e15]})
    assert with_budgets(given).numbers["budget"].tolist() == [1e15, 1e15]
    level = with_budgets(columns({"train_flops": [1.0e15, 1.1e15]})).numbers["budget"]
    assert level == pytest.approx([1.1e30**0.5] * 2)


def test_budgets_computed_in_floats_are_one() -> None:
    sizes, tokens = np.array([1e8, 3e8, 7e8]), np.array([1e18, 4e18, 1.6e19])
    computed = np.array([6 * n * (c / (6 * n)) * (1 + k * 2**-52) for c in tokens for n in sizes for k in (0, 0, 2)])
    assert len(set(computed.tolist())) > 3
    assert sorted(set(asked(computed).tolist())) == pytest.approx(tokens, rel=1e-15)
    assert set(asked(computed).tolist()) <= set(computed.tolist())  # one that is there


def test_jitter_of_budgets_is_taken_out_by_the_value_that_is_most_frequent() -> None:
    spent = np.array([1.0e15, 1.0e15, 1.001e15, 1.004e15, 4.004e15, 4.0e15, 3.998e15, 3.99e15, 8e15, 8.09e15])
    meant = [1e15] * 4 + [3.998e15] * 4 + [8e15, 8.09e15]  # of four single values the lower middle; 1.1 % is a gap
    assert asked(spent).tolist() == meant
    assert asked(spent[::-1]).tolist() == meant[::-1]
    assert asked(np.array([])).tolist() == []


def test_budgets_that_go_on_without_a_gap_are_meant_to_differ() -> None:
    fine = np.geomspace(1e15, 2e15, 200)  # 0.35 % apart
    both = np.concatenate([fine, fine * (1 + 2**-52), [9e15, 9.01e15, 9.01e15]])
    assert len(set(asked(fine).tolist())) == 200
    assert len(set(asked(both).tolist())) == 201
    assert asked(both)[-3:].tolist() == [9.01e15] * 3


def test_levels_part_at_gaps_in_any_order() -> None:
    flops = np.array([4e15, 1e15, 1.1e15, 1.3e15, 1e15, 4.2e15])
    levels = levels_of(flops)
    assert levels[[0, 5]] == pytest.approx([(4e15 * 4.2e15) ** 0.5] * 2)
    assert levels[[1, 2, 4]] == pytest.approx([(1e15 * 1e15 * 1.1e15) ** (1 / 3)] * 3)
    assert levels[3] == 1.3e15  # 1.18 times its neighbour


def test_equal_flops_are_exactly_their_level() -> None:
    flops = np.repeat([1e12, 3e12 + 1, 7.7e13], 7)
    assert np.array_equal(levels_of(flops), flops)
    assert levels_of(np.array([])).tolist() == []


def test_a_level_that_spans_too_much_is_cut_on_a_grid() -> None:
    flops = np.geomspace(1e15, 8e15, 61)  # without a gap, three times a factor of 2, both ends included
    levels = levels_of(flops)
    assert len(set(levels)) == 3
    for level in set(levels):
        members = flops[levels == level]
        assert members.max() / members.min() <= LEVEL_SPAN * (1 + 1e-9)
        assert level == pytest.approx(np.exp(np.log(members).mean()))
    within = np.geomspace(1e15, 1.99e15, 20)
    assert len(set(levels_of(within))) == 1
