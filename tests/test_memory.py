"""The estimate of training's memory, against what torch keeps and against sizes counted by hand."""

from pathlib import Path

import pytest
import torch

from embudget.errors import ConfigError
from embudget.memory import BF16_BYTES, CHUNK_TOKENS, activation_bytes, parse_bytes, training_bytes, written
from embudget.methods import parse_method
from embudget.suite import find_shape
from tests.conftest import TINY_GROUPED, save_tiny


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24GB", 24e9),
        ("80 GiB", 80 * 2**30),
        ("512mb", 512e6),
        ("1.5TB", 1.5e12),
        ("640KiB", 640 * 1024),
        ("1000B", 1000),
        ("24000000000", 24e9),
        ("2.4e10", 2.4e10),
        (24e9, 24e9),
    ],
)
def test_memory_is_read_with_its_unit(text: str | float, expected: float) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["24G", "much", "", "-5GB", "0", "1.2.3GB", "inf", "nan", "5 PB", "1e999"])
def test_what_is_no_memory_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"device_memory must be > 0, as 24GB, .*got ") as error:
        parse_bytes(text)
    assert repr(text) in str(error.value)


def test_memory_is_written_for_a_reader() -> None:
    assert [written(amount) for amount in (24e9, 21.63e9, 512e6)] == ["24 GB", "21.6 GB", "512 MB"]


def test_full_fine_tuning_of_pythia_1b_by_hand() -> None:
    shape = find_shape("pythia-1b")
    parameters = shape.model_params + 50304 * 2048
    expected = 16 * parameters + 2 * shape.model_params  # float32 weight, gradient, two moments; the bf16 copy
    expected += 16 * 2048 * (14 * 2048 + 4 * 2048 + 4 * 8192) * BF16_BYTES  # one chunk through 16 blocks
    expected += 2 * 4 * 2 * 64 * 2048 + 4 * 4 * 64**2
    assert training_bytes(parse_method("full"), shape, 64, 75) == pytest.approx(expected)


def test_methods_that_train_less_take_less() -> None:
    shape = find_shape("pythia-410m")
    methods = ("full", "freeze:0.5", "lora:32", "lora:8")
    full, half, lora, smaller = (training_bytes(parse_method(name), shape, 64, 75) for name in methods)
    assert full > lora > smaller
    assert full > half
    assert smaller > half, "of a chunk, LoRA keeps the activations of all blocks, freezing those of the upper half"
    assert training_bytes(parse_method("full"), shape, 1024, 75) > full
    assert training_bytes(parse_method("full"), shape, 64, 2 * CHUNK_TOKENS) > full


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama", "gemma3_text"])
@pytest.mark.parametrize("name", ["full", "freeze:0.5", "lora:4"])
def test_activations_are_not_fewer_than_torch_keeps_under_autocast(
    tmp_path: Path, architecture: str, name: str
) -> None:
    from transformers import AutoModel

    sizes = {} if architecture == "gpt_neox" else TINY_GROUPED
    folder = save_tiny(tmp_path / architecture, architecture, **sizes)
    shape, method = find_shape(str(folder)), parse_method(name)
    model = method.apply(AutoModel.from_pretrained(folder), shape)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.randint(2, 400, (64, 64))
    with torch.autocast("cpu", torch.bfloat16), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    measured = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    copy = 2 * method.total_params(shape) * method.backward_layers(shape) / shape.layers
    estimated = activation_bytes(method, shape, ids.numel(), BF16_BYTES)
    assert 0.8 < estimated / (measured - copy) < 4
