"""Shapes: every count against the model that transformers builds from the same numbers."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from embudget.errors import ModelError
from embudget.suite import SHAPES, ModelShape, shape_of_config


def meta_model(shape: ModelShape) -> Any:  # noqa: ANN401 - transformers is untyped
    config = AutoConfig.for_model(
        shape.architecture,
        num_hidden_layers=shape.layers,
        hidden_size=shape.hidden,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        intermediate_size=shape.intermediate,
        vocab_size=shape.vocab,
        max_position_embeddings=shape.max_length + 2 * (shape.architecture == "xlm-roberta"),
        **dict(shape.settings),
    )
    with torch.device("meta"):
        return AutoModel.from_config(config)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_counts_equal_those_of_the_model(shape: ModelShape) -> None:
    model = meta_model(shape)
    sizes = {name: one.numel() for name, one in model.named_parameters() if not name.startswith("pooler.")}
    assert shape.model_params == sum(size for name, size in sizes.items() if "emb" not in name)
    assert shape.embedding_params == sum(size for name, size in sizes.items() if "emb" in name)

    block = model.get_submodule(shape.description.blocks)[1]
    assert shape.block_params == sum(parameter.numel() for parameter in block.parameters())
    biases = {name: parameter for name, parameter in block.named_parameters() if name.endswith("bias")}
    assert shape.block_bias_params == sum(parameter.numel() for parameter in biases.values())
    assert shape.has_biases == bool(biases)
    linears = [
        (name, module.in_features, module.out_features)
        for name, module in block.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    assert sorted(linears) == sorted((linear.name, linear.inputs, linear.outputs) for linear in shape.linears)


def test_reading_back_the_configuration_gives_the_same_shape() -> None:
    for shape in SHAPES.values():
        read = shape_of_config(meta_model(shape).config.to_dict(), shape.name)
        kept = {"family", "start", "pretraining_learning_rate", "hub_id", "revision"}
        assert read.model_dump(exclude=kept) == shape.model_dump(exclude=kept)


def test_truncated_keeps_everything_but_the_depth() -> None:
    shape = SHAPES["pythia-70m"]
    cut = shape.truncated(2)
    assert (cut.name, cut.layers) == ("pythia-70m:2", 2)
    assert shape.model_params - cut.model_params == 4 * shape.block_params
    assert cut.hub_id == shape.hub_id
    for depth in (0, 7):
        with pytest.raises(ModelError, match=f"depth of pythia-70m must be between 1 and 6, got {depth}"):
            shape.truncated(depth)


LLAMA: dict[str, object] = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4,
    "intermediate_size": 64, "vocab_size": 100, "max_position_embeddings": 64,
}  # fmt: skip


def test_missing_optional_fields_take_the_values_transformers_gives_them() -> None:
    shape = shape_of_config(LLAMA, "x")
    assert (shape.kv_heads, shape.head_dim) == (4, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_type": "rwkv"},
            "x: no description of model_type 'rwkv' is built in",
        ),
        ({"model_type": None}, "names no model_type"),
        ({"num_hidden_layers": 0}, "x: its configuration is not usable: layers: .*, got 0"),
        ({"num_attention_heads": "many"}, "heads: .*, got 'many'"),
        ({"num_attention_heads": 0}, "heads: .*, got 0"),
        (
            {"num_hidden_layers": 10**12},
            "x: its configuration is not usable: layers: must be <= 10000, got 1000000000000",
        ),
        ({"num_hidden_layers": True}, "layers: must be a number, got true"),
        ({"hidden_size": 99999999999999999999999}, r"hidden: must be <= 1e.08, got 9{23}$"),
        ({"vocab_size": 10**9}, r"vocab: must be <= 1e.08, got 1000000000$"),
    ],
)
def test_unusable_configurations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        shape_of_config(LLAMA | change, "x")


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ModelError, match="x: its configuration lacks vocab_size"):
        shape_of_config({key: value for key, value in LLAMA.items() if key != "vocab_size"}, "x")
