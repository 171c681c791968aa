"""One step's gradients: the same by every way, at the cost that each way states."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from embudget.errors import RunError
from embudget.methods import parse_method
from embudget.suite import find_shape
from embudget.training import passes as passes_module
from embudget.training.chunks import Chunk, make_chunks
from embudget.training.encoder import Encoder, base_decoder
from tests.training.batches import (
    Texts,
    assert_same,
    embedder,
    engine_for,
    gradients,
    meter_for,
    ragged,
    replayed,
    token_ids,
)

METHODS = ["full", "freeze:0.5", "bias", "lora:4"]
CPU = torch.device("cpu")


def with_dropout(folder: Path, active: str) -> SentenceTransformer:
    """LoRA with dropout, in all blocks or, where ``active`` is half, in the upper two only."""
    model = embedder(folder)
    targets = r".*layers\.[23]\..*_proj" if active == "half" else "all-linear"
    config = LoraConfig(r=4, target_modules=targets, lora_dropout=0.3, init_lora_weights=False)
    torch.manual_seed(0)
    with pytest.warns(FutureWarning):  # PEFT asks transformers for an attribute under its old name
        model[0].model = get_peft_model(model[0].model, config)
    return model.train()


@pytest.mark.parametrize("pooling", ["mean", "lasttoken"])
@pytest.mark.parametrize("chunk_tokens", [1, 40, 10_000])
@pytest.mark.parametrize("method", METHODS)
def test_cached_equals_direct_however_it_is_cut(
    tiny_neox: Path, tiny_text: list[str], method: str, chunk_tokens: int, pooling: str
) -> None:
    model = embedder(tiny_neox, method, pooling)
    texts = ragged(model, tiny_text)
    wanted = gradients(engine_for(model), texts)
    assert_same(gradients(engine_for(model, chunk_tokens=chunk_tokens), texts), wanted)
    assert_same(gradients(engine_for(model, chunk_tokens=chunk_tokens, cached=True), texts), wanted)


@pytest.mark.parametrize("active", ["whole", "half"])
@pytest.mark.parametrize("chunk_tokens", [1, 40])
def test_dropout_is_replayed(tiny_llama: Path, tiny_text: list[str], chunk_tokens: int, active: str) -> None:
    model = with_dropout(tiny_llama, active)
    texts = ragged(model, tiny_text)
    wanted = gradients(engine_for(model, chunk_tokens=chunk_tokens), texts)
    assert_same(gradients(engine_for(model, chunk_tokens=chunk_tokens, cached=True), texts), wanted)
    engine = engine_for(model, chunk_tokens=chunk_tokens)
    model.eval()
    assert gradients(engine, texts)[0] != pytest.approx(wanted[0], abs=1e-3), "dropout was at work"


@pytest.mark.parametrize("kept_bytes", [0, 2**30], ids=["computed again", "kept"])
def test_dropout_in_the_frozen_prefix_is_replayed(
    tiny_neox: Path, tiny_text: list[str], kept_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models of the hub may bring dropout in their configuration."""
    monkeypatch.setattr(passes_module, "KEPT_STATES_BYTES", kept_bytes)
    model = embedder(tiny_neox, "freeze:0.5")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.2
    texts = ragged(model, tiny_text)
    replayed(model, texts)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_gradient_checkpointing_changes_nothing(
    tiny_neox: Path, tiny_text: list[str], method: str, cached: bool
) -> None:
    model = embedder(tiny_neox, method)
    texts = ragged(model, tiny_text)
    wanted = gradients(engine_for(model), texts)
    forwards: list[int] = []
    decoder = base_decoder(model[0].model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # releases of transformers differ in the name
        decoder.gradient_checkpointing_enable({"use_reentrant": False})
    decoder.layers[-1].mlp.register_forward_pre_hook(lambda *_: forwards.append(1))
    assert_same(gradients(engine_for(model, cached=cached, chunk_tokens=10_000), texts), wanted)
    chunks = len(make_chunks(texts, 10_000, CPU))
    assert len(forwards) == chunks * (3 if cached else 2), "the blocks were computed again"


@pytest.mark.parametrize("folder", ["tiny_neox", "tiny_llama"])
@pytest.mark.parametrize("chunk_tokens", [1, 40, 10_000])
@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "lasttoken"])
def test_embeddings_do_not_depend_on_their_neighbours(
    folder: str, tiny_text: list[str], chunk_tokens: int, flatten: bool, pooling: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(folder)
    model = embedder(path, pooling=pooling)
    texts = ragged(model, tiny_text)
    wanted = model.encode(["a", *tiny_text], batch_size=1, convert_to_tensor=True)
    encoder = Encoder(model)
    found = embeddings(encoder, token_ids(model, ["a", *tiny_text]) + texts, chunk_tokens, flatten)
    assert (found[: len(wanted)] - wanted).abs().max() < 1e-5
    assert (found[len(wanted)] - wanted[0]).abs().max() < 1e-5, "the same text in another place"


@torch.no_grad()
def embeddings(encoder: Encoder, texts: Texts, chunk_tokens: int, flatten: bool = False) -> Tensor:
    chunks = make_chunks(texts, chunk_tokens, CPU, flatten)
    encoder.model.eval()
    found = torch.cat([encoder.embed(chunk, encoder.hidden(chunk)) for chunk in chunks])
    return found[torch.tensor([text for chunk in chunks for text in chunk.texts]).argsort()]


@pytest.mark.parametrize("method", ["full", "freeze:0.5", "lora:4"])
@pytest.mark.parametrize("folder", ["tiny_neox", "tiny_llama"])
def test_flattened_chunks_give_the_gradients_of_padded_ones(
    folder: str, method: str, tiny_text: list[str], request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(folder)
    model = embedder(path, method)
    texts = ragged(model, tiny_text)
    wanted = gradients(engine_for(model), texts)
    for cached in (False, True):
        assert_same(gradients(engine_for(model, flatten=True, cached=cached, chunk_tokens=100), texts), wanted)


# ---- out of memory

ERRORS: list[Callable[[], RuntimeError]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore"),
    lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."),
]


def limit_memory(
    monkeypatch: pytest.MonkeyPatch, tokens: int, error: Callable[[], RuntimeError], only_with_graph: bool = False
) -> None:
    """Let the model's pass over a chunk of more than so many tokens fail."""
    original = Encoder.embed

    def embed(self: Encoder, chunk: Chunk, hidden_TLH: Tensor) -> Tensor:
        if chunk.tokens > tokens and (torch.is_grad_enabled() or not only_with_graph):
            raise error()
        return original(self, chunk, hidden_TLH)

    monkeypatch.setattr(Encoder, "embed", embed)


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "cpu"])
@pytest.mark.parametrize("method", ["full", "freeze:0.5", "lora:4"])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_out_of_memory_halves_the_chunks_and_changes_nothing(
    tiny_neox: Path,
    tiny_text: list[str],
    method: str,
    backward: bool,
    error: Callable[[], RuntimeError],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = embedder(tiny_neox, method)
    texts = ragged(model, tiny_text)
    wanted = gradients(engine_for(model), texts)
    limit_memory(monkeypatch, 70, error, only_with_graph=backward)
    engine, meter = engine_for(model, cached=backward, chunk_tokens=400), meter_for(tiny_neox, method)
    with caplog.at_level(logging.WARNING):
        assert_same(gradients(engine, texts, meter), wanted)
    assert engine.cached and engine.chunk_tokens < 400
    assert ("out of memory: gradients are cached from now on" in caplog.text) is not backward
    assert f"out of memory: chunks hold {engine.chunk_tokens} tokens from now on" in caplog.text
    assert meter.passes.backward_tokens == sum(chunk.tokens for chunk in make_chunks(texts, engine.chunk_tokens, CPU))


def test_out_of_memory_in_the_direct_backward_pass_goes_over_to_caching(
    tiny_llama: Path, tiny_text: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Halfway, with part of the gradients already there; dropout is that of the first attempt."""
    model = with_dropout(tiny_llama, "whole")
    texts = ragged(model, tiny_text)
    wanted = gradients(engine_for(model, chunk_tokens=40), texts)
    original, calls = torch.autograd.backward, []

    def backward(tensors: list[Tensor], gradients: list[Tensor]) -> None:
        calls.append(len(tensors))
        original(tensors[:1], gradients[:1])
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(torch.autograd, "backward", backward)
        patch.setattr(Tensor, "backward", lambda self, gradient: original(self, gradient))
        found = gradients(engine_for(model, chunk_tokens=40), texts)
    assert_same(found, wanted)
    assert len(calls) == 1 and calls[0] > 1
    assert [record.message for record in caplog.records] == ["out of memory: gradients are cached from now on"]


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_a_text_too_large_on_its_own_ends_in_one_line(
    tiny_neox: Path, tiny_text: list[str], backward: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = embedder(tiny_neox)
    texts = ragged(model, tiny_text)
    limit_memory(monkeypatch, 10, ERRORS[0], only_with_graph=backward)
    with pytest.raises(RunError, match=r"^out of memory with one text at a time: CUDA out of memory\. .* GiB\.$"):
        gradients(engine_for(model), texts)


@pytest.mark.parametrize("cached", [False, True])
def test_other_errors_are_not_taken_for_it(
    tiny_neox: Path, tiny_text: list[str], cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = embedder(tiny_neox)
    texts = ragged(model, tiny_text)
    limit_memory(monkeypatch, 10, lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied"), cached)
    engine = engine_for(model, cached=cached)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        gradients(engine, texts)
    assert engine.cached is cached


# ---- compute


def counted(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def counted_in_full(model: SentenceTransformer) -> SentenceTransformer:
    """The counter does not see the products in CPUs' fused attention."""
    base_decoder(model[0].model).set_attn_implementation("eager")
    return model


def equal_texts(count: int = 16, length: int = 12) -> Texts:
    """Without padding and of one chunk."""
    generator = torch.Generator().manual_seed(0)
    return list(torch.randint(2, 400, (count, length), generator=generator).numpy())


def loss_flops(pairs: int, hidden: int) -> int:
    """Scores, and a product for each side's gradient."""
    return 3 * 2 * pairs * pairs * hidden


@pytest.mark.parametrize(
    ("method", "folder"), [("bias", "tiny_neox"), ("lora:4", "tiny_neox"), ("lora:4", "tiny_llama")]
)
def test_no_gradient_of_a_frozen_weight_is_computed(method: str, folder: str, request: pytest.FixtureRequest) -> None:
    """The backward pass costs the activations' gradients, as much as one forward pass, and the adapters' own."""
    path: Path = request.getfixturevalue(folder)
    model, texts = counted_in_full(embedder(path, method)), equal_texts()
    encoder = Encoder(model)
    forward = counted(lambda: embeddings(encoder, texts, 10_000))
    model.train()
    whole = counted(lambda: gradients(engine_for(model), texts))
    adapters = 2 * parse_method(method).added_params(find_shape(str(path))) * sum(map(len, texts))
    backward = whole - forward - loss_flops(8, 64) - adapters
    assert 0.8 * forward < backward < 1.15 * forward


def test_the_frozen_prefix_runs_once_and_is_not_gone_back_through(
    tiny_neox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In forward passes of half the blocks: direct 1 + 1 + 2, cached 1 + 2 + 2, and 1 more if none is kept."""
    model, texts = embedder(tiny_neox, "freeze:0.5"), equal_texts()
    encoder = Encoder(model)
    (chunk,) = make_chunks(texts, 10_000, CPU)
    prefix = counted(lambda: encoder.hidden(chunk))
    hidden_TLH = encoder.hidden(chunk)
    with torch.no_grad():
        suffix = counted(lambda: encoder.embed(chunk, hidden_TLH))
    assert prefix == suffix > 0
    loss = loss_flops(8, 64)
    direct = counted(lambda: gradients(engine_for(model), texts)) - loss
    cached = counted(lambda: gradients(engine_for(model, cached=True), texts)) - loss
    assert cached - direct == suffix
    assert direct < prefix + suffix + 2.15 * suffix
    monkeypatch.setattr(passes_module, "KEPT_STATES_BYTES", 0)
    again = counted(lambda: gradients(engine_for(model, cached=True), texts)) - loss
    assert again - cached == prefix


@pytest.mark.parametrize("kept_bytes", [0, 2**30], ids=["computed again", "kept"])
@pytest.mark.parametrize("cached", [False, True], ids=["direct", "cached"])
@pytest.mark.parametrize("method", METHODS)
def test_the_meter_agrees_with_the_counter(
    tiny_neox: Path, tiny_text: list[str], method: str, cached: bool, kept_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes_module, "KEPT_STATES_BYTES", kept_bytes)
    model, meter = counted_in_full(embedder(tiny_neox, method)), meter_for(tiny_neox, method)
    texts = ragged(model, tiny_text)
    engine = engine_for(model, cached=cached, chunk_tokens=100)
    executed = counted(lambda: gradients(engine, texts, meter)) - loss_flops(6, 64)
    assert meter.executed_flops == pytest.approx(executed, rel=0.1)
    padded = sum(chunk.tokens for chunk in make_chunks(texts, 100, CPU))
    assert meter.passes.backward_tokens == padded > sum(map(len, texts))
