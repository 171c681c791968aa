"""What a table leaves out: methods from their parts, tokens and FLOP from each other, budgets from levels."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from embudget.errors import ConfigError
from embudget.methods import parse_method
from embudget.runs.complete import LEVEL_SPAN, asked, levels_of, with_budgets, with_costs, with_names, with_supply
from embudget.suite import find_shape

NAN = float("nan")
COSTS = {"model_params": 1e8, "tokens": 1e9, "train_flops": 1e18}


def runs(**columns: Any) -> pd.DataFrame:  # noqa: ANN401 - a value, or one for each run
    frame = pd.DataFrame(columns)
    return frame.set_axis(range(1, len(frame) + 1))


def test_a_bare_method_takes_its_value_from_its_own_column() -> None:
    parts = runs(
        method=["lora", "freeze", "Freeze", "lora", "full", "lora:16"],
        rank=[32, NAN, NAN, 8, 4, 4],
        active_fraction=[NAN, 0.5, 1, 0.25, NAN, 0.5],
        **COSTS,
    )
    methods = with_costs(parts, "runs.csv")["method"].tolist()
    assert methods == ["lora:32", "freeze:0.5", "freeze:1", "lora:8", "full", "lora:16"]


@pytest.mark.parametrize(
    ("method", "rank", "message"),
    [
        ("lora", NAN, "row 2: method must be .* got 'lora'"),
        ("lora", 2.5, "row 2: method must be .* got 'lora:2.5'"),
        ("lora", -1.0, "row 2: rank of lora must be >= 1, got -1"),
        ("sft", 8.0, "row 2: method must be .* got 'sft'"),
    ],
)
def test_a_method_that_is_none_is_named_with_its_row(method: str, rank: float, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^runs.csv: {message}"):
        with_costs(runs(method=["lora", method], rank=[8, rank], **COSTS), "runs.csv")


def test_the_first_row_of_a_bad_method_is_named() -> None:
    methods = ["full", "zeta", "alpha", "zeta"]
    with pytest.raises(ConfigError, match=r"^records: row 2: method must be .* got 'zeta'"):
        with_costs(runs(method=methods, **COSTS), None)


def test_without_methods_tokens_are_flops_over_six_n() -> None:
    size = find_shape("pythia-70m").model_params
    given = runs(model_params=[size, 2e7], train_flops=[6e14, 6e14], model=["pythia-70m", "ours"])
    full = with_costs(given, None)  # a known model is no exception
    assert full["method"].tolist() == ["full", "full"]
    assert full["tokens"].tolist() == [pytest.approx(1e14 / size), 5e6]


@pytest.mark.parametrize(("method", "per_param"), [("full", 6), ("freeze:0.25", 3), ("bias", 4), ("lora:32", 4)])
def test_costs_of_an_unknown_model_follow_its_size(method: str, per_param: float) -> None:
    given = runs(method=[method], model=["llama-of-ours"], model_params=[1e8])
    priced = with_costs(given.assign(tokens=1e9), None)
    assert priced["train_flops"].tolist() == pytest.approx([per_param * 1e8 * 1e9])
    back = with_costs(given.assign(train_flops=per_param * 1e17), None)
    assert back["tokens"].tolist() == pytest.approx([1e9])


@pytest.mark.parametrize("method", ["full", "freeze:0.5", "bias", "lora:32"])
def test_costs_of_a_known_member_are_exact(method: str) -> None:
    shape = find_shape("pythia-70m:4")
    models = ["pythia-70m:4", "pythia-70m:99"]  # the other has no 99 blocks
    priced = with_costs(runs(method=method, model=models, model_params=float(shape.model_params), tokens=1e9), None)
    per_token = parse_method(method).flops_per_token(shape)
    approximate = parse_method(method).flops_per_param * shape.model_params
    assert priced["train_flops"].tolist() == [per_token * 1e9, approximate * 1e9]


def test_a_known_member_of_another_size_is_priced_by_the_size_given() -> None:
    """70 M with the embeddings, or of a depth that the table does not name: its FLOP are counted in that size."""
    size = find_shape("pythia-70m").model_params
    given = runs(method="full", model="pythia-70m", model_params=[7e7, 1.04 * size, 0.96 * size], train_flops=1e15)
    per_token = parse_method("full").flops_per_token(find_shape("pythia-70m"))
    assert with_costs(given, None)["tokens"].tolist() == pytest.approx(
        [1e15 / (6 * 7e7), 1e15 / per_token, 1e15 / per_token]
    )


def test_tokens_and_flops_that_are_both_there_are_kept() -> None:
    given = runs(method=["full"], **COSTS)
    pd.testing.assert_frame_equal(with_costs(given, None), given)


def test_given_budgets_are_kept_and_others_are_levels() -> None:
    given = runs(train_flops=[1.0e15, 1.1e15], tokens=[1.23456e9, 1.23449e9])
    levels = with_budgets(given)
    assert levels["budget"].tolist() == pytest.approx([1.1e30**0.5] * 2)
    assert levels["length"].tolist() == pytest.approx([1.235e9, 1.234e9])
    kept = with_budgets(given.assign(budget=1e15))
    assert kept["budget"].tolist() == [1e15, 1e15]
    assert "length" not in kept


def test_a_model_without_a_name_is_called_by_its_size() -> None:
    assert with_names(runs(model_params=[1.2e8, 3e7]))["model"].tolist() == ["N=1.2e+08", "N=3e+07"]
    assert with_names(runs(model_params=[1.2e8, 3e7], model=["", "ours"]))["model"].tolist() == ["N=1.2e+08", "ours"]


def test_budgets_computed_in_floats_are_one() -> None:
    sizes, tokens = np.array([1e8, 3e8, 7e8]), np.array([1e18, 4e18, 1.6e19])
    computed = np.array([6 * n * (c / (6 * n)) * (1 + k * 2**-52) for c in tokens for n in sizes for k in (0, 0, 2)])
    assert len(set(computed.tolist())) > 3
    meant = set(asked(pd.Series(computed)).tolist())
    assert sorted(meant) == pytest.approx(tokens, rel=1e-15)
    assert meant <= set(computed.tolist())  # one that is there


def test_jitter_of_budgets_is_taken_out_by_the_value_that_is_most_frequent() -> None:
    spent = pd.Series([1.0e15, 1.0e15, 1.001e15, 1.004e15, 4.004e15, 4.0e15, 3.998e15, 3.99e15, 8e15, 8.09e15])
    meant = [1e15] * 4 + [3.998e15] * 4 + [8e15, 8.09e15]  # four single values take the lower middle; 1.1 % is a gap
    assert asked(spent).tolist() == meant
    assert asked(spent[::-1]).tolist() == meant[::-1]
    assert asked(pd.Series(np.array([]))).tolist() == []


def test_budgets_that_go_on_without_a_gap_are_meant_to_differ() -> None:
    fine = np.geomspace(1e15, 2e15, 200)  # 0.35 % apart
    both = np.concatenate([fine, fine * (1 + 2**-52), [9e15, 9.01e15, 9.01e15]])
    assert len(set(asked(pd.Series(fine)).tolist())) == 200
    assert len(set(asked(pd.Series(both)).tolist())) == 201
    assert asked(pd.Series(both))[-3:].tolist() == [9.01e15] * 3


def test_levels_part_at_gaps_in_any_order() -> None:
    levels = levels_of(pd.Series([4e15, 1e15, 1.1e15, 1.3e15, 1e15, 4.2e15])).to_numpy()
    assert levels[[0, 5]] == pytest.approx([(4e15 * 4.2e15) ** 0.5] * 2)
    assert levels[[1, 2, 4]] == pytest.approx([(1e15 * 1e15 * 1.1e15) ** (1 / 3)] * 3)
    assert levels[3] == 1.3e15  # 1.18 times its neighbour


def test_equal_flops_are_exactly_their_level() -> None:
    flops = pd.Series(np.repeat([1e12, 3e12 + 1, 7.7e13], 7), index=range(21, 0, -1))
    pd.testing.assert_series_equal(levels_of(flops), flops)
    assert levels_of(pd.Series(np.array([]))).tolist() == []


def test_a_level_that_spans_too_much_is_cut_on_a_grid() -> None:
    flops = np.geomspace(1e15, 8e15, 61)  # without a gap, three times a factor of 2, both ends included
    levels = levels_of(pd.Series(flops)).to_numpy()
    assert len(set(levels)) == 3
    for level in set(levels):
        members = flops[levels == level]
        assert members.max() / members.min() <= LEVEL_SPAN * (1 + 1e-9)
        assert level == pytest.approx(np.exp(np.log(members).mean()))
    within = np.geomspace(1e15, 1.99e15, 20)
    assert len(set(levels_of(pd.Series(within)))) == 1


def test_weights_that_were_moved_are_one_model_and_those_that_were_replaced_are_two() -> None:
    """Or one curve would be fitted through the losses of two models."""
    named = with_names(
        runs(
            model=["/a/m:2", "/b/m:2", "/b/m", "/c/m", "/c/m", "micro-1m"],
            model_weights=["sha256:1", "sha256:1", "sha256:1", "sha256:2", "sha256:3", None],
            **COSTS,
        )
    )
    assert named["model"].tolist() == ["/b/m:2", "/b/m:2", "/b/m", "/c/m (sha256:2)", "/c/m", "micro-1m"]


def test_unique_tokens_keep_apart_what_repeats_differently() -> None:
    given = runs(tokens=[1e9, 1e9, 1e9, 1e9], unique_tokens=[2e8, 2.00004e8, 1e9, NAN])
    assert with_supply(given)["supply"].tolist() == [2e8, 2e8, 0, 0]


def test_unique_tokens_follow_from_the_pairs_at_the_runs_own_length() -> None:
    given = runs(tokens=[6e5, 6e5, 6e5, 6e5], pairs_seen=[1e4, 5e3, 0, NAN], training_pairs=[2e3, NAN, 2e3, 2e3])
    found = with_supply(given)
    assert found["unique_tokens"].tolist() == [pytest.approx(1.2e5), *[pytest.approx(NAN, nan_ok=True)] * 3]
    assert "supply" not in found, "runs of one study repeat the same pairs"
    older = runs(tokens=[6e5], pairs_seen=[1e4], training_pairs=[NAN])
    assert with_supply(older) is older
