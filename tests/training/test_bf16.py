"""Steps in bf16 compute what plain autocast does, to the last bit, and leave the float32 weights as they were."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.training.bf16 import Bf16Weights
from embudget.training.chunks import CHUNK_OVERHEAD
from embudget.training.device import in_float32
from embudget.training.encoder import Encoder, base_decoder
from embudget.training.engine import Engine
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.resources import Resources
from embudget.training.trunk import train_trunk
from tests.training.batches import SCALE, embedder, engine_for, gradients, ragged
from tests.training.test_engine import limit_memory, with_dropout
from tests.training.test_run import config_for
from tests.training.test_trunk import measured

METHODS = ["full", "freeze:0.5", "bias", "lora:4"]

BF16_ROUNDING = 0.05
"""Distance of a step's gradient from float32's, as a share of its length. A product of bf16 numbers is off by 2^-8, 0.4
per cent of a term; through 4 blocks and a loss that multiplies cosines by 40 this adds up to 1.3 to 1.7 per cent."""


def same_to_the_bit(found: tuple[float, dict[str, Tensor]], wanted: tuple[float, dict[str, Tensor]]) -> None:
    assert found[0] == wanted[0]
    assert found[1].keys() == wanted[1].keys() and found[1]
    for name, gradient in wanted[1].items():
        assert found[1][name].dtype == torch.float32
        assert torch.equal(found[1][name], gradient), name


def distance(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """Length of the difference of two gradients, as a share of the second one's."""
    away = sum((found[name] - wanted[name]).square().sum().item() for name in wanted)
    whole = sum(gradient.square().sum().item() for gradient in wanted.values())
    return float((away / whole) ** 0.5)


def unrounded(model: SentenceTransformer) -> SentenceTransformer:
    """Weights that bf16 does not hold, as those of a model published in float32."""
    with torch.no_grad():
        for value in model.parameters():
            value *= 1.01
    return model


@pytest.mark.parametrize("exact", [False, True], ids=["float32 weights", "bf16 weights"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("folder", ["tiny_neox", "tiny_llama"])
def test_a_step_is_that_of_plain_autocast(
    folder: str,
    method: str,
    exact: bool,
    tiny_text: list[str],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the same cuts: other chunks would have other sums."""
    monkeypatch.setattr("embudget.training.engine.BF16_CHUNK_OVERHEAD", CHUNK_OVERHEAD)
    if (folder, method) == ("tiny_llama", "bias"):
        pytest.skip("Llama has no biases")
    model = unrounded(embedder(request.getfixturevalue(folder), method))
    if exact:
        model.bfloat16().float()
    texts = ragged(model, tiny_text)
    plain = Engine(Encoder(model, autocast=True), SCALE, cached=True, chunk_tokens=40)
    wanted = gradients(plain, texts)
    for cached in (True, False):
        engine = engine_for(model, bf16=True, cached=cached, chunk_tokens=40)
        same_to_the_bit(gradients(engine, texts), wanted)
        same_to_the_bit(gradients(engine, texts), wanted)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_near_those_of_float32(tiny_neox: Path, tiny_text: list[str], method: str) -> None:
    model = embedder(tiny_neox, method)
    texts = ragged(model, tiny_text)
    loss, wanted = gradients(engine_for(model), texts)
    rough, found = gradients(engine_for(model, bf16=True, chunk_tokens=40), texts)
    assert 1e-4 < distance(found, wanted) < BF16_ROUNDING
    assert 0 < abs(rough - loss) < BF16_ROUNDING


def test_the_copies_follow_the_weights(tiny_llama: Path, tiny_text: list[str]) -> None:
    model = embedder(tiny_llama)
    texts = ragged(model, tiny_text)
    engine = engine_for(model, bf16=True)
    before = gradients(engine, texts)[0]
    with torch.no_grad():
        for _, value in engine.encoder.trained():
            value.add_(0.05 * torch.randn_like(value))
    after = gradients(engine, texts)
    same_to_the_bit(after, gradients(engine_for(model, bf16=True), texts))
    assert abs(after[0] - before) > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_between_steps_all_but_exact_frozen_weights_are_float32(
    tiny_neox: Path, tiny_text: list[str], method: str
) -> None:
    model = unrounded(embedder(tiny_neox, method))
    layer = base_decoder(model[0].model).layers[0].mlp.dense_h_to_4h
    frozen = next(value for name, value in layer.named_parameters() if name in ("weight", "base_layer.weight"))
    frozen.data = frozen.data.bfloat16().float()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    engine = engine_for(model, bf16=True)
    gradients(engine, ragged(model, tiny_text))
    low = {name for name, value in model.named_parameters() if value.dtype == torch.bfloat16}
    assert (frozen.dtype == torch.bfloat16) is not frozen.requires_grad
    assert all(not dict(model.named_parameters())[name].requires_grad for name in low)
    for _ in range(2):
        with in_float32(model):
            for name, value in model.named_parameters():
                assert value.dtype == torch.float32 and torch.equal(value, before[name]), name
        assert low == {name for name, value in model.named_parameters() if value.dtype == torch.bfloat16}
    assert {value.dtype for _, value in engine.encoder.trained()} == {torch.float32}


def test_an_error_in_a_step_leaves_the_weights_in_their_places(
    tiny_llama: Path, tiny_text: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = embedder(tiny_llama, "lora:4")
    before = dict(model.named_parameters())
    limit_memory(monkeypatch, 10, lambda: RuntimeError("mat1 and mat2"), only_with_graph=True)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        gradients(engine_for(model, bf16=True), ragged(model, tiny_text))
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


@pytest.mark.parametrize("active", ["whole", "half"])
def test_dropout_is_replayed(tiny_llama: Path, tiny_text: list[str], active: str) -> None:
    model = with_dropout(tiny_llama, active)
    texts = ragged(model, tiny_text)
    wanted = gradients(engine_for(model, bf16=True, chunk_tokens=40), texts)
    same_to_the_bit(gradients(engine_for(model, bf16=True, chunk_tokens=40, cached=True), texts), wanted)


def test_gradient_checkpointing_changes_nothing(tiny_neox: Path, tiny_text: list[str]) -> None:
    """What is computed again in the backward pass runs on the copies as well."""
    model = embedder(tiny_neox)
    texts = ragged(model, tiny_text)
    wanted = gradients(engine_for(model, bf16=True, chunk_tokens=40), texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # releases of transformers differ in the name
        base_decoder(model[0].model).gradient_checkpointing_enable({"use_reentrant": False})
    same_to_the_bit(gradients(engine_for(model, bf16=True, chunk_tokens=40), texts), wanted)


def test_memory_that_is_short_in_the_backward_pass_changes_nothing(
    tiny_neox: Path, tiny_text: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of the gradients are there already, and one is on its way from a copy to its weight."""
    model = embedder(tiny_neox)
    texts = ragged(model, tiny_text)
    wanted = gradients(engine_for(model, bf16=True, chunk_tokens=40), texts)
    engine = engine_for(model, bf16=True, chunk_tokens=40)
    backward: Callable[..., None] = Tensor.backward
    calls = []

    def short_once(self: Tensor, gradient: Tensor) -> None:
        calls.append(len(self))
        backward(self, gradient)
        if len(calls) == 2:
            assert engine.weights is not None
            copy = engine.weights._copied[0].copy
            copy.grad = torch.ones_like(copy)
            raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Tensor, "backward", short_once)
    with caplog.at_level(logging.WARNING):
        same_to_the_bit(gradients(engine, texts), wanted)
    assert engine.cached and "gradients are cached from now on" in caplog.text
    assert len(calls) > 3


# ---- whole runs


def low(model: Path, pairs: Pairs, method: str, **changes: object) -> RunConfig:
    return config_for(model, pairs, method, precision="bf16", **changes)


@pytest.mark.parametrize("method", ["full", "freeze:0.5", "lora:4"])
def test_a_run_goes_on_from_its_state_to_the_last_bit(tiny_neox: Path, tiny_pairs: Pairs, method: str) -> None:
    job = Job.of(low(tiny_neox, tiny_pairs, method), tiny_pairs)
    whole = Training(job)
    for _ in range(2):
        whole.step(1.0)
    tensors = {name: value.clone() for name, value in whole.tensors().items()}
    numbers = whole.numbers()
    assert not any(value.dtype == torch.bfloat16 for value in tensors.values())
    losses = [whole.step(1.0) for _ in range(3)]
    again = Training(job)
    again.restore(tensors, numbers)
    assert [again.step(1.0) for _ in range(3)] == losses
    assert all(torch.equal(value, whole.tensors()[name]) for name, value in again.tensors().items())
    assert again.measure() == whole.measure()


@pytest.mark.parametrize("cache", ["never", "always"])
def test_the_rows_of_the_embedding_are_trained_in_float32(tiny_llama: Path, tiny_pairs: Pairs, cache: str) -> None:
    config = low(tiny_llama, tiny_pairs, "full")
    training = Training(Job.of(config, tiny_pairs, Resources(cache=cache)))  # type: ignore[arg-type]
    assert training.rows is not None
    before = training.rows.table_VH.detach().clone()
    training.step(1.0)
    kept = (training.rows.table_VH, training.rows.first_VH, training.rows.second_VH)
    assert {value.dtype for value in kept} == {torch.float32}
    moved = (training.rows.table_VH.detach() - before).abs().amax(dim=1)
    assert 0 < (moved > 0).sum() < len(before), "the rows of the batch alone"


@pytest.mark.parametrize("method", ["full", "lora:4"])
def test_the_branches_of_a_trunk_are_the_runs_alone(tiny_neox: Path, tiny_pairs: Pairs, method: str) -> None:
    configs = [
        low(tiny_neox, tiny_pairs, method, train_flops=budget, warmup=1e8 / budget, schedule="wsd", decay=0.4)
        for budget in (6e8, 1.2e9)
    ]
    alone = [next(train_trunk([config], tiny_pairs)) for config in configs]
    together = list(train_trunk(configs, tiny_pairs))
    assert [measured(record) for record in together] == [measured(record) for record in alone]


def test_frozen_weights_of_a_bf16_model_take_half_the_memory(tiny_llama: Path) -> None:
    model = embedder(tiny_llama, "lora:4").bfloat16().float()
    transformer = model[0].model

    def stored(values: list[Tensor]) -> int:
        return sum(value.untyped_storage().nbytes() for value in values)

    frozen = [value for name, value in transformer.named_parameters() if "base_layer" in name]
    before = stored([value.data for value in frozen])
    weights = Bf16Weights(transformer)
    assert 2 * stored([value.data for value in frozen]) == before
    adapters = sum("lora_" in name for name, _ in transformer.named_parameters())
    assert len(weights._copied) == adapters > 0, "the adapters alone have a copy beside them"
