"""The contract of every architecture: counts, costs, what trains, cuts, one training step, and what is saved."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel

from embudget.errors import MethodError
from embudget.flops import Passes, executed_flops
from embudget.methods import parse_method
from embudget.suite import ModelShape, find_shape
from embudget.suite.checks import check_member
from embudget.suite.loading import load_embedder
from embudget.training.chunks import make_chunks
from embudget.training.encoder import Encoder
from tests.suite.architectures import CASES, Case, save_case
from tests.training.batches import (
    SCALE,
    assert_same,
    engine_for,
    gradients,
    ragged,
    ragged_sides,
    token_ids,
    with_method,
)

METHODS = ["full", "freeze:0.5", "bias", "lora:2", "lora:2:layers=attention", "lora:2:layers=mlp"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = CASES[request.param]
    return found


@pytest.fixture(scope="module")
def folder(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_case(tmp_path_factory.mktemp("contract") / "tiny", case)


@pytest.fixture(scope="module")
def shape(folder: Path) -> ModelShape:
    return find_shape(str(folder))


def fitting(case: Case) -> list[str]:
    return [method for method in METHODS if method != "bias" or case.has_biases]


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Any:  # noqa: ANN401 - transformers is untyped
    """The model, for copies: loading it is most of the time of these tests, and takes ten times as long as a copy."""
    return AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


@pytest.fixture(scope="module")
def loaded_embedder(folder: Path) -> SentenceTransformer:
    """What embeds texts by the model, for copies."""
    return load_embedder(str(folder), 32)


def counted_names(model: Any, case: Case) -> dict[str, int]:  # noqa: ANN401 - transformers is untyped
    """Parameters without the input embedding and what else comes before the blocks, adapters included."""
    table = model.get_input_embeddings().weight
    return {
        name: parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter is not table and not name.removeprefix("base_model.model.").startswith(case.before or ("-",))
    }


def test_n_is_the_count_by_hand(case: Case, folder: Path, shape: ModelShape, loaded: Any) -> None:  # noqa: ANN401
    check_member(str(folder))
    model = deepcopy(loaded)
    counted = counted_names(model, case)
    assert shape.model_params == sum(counted.values())
    passed = [p for name, p in model.named_parameters() if not name.startswith(shape.description.unused or ("-",))]
    assert shape.model_params + shape.embedding_params == sum(p.numel() for p in passed)
    assert shape.has_biases == case.has_biases == any(name.endswith(".bias") for name in counted)
    blocks = model.get_submodule(shape.description.blocks)
    assert len(blocks) == shape.layers == 4
    assert shape.block_params == sum(p.numel() for p in blocks[3].parameters())
    assert shape.block_params - shape.first_block_lacks == sum(p.numel() for p in blocks[0].parameters())


def test_linear_layers_are_all_of_a_blocks(shape: ModelShape, loaded: Any) -> None:  # noqa: ANN401
    block = loaded.get_submodule(shape.description.blocks)[3]
    found = {
        name: sorted(module.weight.shape)
        for name, module in block.named_modules()
        if isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
    }
    assert found == {linear.name: sorted((linear.inputs, linear.outputs)) for linear in shape.linears}
    assert {linear.part for linear in shape.linears} == {"attention", "mlp"}


def not_gone_back_through(model: Any, shape: ModelShape, tokens: int, squares: int) -> int:  # noqa: ANN401
    """FLOP of gradients that nothing needs: of the first block's attention where only its feed-forward network trains.

    Formulas count them, as a block is trained or not; they are about a tenth of four blocks'.
    """
    first = f"{shape.description.blocks}.0."
    mlp = tuple(f"{first}{linear.name}." for linear in shape.linears if linear.part == "mlp")
    names = (name.removeprefix("base_model.model.") for name, one in model.named_parameters() if one.requires_grad)
    if any(name.startswith(first) and not name.startswith(mlp) for name in names):
        return 0
    attention = sum(linear.inputs * linear.outputs for linear in shape.linears if linear.part == "attention")
    return 2 * attention * tokens + 8 * shape.heads * shape.head_dim * squares


def test_flops_agree_with_the_counter(case: Case, shape: ModelShape, loaded: Any) -> None:  # noqa: ANN401
    texts, length = 4, 16
    ids = torch.arange(texts * length).reshape(texts, length) % 390 + 2
    for text in fitting(case):
        if text == "lora:2:layers=attention":
            continue  # adapters in half of the layers leave more uncomputed in the first of four blocks
        method = parse_method(text)
        model = method.apply(deepcopy(loaded), shape)
        with FlopCounterMode(display=False) as counter:
            torch.autograd.backward(model(input_ids=ids).last_hidden_state.pow(2).mean())
        tokens, squares = texts * length, texts * length**2
        expected = executed_flops(method, shape, Passes(tokens, squares, tokens, squares, tokens, squares))
        if text in ("bias", "lora:2:layers=mlp"):
            expected -= not_gone_back_through(model, shape, tokens, squares)
        assert counter.get_total_flops() == pytest.approx(expected, rel=0.1), text


def test_methods_train_what_they_claim(case: Case, shape: ModelShape, loaded: Any) -> None:  # noqa: ANN401
    blocks = shape.description.blocks
    final = tuple(f"{norm.name}." for norm in shape.final_norm) or ("-",)
    for text in fitting(case):
        method = parse_method(text)
        method.check(shape)
        model = method.apply(deepcopy(loaded), shape)
        counted = counted_names(model, case)
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert sum(size for name, size in counted.items() if name in trained) == method.trained_params(shape), text
        assert sum(counted.values()) == method.total_params(shape), text
        every = {name for name, _ in model.named_parameters()}
        if text == "full":
            assert trained == {name for name in every if not name.startswith(shape.description.unused or ("-",))}
        elif text == "freeze:0.5":
            assert trained == {name for name in every if name.startswith((f"{blocks}.2.", f"{blocks}.3.", *final))}
        elif text == "bias":
            passed = {name for name in every if not name.startswith(shape.description.unused or ("-",))}
            assert trained == {name for name in passed if name.endswith(".bias")}
        else:
            wrapped = {
                f"base_model.model.{blocks}.{block}.{linear.name}.lora_{side}.default.weight"
                for block in range(4) for linear in shape.linears for side in "AB"
                if text in ("lora:2", f"lora:2:layers={linear.part}")
            }  # fmt: skip
            assert trained == wrapped


def test_bias_is_refused_where_there_is_none(case: Case, shape: ModelShape) -> None:
    if not case.has_biases:
        with pytest.raises(MethodError, match="bias needs a model with bias terms"):
            parse_method("bias").check(shape)


def test_a_cut_model_runs_the_first_blocks(
    folder: Path, shape: ModelShape, loaded_embedder: SentenceTransformer, tiny_text: list[str]
) -> None:
    whole = deepcopy(loaded_embedder)
    blocks = whole[0].model.get_submodule(shape.description.blocks)
    del blocks[2:]
    cut = load_embedder(f"{folder}:2", 32)
    kept = cut[0].model.state_dict()
    assert {name: value.shape for name, value in whole[0].model.state_dict().items()} == {
        name: value.shape for name, value in kept.items()
    }
    np.testing.assert_allclose(cut.encode(tiny_text), whole.encode(tiny_text), atol=1e-5)
    assert find_shape(f"{folder}:2").model_params == shape.model_params - 2 * shape.block_params


@pytest.mark.parametrize("chunk_tokens", [1, 10_000], ids=["no padding", "padding"])
def test_the_parts_compute_what_the_whole_computes(
    folder: Path, loaded_embedder: SentenceTransformer, tiny_text: list[str], chunk_tokens: int
) -> None:
    model = with_method(deepcopy(loaded_embedder), folder, "freeze:0.5")
    encoder = Encoder(model, description=find_shape(str(folder)).description)
    assert encoder.prefix_blocks == 2
    names = list(model.state_dict())
    chunks = make_chunks(token_ids(model, tiny_text), chunk_tokens, CPU)
    assert any("attention_mask" in chunk.about for chunk in chunks) == (chunk_tokens > 1)
    found = torch.cat([encoder.embed(chunk, encoder.hidden(chunk)) for chunk in chunks])
    found = found[torch.tensor([text for chunk in chunks for text in chunk.texts]).argsort()]
    torch.testing.assert_close(found, model.encode(tiny_text, convert_to_tensor=True), rtol=0, atol=1e-5)
    assert list(model.state_dict()) == names


def test_a_step_is_that_of_plain_sentence_transformers(
    case: Case, folder: Path, loaded_embedder: SentenceTransformer, tiny_text: list[str]
) -> None:
    """With gradient caching and without it."""
    for method in fitting(case)[:-2]:
        model = with_method(deepcopy(loaded_embedder), folder, method)
        description = find_shape(str(folder)).description
        steps = [
            gradients(engine_for(model, description, chunk_tokens=40, cached=cached), ragged(model, tiny_text))
            for cached in (False, True)
        ]
        theirs = MultipleNegativesRankingLoss(
            model, scale=SCALE, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        )
        loss = theirs([dict(model.preprocess(side)) for side in ragged_sides(tiny_text)], None)
        loss.backward()
        wanted = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        for found in steps:
            assert_same(found, (loss.item(), wanted))


def test_saved_and_loaded_again_it_embeds_alike(
    folder: Path, tmp_path: Path, loaded_embedder: SentenceTransformer, tiny_text: list[str]
) -> None:
    shape = find_shape(str(folder))
    for number, method in enumerate(("full", "lora:2")):
        model = with_method(deepcopy(loaded_embedder), folder, method)
        wanted = model.encode(tiny_text)
        model[0].model = parse_method(method).merge(model[0].model)
        model.save_pretrained(str(tmp_path / str(number)))
        np.testing.assert_allclose(
            SentenceTransformer(str(tmp_path / str(number))).encode(tiny_text), wanted, atol=1e-5
        )
        again = find_shape(str(tmp_path / str(number)))
        assert again.model_params == shape.model_params
        np.testing.assert_allclose(load_embedder(again.name, 32).encode(tiny_text), wanted, atol=1e-5)
