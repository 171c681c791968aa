"""A model of an architecture that embudget does not know is trained by the description that lies beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers import AutoModel

from embudget.errors import ModelError
from embudget.methods import parse_method
from embudget.suite import find_shape
from embudget.suite.architecture import Architecture, parse_layer
from embudget.suite.architectures import ARCHITECTURES
from embudget.suite.checks import check_member
from embudget.suite.loading import load_embedder, weights_of
from tests.conftest import save_tiny
from tests.suite.descriptions import LLAMA, STARCODER
from tests.training.batches import SCALE, assert_same, embedder, engine_for, gradients, ragged, ragged_sides


@pytest.fixture(params=[True, False], ids=["biases", "no biases"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model whose type has no built-in description."""
    sizes = {"num_key_value_heads": 2, "use_bias": request.param}
    return save_tiny(tmp_path / "tiny", "starcoder2", **sizes)


def test_it_keeps_the_contract(folder: Path, tiny_text: list[str]) -> None:
    assert "starcoder2" not in ARCHITECTURES
    with pytest.raises(ModelError, match=r"no description of model_type 'starcoder2' .* in a file architecture.yaml"):
        find_shape(str(folder))
    (folder / "architecture.yaml").write_text(STARCODER)
    check_member(str(folder))
    shape = find_shape(str(folder))
    model = AutoModel.from_pretrained(folder)
    assert shape.model_params == sum(p.numel() for name, p in model.named_parameters() if "embed_tokens" not in name)
    for method in ("full", "freeze:0.5", "bias", "lora:2"):
        trained = embedder(folder, method)
        names = dict(trained[0].model.named_parameters())
        counted = sum(p.numel() for name, p in names.items() if p.requires_grad and "embed_tokens" not in name)
        assert counted == parse_method(method).trained_params(shape), method
        engine = engine_for(trained, shape.description, chunk_tokens=40)
        found = gradients(engine, ragged(trained, tiny_text))
        theirs = MultipleNegativesRankingLoss(
            trained, scale=SCALE, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        )
        loss = theirs([dict(trained.preprocess(side)) for side in ragged_sides(tiny_text)], None)
        loss.backward()
        assert_same(found, (loss.item(), {n: p.grad for n, p in trained.named_parameters() if p.grad is not None}))
    whole = load_embedder(str(folder), 32)
    del whole[0].model.layers[2:]
    np.testing.assert_allclose(load_embedder(f"{folder}:2", 32).encode(tiny_text), whole.encode(tiny_text), atol=1e-5)
    assert load_embedder(str(folder), 32, attention="bidirectional")[0].model.config.is_causal is False


def test_other_descriptions_are_other_runs(folder: Path) -> None:
    """N decides what a budget buys, so that a run is known by its description too."""
    (folder / "architecture.yaml").write_text(STARCODER)
    before = weights_of(str(folder))
    (folder / "architecture.yaml").write_text(STARCODER + "\n")
    assert weights_of(str(folder)) != before


def test_one_for_a_built_in_type_is_taken_in_its_place(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "tiny", "llama")
    built_in = find_shape(str(folder))
    (folder / "architecture.yaml").write_text(LLAMA)
    own = find_shape(str(folder))
    assert own.description != built_in.description
    assert own.model_params == built_in.model_params
    assert len({own, built_in, find_shape(str(folder))}) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention": {"q": "hidden"}}, r"attention.q: must be inputs x outputs, got 'hidden'"),
        ({"mlp": {"up": "hidden x intermediate x 2"}}, "mlp.up: must be a size, or two as in hidden x intermediate"),
        ({"mlp": {"up": "hidden x 4h"}}, "mlp.up: must be a size such as hidden, 3 . hidden or q"),
        ({"mlp": {"up": "hidden x 0"}}, r"mlp.up: must have numbers from 1 to 100,000,000, got 'hidden x 0'"),
        ({"mlp": {"up": f"hidden x {10**22}"}}, r"mlp.up: must have numbers from 1 to 100,000,000, got 'hidden x 10"),
        (
            {"mlp": {"up": "hidden x " + 5000 * "9"}},
            r"mlp.up: must have numbers from 1 to 100,000,000, got 'hidden x 9",
        ),
        ({"norms": {"n": "hidden, biased"}}, "norms.n: must be a size, then `bias`, `bias FIELD` or `if FIELD`"),
        ({"norms": {"n": "hidden, if"}}, "norms.n: must be a size, then `bias`"),
        ({"blocks": "layers."}, "blocks: must match"),
        ({"final_norm": {"a": "hidden", "b": "hidden"}}, "final_norm: must have at most 1"),
        ({"first_lacks": ["n"]}, "first_lacks: must name norms of a block, got 'n'"),
        ({"layers": "h"}, "layers is not a known field"),
    ],
)
def test_what_is_no_description_is_refused(change: dict[str, object], message: str) -> None:
    content = {
        "model_type": "x", "blocks": "layers", "attention": {"q": "hidden x q"}, "mlp": {"up": "hidden x intermediate"},
    }  # fmt: skip
    with pytest.raises(ModelError, match=rf"a.yaml: {message}"):
        Architecture.read({**content, **change}, "a.yaml", ModelError)


@pytest.mark.parametrize(
    ("layer", "changes", "message"),
    [
        ("hidden x model_type", {}, "needs model_type, true or false or a whole number, got 'starcoder2'"),
        ("hidden x intermediate, bias hidden_act", {"hidden_act": "gelu"}, "needs hidden_act, true or false or a"),
        ("hidden x extra", {"extra": 0}, "mlp.c_fc must have from 1 to 1e.30 numbers, got 64 x 0"),
        ("hidden x extra", {"extra": -3}, "mlp.c_fc must have from 1 to 1e.30 numbers, got 64 x -3"),
        ("hidden x" + 20 * " intermediate", {}, r"mlp.c_fc must have from 1 to 1e.30 numbers, got 64 x \.\.\."),
    ],
)
def test_a_description_that_comes_to_no_size_is_one_line(
    tmp_path: Path, layer: str, changes: dict[str, object], message: str
) -> None:
    folder = save_tiny(tmp_path / "tiny", "starcoder2", num_key_value_heads=2, use_bias=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    described = STARCODER.replace("hidden x intermediate, bias use_bias", layer)
    assert described != STARCODER
    (folder / "architecture.yaml").write_text(described)
    with pytest.raises(ModelError, match=message) as caught:
        find_shape(str(folder))
    assert str(caught.value).startswith(f"{folder}: ") and "\n" not in str(caught.value)
    assert "settings." not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("hidden x q", (64, 96)),
        ("hidden x q + 2 kv", (64, 192)),
        ("hidden x 2*intermediate", (64, 320)),
        ("max_length + 2 x hidden", (130, 64)),
        ("4 hidden", (256,)),
    ],
)
def test_sizes_are_sums_of_products(text: str, sides: tuple[int, ...]) -> None:
    known = {"hidden": 64, "q": 96, "kv": 48, "intermediate": 160, "max_length": 128}
    assert parse_layer(text).evaluate(known) == sides


def test_the_documented_description_is_the_tested_one() -> None:
    page = Path(__file__).parents[2] / "docs" / "howto" / "models.md"
    assert STARCODER in page.read_text(encoding="utf-8")
