"""A step's loss and gradient on each device are those of a CPU in float32, by every way of computing them."""

from pathlib import Path

import pytest
from transformers.utils import is_flash_attn_2_available

from embudget.training.encoder import base_decoder
from tests.gpu.devices import BF16_ROUNDING, FLOAT32_ROUNDING, assert_near, distance, is_on, model_on, on_each_device
from tests.training.batches import engine_for, gradients, ragged

METHODS = {"tiny_neox": ("full", "freeze:0.5", "bias", "lora:4"), "tiny_llama": ("full", "freeze:0.5", "lora:4")}
CASES = [(folder, method) for folder, methods in METHODS.items() for method in methods]


@on_each_device
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize(("folder", "method"), CASES)
def test_losses_and_gradients_are_those_of_a_cpu(
    device: str, folder: str, method: str, bf16: bool, tiny_text: list[str], request: pytest.FixtureRequest
) -> None:
    """Whole or in chunks, with gradients cached or not."""
    path: Path = request.getfixturevalue(folder)
    reference = model_on("cpu", path, method)
    texts = ragged(reference, tiny_text)
    wanted = gradients(engine_for(reference), texts)
    model = model_on(device, path, method)
    for cached in (False, True):
        found = gradients(engine_for(model, bf16=bf16, cached=cached, chunk_tokens=100), texts)
        assert_near(found, wanted, BF16_ROUNDING if bf16 else FLOAT32_ROUNDING)
        assert (distance(found, wanted) > FLOAT32_ROUNDING) is bf16, (
            "it is computed in the precision that was asked for"
        )
    assert is_on(device, model)


@on_each_device
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize("folder", ["tiny_neox", "tiny_llama"])
def test_texts_end_to_end_give_the_gradient_of_padded_ones(
    device: str, bf16: bool, folder: str, tiny_text: list[str], request: pytest.FixtureRequest
) -> None:
    """Each attends to itself alone, by the kernel that every model has."""
    assert_flattened_is_padded(device, "sdpa", bf16, request.getfixturevalue(folder), tiny_text)


@pytest.mark.gpu
@pytest.mark.skipif(not is_flash_attn_2_available(), reason="the package flash-attn is not installed")
@pytest.mark.parametrize("folder", ["tiny_neox", "tiny_llama"])
def test_flash_attention_gives_the_gradient_of_padded_texts(
    folder: str, tiny_text: list[str], request: pytest.FixtureRequest
) -> None:
    assert_flattened_is_padded("cuda", "flash_attention_2", True, request.getfixturevalue(folder), tiny_text)


def assert_flattened_is_padded(device: str, kernel: str, bf16: bool, folder: Path, tiny_text: list[str]) -> None:
    padded, model = model_on(device, folder, "full"), model_on(device, folder, "full")
    texts = ragged(padded, tiny_text)
    wanted = gradients(engine_for(padded, bf16=bf16, chunk_tokens=200), texts)
    base_decoder(model[0].model).set_attn_implementation(kernel)
    found = gradients(engine_for(model, bf16=bf16, flatten=True, chunk_tokens=200), texts)
    assert_near(found, wanted, BF16_ROUNDING if bf16 else FLOAT32_ROUNDING)
