"""`Dense` modules behind the pooling are part of a model: read, counted once a text, kept, trained as a method says."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from torch.utils.flop_counter import FlopCounterMode

from embudget.errors import ModelError
from embudget.memory import model_bytes, training_bytes
from embudget.methods import parse_method
from embudget.suite import find_shape
from embudget.suite.checks import check_member
from embudget.suite.dense import Dense
from embudget.suite.loading import load_embedder, weights_of
from embudget.training.meter import BudgetMeter
from tests.suite.architectures import CASES, save_case
from tests.training.batches import embedder, engine_for, gradients, ragged

NAMES = ["bert with dense", "embeddinggemma"]
WEIGHTS = "2_Dense/model.safetensors"


@pytest.fixture(scope="module", params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_case(tmp_path_factory.mktemp("dense") / "tiny", CASES[request.param])


@pytest.fixture(scope="module")
def labse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with one module, 64 -> 48 with biases and tanh, in its second folder."""
    return save_case(tmp_path_factory.mktemp("labse") / "tiny", CASES["bert with dense"])


def test_it_embeds_as_plain_sentence_transformers_does(folder: Path, tiny_text: list[str]) -> None:
    wanted = SentenceTransformer(str(folder)).encode(tiny_text)
    found = load_embedder(str(folder), 128).encode(tiny_text)
    assert found.shape[1] == find_shape(str(folder)).embedding_size
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_cut_model_keeps_them(folder: Path) -> None:
    whole, cut = load_embedder(str(folder), 32), load_embedder(f"{folder}:1", 32)
    assert find_shape(f"{folder}:1").dense == find_shape(str(folder)).dense != ()
    for place, layer in enumerate(find_shape(str(folder)).dense, start=2):
        assert torch.equal(cut[place].linear.weight, whole[place].linear.weight)
        assert type(cut[place].activation_function).__name__ == layer.activation
        assert (cut[place].linear.bias is not None) == layer.bias


def test_other_weights_or_another_activation_are_another_model(labse: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(labse, tmp_path / "m"))
    assert weights_of(str(copy)) == weights_of(str(labse))
    config = json.loads((copy / "2_Dense/config.json").read_text())
    (copy / "2_Dense/config.json").write_text(json.dumps(config | {"activation_function": "torch.nn.Identity"}))
    identity = weights_of(str(copy))
    assert identity != weights_of(str(labse))
    save_file({name: 2 * value for name, value in load_file(labse / WEIGHTS).items()}, copy / WEIGHTS)
    assert weights_of(str(copy)) not in (identity, weights_of(str(labse)))


def changed(**tensors: Any) -> Callable[[Path], None]:  # noqa: ANN401 - None takes a tensor away
    def change(folder: Path) -> None:
        kept = load_file(folder / WEIGHTS) | {f"linear.{name}": value for name, value in tensors.items()}
        save_file({name: value for name, value in kept.items() if value is not None}, folder / WEIGHTS)

    return change


def only_a_pickle(folder: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "2_Dense/pytorch_model.bin")
    (folder / WEIGHTS).unlink()


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pickle": (only_a_pickle, r"it has no 2_Dense/model.safetensors \(a pickle may run code, and is never read\)"),
    "no bias": (
        changed(bias=None),
        r"must hold \{'weight': \[48, 64\], 'bias': \[48\]\}, got \{'weight': \[48, 64\]\}",
    ),
    "other size": (changed(weight=torch.ones(48, 32)), r"must hold .*, got .*\[48, 32\]"),
    "nan": (changed(bias=torch.full((48,), torch.nan)), "bias in 2_Dense/model.safetensors holds other than finite"),
    "whole numbers": (changed(bias=torch.ones(48, dtype=torch.int8)), "holds other than finite floats"),
    "cut short": (lambda folder: (folder / WEIGHTS).write_bytes(b"no"), "2_Dense/model.safetensors cannot be read"),
    "other width": (
        lambda folder: (folder / "2_Dense/config.json").write_text('{"in_features": 32, "out_features": 48}'),
        "its module 2_Dense reads 32 numbers, but gets 64",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_weights_that_are_not_there_are_never_drawn(labse: Path, tmp_path: Path, what: str) -> None:
    spoil, message = BAD[what]
    copy = Path(shutil.copytree(labse, tmp_path / "m"))
    spoil(copy)
    with pytest.raises(ModelError, match=message) as caught:
        check_member(str(copy))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250 + len(str(copy))


TRAINED = {
    "full": {"linear.weight", "linear.bias"},
    "freeze:0.5": {"linear.weight", "linear.bias"},
    "bias": {"linear.bias"},
    "lora:2": set[str](),
}


@pytest.mark.parametrize("text", TRAINED)
def test_methods_train_of_them_what_they_claim(labse: Path, text: str) -> None:
    model, method, shape = load_embedder(str(labse), 32), parse_method(text), find_shape(str(labse))
    method.apply_to_embedder(model, shape)
    trained = {name: value for name, value in model[2].named_parameters() if value.requires_grad}
    assert set(trained) == TRAINED[text]
    assert method.trained_dense_params(shape) == sum(value.numel() for value in trained.values())
    assert shape.dense_params == sum(value.numel() for value in model[2].parameters()) == 64 * 48 + 48


def test_plain_adapters_leave_them_training(labse: Path) -> None:
    """What the page of methods says of sentence-transformers, from which LoRA here differs."""
    model = load_embedder(str(labse), 32)
    model.add_adapter(LoraConfig(r=2, target_modules=["query"]))
    trained = {name for name, value in model.named_parameters() if value.requires_grad and "lora" not in name}
    assert trained == {"2.linear.weight", "2.linear.bias"}


@pytest.mark.parametrize("text", TRAINED)
def test_their_flops_are_those_that_torch_counts(folder: Path, text: str) -> None:
    """To the last one without biases, which the counter does not see and the formula counts as the others do."""
    method, shape = parse_method(text), find_shape(str(folder))
    if text == "bias" and not shape.has_biases:
        return
    model = load_embedder(str(folder), 32)
    method.apply_to_embedder(model, shape)
    behind = torch.nn.Sequential(*list(model)[2:])
    pooled_TH = torch.randn(5, shape.hidden, requires_grad=True)
    with FlopCounterMode(display=False) as forward:
        embedded_TE = behind({"sentence_embedding": pooled_TH})["sentence_embedding"]
    with FlopCounterMode(display=False) as backward:
        torch.autograd.backward(embedded_TE.pow(2).sum())
    biases = sum(layer.bias_params for layer in shape.dense)
    assert forward.get_total_flops() == 5 * (method.forward_flops_per_text(shape) - 2 * biases)
    trained = biases if method.trained_dense_params(shape) else 0
    assert backward.get_total_flops() == 5 * (method.backward_flops_per_text(shape) - 2 * biases - 2 * trained)


@pytest.mark.parametrize("cached", [False, True])
def test_a_run_counts_each_text_as_often_as_it_passed(folder: Path, tiny_text: list[str], cached: bool) -> None:
    shape, method = find_shape(str(folder)), parse_method("full")
    model = embedder(folder)
    texts = ragged(model, tiny_text)
    meter = BudgetMeter(method, shape)
    gradients(engine_for(model, shape.description, chunk_tokens=40, cached=cached), texts, meter)
    assert (meter.passes.forward_texts, meter.passes.backward_texts) == ((1 + cached) * len(texts), len(texts))
    without = BudgetMeter(method, shape.model_copy(update={"dense": ()}), passes=meter.passes)
    assert meter.executed_flops - without.executed_flops == (2 * (1 + cached) + 4) * len(texts) * shape.dense_params
    assert method.flops_per_token(shape) == 6 * shape.model_params, "a budget counts what acts on each token"


def test_memory_holds_them_whole_on_each_device() -> None:
    shape = find_shape("embeddinggemma-300m")
    without = shape.model_copy(update={"dense": ()})
    for text, each in [("full", 16), ("freeze:0.5", 16), ("lora:8", 4)]:
        for shards in (1, 8):
            more = [model_bytes(parse_method(text), one, shards=shards) for one in (shape, without)]
            assert more[0] - more[1] == each * 4_718_592
    narrow = shape.model_copy(update={"dense": (Dense(inputs=768, outputs=64, bias=False, path="2_Dense"),)})
    full = parse_method("full")
    saved = training_bytes(full, without, 100, 75) - training_bytes(full, narrow, 100, 75)
    assert saved == 2 * 4 * 200 * (768 - 64) - 16 * 768 * 64
