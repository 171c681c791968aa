"""The contract of every fine-tuning method, on a tiny GPT-NeoX and a tiny Llama model."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

from embudget.errors import MethodError
from embudget.methods import Bias, Freeze, Full, LoRA, Method, parse_method
from embudget.methods.base import FALLBACK_PRETRAINING_RATE
from embudget.suite import SHAPES, ModelShape, find_shape

TEXTS = ["full", "freeze:0.25", "freeze:0.5", "freeze:1", "bias", "lora:1", "lora:8"]
TEXTS += ["lora:4:alpha=2", "lora:4:layers=attention", "lora:4:alpha=12:layers=mlp"]
CASES = [(text, "tiny_neox") for text in TEXTS] + [(text, "tiny_llama") for text in TEXTS if text != "bias"]

every_case = pytest.mark.parametrize(("method", "folder"), CASES, indirect=True)
both_models = pytest.mark.parametrize("folder", ["tiny_neox", "tiny_llama"], indirect=True)


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture
def method(request: pytest.FixtureRequest) -> Method:
    return parse_method(request.param)


@pytest.fixture
def shape(folder: Path) -> ModelShape:
    return find_shape(str(folder))


@pytest.fixture
def model(folder: Path) -> Any:  # noqa: ANN401 - transformers is untyped
    return AutoModel.from_pretrained(folder, dtype=torch.float32)


IDS = torch.arange(2, 26).reshape(2, 12)


def hidden(model: Any) -> torch.Tensor:  # noqa: ANN401 - transformers is untyped
    states: torch.Tensor = model(input_ids=IDS).last_hidden_state
    return states


def train(model: Any) -> None:  # noqa: ANN401 - transformers is untyped
    """Three large steps, so that every trained parameter moves."""
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2, weight_decay=0.0)
    for _ in range(3):
        torch.autograd.backward(hidden(model).pow(3).mean())
        optimizer.step()
        optimizer.zero_grad()


@every_case
def test_what_trains_is_what_it_claims(method: Method, model: Any, shape: ModelShape) -> None:  # noqa: ANN401
    method.check(shape)
    applied = method.apply(model, shape)
    counts = {name: p.numel() for name, p in applied.named_parameters() if "emb" not in name}
    trained = {name: p.numel() for name, p in applied.named_parameters() if p.requires_grad and "emb" not in name}
    assert sum(trained.values()) == method.trained_params(shape)
    assert sum(counts.values()) == method.total_params(shape) == shape.model_params + method.added_params(shape)


@every_case
def test_exactly_the_trained_parameters_move(method: Method, model: Any, shape: ModelShape) -> None:  # noqa: ANN401
    applied = method.apply(model, shape)
    before = {name: parameter.detach().clone() for name, parameter in applied.named_parameters()}
    train(applied)
    for name, parameter in applied.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


@every_case
def test_only_full_fine_tuning_trains_the_input_embedding(method: Method, model: Any, shape: ModelShape) -> None:  # noqa: ANN401
    applied = method.apply(model, shape)
    assert applied.get_input_embeddings().weight.requires_grad == isinstance(method, Full)


@both_models
def test_frozen_blocks_are_the_lowest(model: Any, shape: ModelShape) -> None:  # noqa: ANN401
    Freeze(0.5).apply(model, shape)
    trains = [all(parameter.requires_grad for parameter in block.parameters()) for block in model.layers]
    frozen = [not any(parameter.requires_grad for parameter in block.parameters()) for block in model.layers]
    assert trains == [False, False, True, True]
    assert frozen == [True, True, False, False]
    assert Freeze(0.5).backward_layers(shape) == 2


@every_case
def test_applying_changes_nothing_before_training(method: Method, model: Any, shape: ModelShape) -> None:  # noqa: ANN401
    before = hidden(model).detach()
    assert torch.allclose(hidden(method.apply(model, shape)), before, atol=1e-6)


@every_case
def test_merging_keeps_the_function_and_leaves_no_adapter(method: Method, model: Any, shape: ModelShape) -> None:  # noqa: ANN401
    names = {name: parameter.shape for name, parameter in model.named_parameters()}
    kind = type(model)
    untrained = hidden(model).detach()
    applied = method.apply(model, shape)
    train(applied)
    trained = hidden(applied).detach()
    assert not torch.allclose(trained, untrained, atol=1e-2)
    merged = method.merge(copy.deepcopy(applied))
    assert torch.allclose(hidden(merged), trained, atol=1e-5)
    assert type(merged) is kind
    assert {name: parameter.shape for name, parameter in merged.named_parameters()} == names
    assert not any("lora" in type(module).__name__.lower() for module in merged.modules())


@every_case
def test_a_merged_model_saves_as_a_plain_checkpoint(
    method: Method,
    model: Any,  # noqa: ANN401 - transformers is untyped
    shape: ModelShape,
    tmp_path: Path,
) -> None:
    applied = method.apply(model, shape)
    train(applied)
    trained = hidden(applied).detach()
    method.merge(applied).save_pretrained(tmp_path)
    assert not list(tmp_path.glob("adapter*"))
    loaded = AutoModel.from_pretrained(tmp_path, dtype=torch.float32)
    assert torch.allclose(hidden(loaded), trained, atol=1e-5)


@every_case
def test_flops_are_positive_and_grow_with_depth(method: Method, shape: ModelShape) -> None:
    costs = [method.flops_per_token(shape.truncated(depth)) for depth in range(1, shape.layers + 1)]
    assert costs[0] > 0
    assert costs == sorted(costs)
    assert costs[-1] > costs[0]
    assert method.flops_per_token(shape) == method.forward_flops_per_token(shape) + method.backward_flops_per_token(
        shape
    )


@every_case
def test_flops_follow_the_table(method: Method, shape: ModelShape) -> None:
    n, t = method.total_params(shape), method.trained_params(shape)
    expected = {"full": 6 * n, "freeze": 2 * n + 4 * t, "bias": 4 * n + 2 * t, "lora": 4 * n + 2 * t}[method.name]
    assert method.flops_per_token(shape) == expected


@both_models
def test_freezing_nothing_costs_what_full_fine_tuning_costs(shape: ModelShape) -> None:
    assert Freeze(1).flops_per_token(shape) == Full().flops_per_token(shape)
    assert Freeze(0.5).flops_per_token(shape) < Full().flops_per_token(shape)


@pytest.mark.parametrize("text", TEXTS)
def test_the_cost_of_an_unknown_shape_is_that_of_a_large_known_one(text: str) -> None:
    """Where adapters, biases, the final norm and the rounding of active blocks are small against the whole."""
    shape, method = SHAPES["pythia-6.9b"], parse_method(text)
    assert method.flops_per_param == pytest.approx(method.flops_per_token(shape) / shape.model_params, rel=5e-3)


@pytest.mark.parametrize("text", [*TEXTS, "freeze:0.3333333333333333"])
def test_text_round_trip(text: str) -> None:
    assert str(parse_method(text)) == text
    assert parse_method(f" {text} ") == parse_method(text)


@pytest.mark.parametrize("value", [Full(), Freeze(1 / 3), Freeze(1e-7), Bias(), LoRA(2048), LoRA(8, 1 / 3, "mlp")])
def test_value_round_trip(value: Method) -> None:
    again = parse_method(str(value))
    assert again == value
    assert hash(again) == hash(value)


@pytest.mark.parametrize(
    "text",
    [
        "", "half", "full:1", "bias:", "lora", "lora:", "lora:x", "lora:1.5", "freeze", "freeze:x", "FULL", "lora:8:8",
        "lora:8:alpha", "lora:8:alpha=x", "lora:8:beta=1", "lora:x:alpha=1",
    ],
)  # fmt: skip
def test_texts_that_are_no_method_are_refused(text: str) -> None:
    with pytest.raises(MethodError, match=r"method must be full, bias, freeze:FRACTION .* or lora:RANK .*, got '"):
        parse_method(text)


@pytest.mark.parametrize("text", ["lora:0", "lora:-3"])
def test_ranks_below_one_are_refused(text: str) -> None:
    with pytest.raises(MethodError, match="rank of lora must be >= 1, got "):
        parse_method(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lora:8:alpha=0", "alpha of lora must be > 0, got 0"),
        ("lora:8:alpha=nan", "alpha of lora must be > 0, got nan"),
        ("lora:8:layers=top", "layers of lora must be all, attention, mlp, got top"),
    ],
)
def test_options_out_of_range_are_refused(text: str, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        parse_method(text)


def test_a_method_has_one_spelling() -> None:
    assert str(parse_method("lora:8:alpha=16:layers=all")) == "lora:8"
    assert str(parse_method("lora:8:layers=mlp:alpha=4.0")) == "lora:8:alpha=4:layers=mlp"


def test_methods_of_one_kind_differ_by_a_number() -> None:
    assert [parse_method(text).number for text in ("full", "bias", "freeze:0.25", "lora:8:alpha=4")] == [
        None,
        None,
        0.25,
        8,
    ]


@pytest.mark.parametrize("text", ["freeze:0", "freeze:-0.5", "freeze:1.01", "freeze:nan", "freeze:inf"])
def test_fractions_outside_the_interval_are_refused(text: str) -> None:
    with pytest.raises(MethodError, match=r"active fraction of freeze must be in \(0, 1\], got "):
        parse_method(text)


def test_bias_is_refused_on_a_model_without_biases(tiny_llama: Path, tiny_neox: Path) -> None:
    with pytest.raises(MethodError, match=r"bias needs a model with bias terms, got .*tiny-llama \(llama\)"):
        Bias().check(find_shape(str(tiny_llama)))
    Bias().check(find_shape(str(tiny_neox)))


@pytest.mark.parametrize(
    ("fraction", "layers", "active"), [(0.5, 4, 2), (0.5, 3, 2), (0.1, 4, 1), (0.25, 6, 2), (1, 30, 30), (0.75, 30, 23)]
)
def test_active_blocks_are_rounded_with_at_least_one(fraction: float, layers: int, active: int) -> None:
    assert Freeze(fraction).backward_layers(SHAPES["smollm2-135m"].truncated(layers)) == active


def test_default_rates() -> None:
    known, unknown = SHAPES["pythia-1.4b"], SHAPES["qwen3-0.6b"]
    assert Full().default_learning_rate(known) == pytest.approx(2e-5)  # a tenth of the published 2e-4
    assert Freeze(0.5).default_learning_rate(known) == pytest.approx(2e-5)
    assert Bias().default_learning_rate(known) == pytest.approx(2e-4)
    assert LoRA(8).default_learning_rate(known) == LoRA(8).default_learning_rate(unknown) == 1e-3
    assert Full().default_learning_rate(unknown) == pytest.approx(FALLBACK_PRETRAINING_RATE / 10)


@both_models
def test_the_scale_of_lora_is_the_same_for_every_rank(folder: Path) -> None:
    scales = set()
    for rank in (1, 8):
        model = LoRA(rank).apply(AutoModel.from_pretrained(folder), find_shape(str(folder)))
        scales |= {module.scaling["default"] for module in model.modules() if hasattr(module, "scaling")
                   and isinstance(module.scaling, dict)}  # fmt: skip
    assert scales == {2.0}
