"""FLOP formulas against torch's counter, and conversions of budgets."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel

from embudget.errors import BudgetError
from embudget.flops import (
    DEVICES,
    Passes,
    attention_share,
    budget_of_gpu_hours,
    executed_flops,
    find_device,
    parse_budget,
    resolve_budget,
    say_attention,
    steps_for,
    tokens_for,
    train_flops,
)
from embudget.methods import Full, Method, parse_method
from embudget.suite import SHAPES, find_shape
from tests.conftest import TINY_GROUPED, save_tiny

TEXTS, LENGTH = 3, 20


def counted(model: Any, backward: bool = True) -> int:  # noqa: ANN401 - transformers is untyped
    ids = torch.arange(TEXTS * LENGTH).reshape(TEXTS, LENGTH) % 390 + 2
    with FlopCounterMode(display=False) as counter:
        states = model(input_ids=ids).last_hidden_state
        if backward:
            torch.autograd.backward(states.pow(2).mean())
    return int(counter.get_total_flops())


def load(folder: Path) -> Any:  # noqa: ANN401 - transformers is untyped
    # eager attention is counted in full, as in the formula; fused kernels may skip what the mask hides
    return AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def passes(tokens: int, squares: int) -> Passes:
    """Once through every block, and back through those that train."""
    return Passes(tokens, squares, tokens, squares, tokens, squares)


PLAIN = ["full", "freeze:0.25", "freeze:0.5", "freeze:1", "lora:2", "lora:32"]


@pytest.mark.parametrize(
    ("text", "model"),
    [*[(text, model) for text in PLAIN for model in ("tiny_neox", "tiny_llama")], ("bias", "tiny_neox")],
)
def test_executed_flops_agree_with_the_counter(text: str, model: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(model)
    method, shape = parse_method(text), find_shape(str(folder))
    expected = executed_flops(method, shape, passes(TEXTS * LENGTH, TEXTS * LENGTH**2))
    assert counted(method.apply(load(folder), shape)) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("model", ["tiny_neox", "tiny_llama"])
def test_the_forward_pass_agrees_closely(model: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(model)
    shape = find_shape(str(folder))
    tokens, squares = TEXTS * LENGTH, TEXTS * LENGTH**2
    forward = executed_flops(Full(), shape, Passes(forward_tokens=tokens, forward_squares=squares))
    assert counted(load(folder), backward=False) == pytest.approx(forward, rel=0.03)


def test_attention_is_what_makes_executed_flops_grow_with_length() -> None:
    shape, method = SHAPES["pythia-14m"], Full()
    short, long = (executed_flops(method, shape, passes(2048, 2048 * length)) for length in (1, 1001))
    # scores and weighted values: 2 products of 2 FLOP, once forward and twice backward, in 6 blocks of width 128
    assert long - short == 3 * 6 * 4 * 128 * 2048 * 1000
    assert executed_flops(method, shape, passes(2048, 0)) == train_flops(method, shape, 2048)


@pytest.mark.parametrize("text", ["full", "freeze:0.5", "bias", "lora:32"])
def test_tokens_for_a_budget_cost_the_budget(text: str) -> None:
    method, shape = parse_method(text), SHAPES["pythia-70m"]
    assert train_flops(method, shape, tokens_for(1e15, method, shape)) == pytest.approx(1e15)
    assert steps_for(1e15, method, shape, tokens_per_pair=78, batch_size=1024) == pytest.approx(
        tokens_for(1e15, method, shape) / (78 * 1024)
    )


def test_cheaper_methods_see_more_tokens() -> None:
    shape = SHAPES["pythia-1b"]
    methods: list[Method] = [parse_method(text) for text in ("full", "lora:8", "bias", "freeze:0.25")]
    tokens = [tokens_for(1e17, method, shape) for method in methods]
    assert tokens == sorted(tokens)


@pytest.mark.parametrize(("text", "budget"), [("1e17", 1e17), ("1.5e15", 1.5e15), (" 3E12 ", 3e12), (4e13, 4e13)])
def test_budgets_are_read(text: str | float, budget: float) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "budget must be a number of FLOP such as 1e17, got 'abc'"),
        ("", "got ''"),
        ("1e17 FLOP", "got '1e17 FLOP'"),
        ("-1e12", "budget must be finite and > 0, got -1e"),
        ("0", "budget must be finite and > 0, got 0"),
        ("nan", "finite and > 0, got nan"),
        ("1e999", "finite and > 0, got inf"),
    ],
)
def test_bad_budgets_are_refused(text: str, message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        parse_budget(text)


def test_device_time_and_money() -> None:
    # 8 h at 40 % of 989.4 TFLOP/s, by hand
    assert budget_of_gpu_hours(8, "h100", 0.4) == pytest.approx(1.1398e19, rel=1e-4)
    assert budget_of_gpu_hours(8, "H100", 0.4) == budget_of_gpu_hours(8, "h100", 0.4)
    by_price = resolve_budget(dollars=50, device="h100", mfu=0.4, dollars_per_hour=2.5)
    assert by_price == budget_of_gpu_hours(20, "h100", 0.4)
    assert resolve_budget(dollars=DEVICES["l4"].dollars_per_hour, device="l4") == budget_of_gpu_hours(1, "l4")


def test_every_device_states_a_plausible_peak_and_its_source() -> None:
    for name, device in DEVICES.items():
        assert name == name.lower()
        assert 1e13 < device.peak_flops < 1e16
        assert device.dollars_per_hour > 0
        assert device.source


def test_bad_devices_and_amounts_are_refused() -> None:
    with pytest.raises(BudgetError, match=r"device must be one of a100, .*, got 'tpu'"):
        find_device("tpu")
    for mfu in (0, -0.1, 1.1, math.nan):
        with pytest.raises(BudgetError, match=r"mfu must be in \(0, 1\], got "):
            budget_of_gpu_hours(1, "h100", mfu)
    for hours in (0, -1, math.inf, math.nan):
        with pytest.raises(BudgetError, match="gpu_hours must be finite and > 0, got "):
            budget_of_gpu_hours(hours, "h100")
    with pytest.raises(BudgetError, match="dollars must be finite and > 0, got -5"):
        resolve_budget(dollars=-5, device="h100")
    with pytest.raises(BudgetError, match="dollars_per_hour must be finite and > 0, got 0"):
        resolve_budget(dollars=5, device="h100", dollars_per_hour=0)


def test_a_budget_is_given_in_exactly_one_way() -> None:
    assert resolve_budget("1e15") == 1e15
    assert resolve_budget(gpu_hours=8, device="h100", mfu=0.5) == budget_of_gpu_hours(8, "h100", 0.5)
    assert resolve_budget(dollars=6, device="h100", dollars_per_hour=2) == budget_of_gpu_hours(3, "h100")
    with pytest.raises(BudgetError, match="give exactly one of budget"):
        resolve_budget()
    with pytest.raises(BudgetError, match="give exactly one of budget"):
        resolve_budget("1e15", gpu_hours=8, device="h100")
    with pytest.raises(BudgetError, match="gpu_hours needs a device: one of a100, "):
        resolve_budget(gpu_hours=8)


# ---- attention


@pytest.fixture(scope="module", params=["gpt_neox", "llama"])
def long_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with 2,048 positions."""
    more = TINY_GROUPED if request.param == "llama" else {}
    folder = tmp_path_factory.mktemp("long") / request.param
    return save_tiny(folder, request.param, **({"max_position_embeddings": 2048} | more))


@pytest.mark.parametrize("length", [512, 1024])
@pytest.mark.parametrize("text", ["full", "freeze:0.5"])
def test_the_share_of_attention_agrees_with_the_counter(long_model: Path, text: str, length: int) -> None:
    """What one long text costs above the same tokens in texts of 8, in which attention is next to nothing."""
    method, shape = parse_method(text), find_shape(str(long_model))
    model = method.apply(load(long_model), shape)

    def executed(texts: int, tokens: int) -> int:
        ids = torch.arange(texts * tokens).reshape(texts, tokens) % 390 + 2
        with FlopCounterMode(display=False) as counter:
            torch.autograd.backward(model(input_ids=ids).last_hidden_state.pow(2).mean())
        return int(counter.get_total_flops())

    short = executed(length // 8, 8) - attention_share(method, shape, [8]) * train_flops(method, shape, length)
    share = attention_share(method, shape, [length])
    assert share > 0.3
    counted_share = (executed(1, length) - short) / train_flops(method, shape, length)
    assert share == pytest.approx(counted_share, rel=0.1)


def test_the_share_of_attention_is_that_of_the_mean_token() -> None:
    method, shape = Full(), SHAPES["smollm2-135m"]
    assert attention_share(method, shape, [100, 300]) == pytest.approx(attention_share(method, shape, [250]))
    assert attention_share(method, shape, []) == 0.0
    assert attention_share(method, shape, [2000]) == pytest.approx(2 * attention_share(method, shape, [1000]))


def test_attention_is_mentioned_where_it_matters() -> None:
    assert say_attention(0.099) == []
    said = ["attention adds 14 % to the algorithmic FLOP at these lengths, which budgets do not count"]
    assert say_attention(0.14) == said
