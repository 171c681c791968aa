"""What an embedding model says about itself is read in the words of every release, and what we do not train refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from embudget.errors import ModelError
from embudget.suite import Start, find_shape, start_of
from embudget.suite.dense import Dense
from embudget.suite.members import pooling_for

OLD, NEW = "sentence_transformers.models.", "sentence_transformers.sentence_transformer.modules."


def as_retriever(
    folder: Path,
    pooling: dict[str, Any] | None = None,
    *,
    dense: tuple[Dense, ...] = (),
    normalize: bool = True,
    types: str = OLD,
    prompts: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
) -> Path:
    """Make a folder one of sentence-transformers, in the files that its releases write.

    ``dense`` are its `Dense` modules, in the folders that they name, with random weights.
    """
    kinds = ["Transformer", "Pooling", *["Dense"] * len(dense), *(["Normalize"] if normalize else [])]
    modules = [
        {"idx": place, "name": str(place), "path": f"{place}_{kind}" if place else "", "type": types + kind}
        for place, kind in enumerate(kinds)
    ]
    files = {
        "modules.json": modules,
        "1_Pooling/config.json": pooling or {"pooling_mode": "mean"},
        "config_sentence_transformers.json": prompts,
        "sentence_bert_config.json": limits,
    }
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if content is not None:
            (folder / name).write_text(json.dumps(content))
    for layer in dense:
        write_dense(folder, layer)
    return folder


def write_dense(folder: Path, layer: Dense) -> None:
    """One `Dense` module in its folder, as releases before 6 write it."""
    kind = "linear" if layer.activation == "Identity" else "activation"
    config = {
        "in_features": layer.inputs,
        "out_features": layer.outputs,
        "bias": layer.bias,
        "activation_function": f"torch.nn.modules.{kind}.{layer.activation}",
    }
    draw = torch.Generator().manual_seed(layer.outputs)
    weights = {"linear.weight": torch.randn(layer.outputs, layer.inputs, generator=draw) / layer.inputs**0.5}
    if layer.bias:
        weights["linear.bias"] = torch.randn(layer.outputs, generator=draw) / 10
    place = folder / layer.path
    place.mkdir(exist_ok=True)
    (place / "config.json").write_text(json.dumps(config))
    save_file(weights, place / "model.safetensors")


def test_a_folder_without_modules_is_a_language_model(tiny_neox: Path) -> None:
    assert start_of(str(tiny_neox)) == Start() == start_of("pythia-70m")
    assert find_shape(str(tiny_neox)).start == "base"


@pytest.mark.parametrize("types", [OLD, NEW])
@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
        ({"pooling_mode_lasttoken": True, "include_prompt": True}, "lasttoken"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["lasttoken"]}, "lasttoken"),
        ({"word_embedding_dimension": 8}, "mean"),
    ],
)
def test_pooling_in_old_and_new_keys(tmp_path: Path, types: str, config: dict[str, Any], pooling: str) -> None:
    own = start_of(str(as_retriever(tmp_path, config, types=types)))
    assert (own.kind, own.pooling, own.normalize) == ("retriever", pooling, True)
    assert own.end_token == (pooling == "lasttoken")


@pytest.mark.parametrize(
    ("prompts", "query", "document"),
    [
        ({"query": "query: ", "passage": "passage: "}, "query: ", "passage: "),
        ({"query": "q ", "document": "d ", "corpus": "c "}, "q ", "d "),
        ({"search_query": "search_query: ", "search_document": "search_document: "}, "search_query: ",
         "search_document: "),
        ({"corpus": "c "}, "", "c "),
        ({"query": None, "document": ""}, "", ""),
        ({}, "", ""),
    ],
)  # fmt: skip
def test_prompts_by_every_name_in_use(tmp_path: Path, prompts: dict[str, Any], query: str, document: str) -> None:
    own = start_of(str(as_retriever(tmp_path, prompts={"prompts": prompts})))
    assert (own.query_prompt, own.document_prompt) == (query, document)


def test_a_default_prompt_serves_for_what_has_none(tmp_path: Path) -> None:
    config = {"prompts": {"web": "Instruct: ", "query": "q "}, "default_prompt_name": "web"}
    own = start_of(str(as_retriever(tmp_path, prompts=config)))
    assert (own.query_prompt, own.document_prompt) == ("q ", "Instruct: ")


def test_length_lower_case_and_no_normalisation(tmp_path: Path) -> None:
    limits = {"max_seq_length": 256, "do_lower_case": True}
    own = start_of(str(as_retriever(tmp_path, normalize=False, limits=limits)))
    assert (own.max_length, own.lower_case, own.normalize) == (256, True, False)


def test_the_shape_says_that_it_is_a_retriever(tmp_path: Path, tiny_neox: Path) -> None:
    (tmp_path / "config.json").write_text((tiny_neox / "config.json").read_text())
    as_retriever(tmp_path)
    assert find_shape(str(tmp_path)).lineage == "gpt_neox retriever"
    assert find_shape(f"{tmp_path}:2").start == "retriever"


def test_a_retriever_keeps_its_pooling_and_a_language_model_takes_any(tmp_path: Path) -> None:
    name = str(as_retriever(tmp_path, {"pooling_mode": "cls"}))
    assert pooling_for(name, None) == pooling_for(name, "cls") == "cls"
    with pytest.raises(ModelError, match=r"pools by cls, as its modules.json says, but pooling is mean: set pooling"):
        pooling_for(name, "mean")
    assert pooling_for("pythia-70m", None) == "mean"
    for pooling in ("mean", "lasttoken", "cls", "weightedmean"):
        assert pooling_for("pythia-70m", pooling) == pooling


def modules(*entries: dict[str, str]) -> dict[str, Any]:
    return {"modules.json": list(entries)}


FIRST = {"path": "", "type": f"{OLD}Transformer"}
SECOND = {"path": "1_Pooling", "type": f"{OLD}Pooling"}
DENSE = {"path": "2_Dense", "type": f"{OLD}Dense"}


def of_dense(**config: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"2_Dense/config.json": {"in_features": 64, "out_features": 32, **config}}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "code of others": (modules({"path": "", "type": "custom_st.Transformer"}, SECOND), "names the class custom_st.Tr"),
    "layer norm": (
        modules(FIRST, SECOND, {"path": "2_LayerNorm", "type": f"{OLD}LayerNorm"}),
        "has a module LayerNorm, which would be lost: only models of Transformer, Pooling, Dense and Normalize are tr",
    ),
    "dense first": (modules(FIRST, DENSE, SECOND), "in this order"),
    "dense without sizes": (modules(FIRST, SECOND, DENSE), "its module 2_Dense has no config.json with in_features"),
    "dense of another activation": (
        {**modules(FIRST, SECOND, DENSE), **of_dense(activation_function="os.system")},
        "activation os.system: only Id",
    ),
    "dense of the tokens": (
        {**modules(FIRST, SECOND, DENSE), **of_dense(module_input_name="token_embeddings")},
        "does more than a product",
    ),
    "dense with a residual": ({**modules(FIRST, SECOND, DENSE), **of_dense(use_residual=True)}, "does more than a"),
    "dense of no size": ({**modules(FIRST, SECOND, DENSE), **of_dense(out_features=0)}, "outputs: must be > 0, got 0"),
    "no pooling": (modules(FIRST), "one Transformer, one Pooling, perhaps Dense and Normalize, in this order"),
    "two poolings": (modules(FIRST, SECOND, SECOND), "one Transformer, one Pooling"),
    "other order": (modules(SECOND, FIRST), "in this order"),
    "outside": (modules(FIRST, SECOND | {"path": "../other"}), "names ../other, outside the folder"),
    "not a list": ({"modules.json": 7}, "modules.json is damaged"),
    "max": (
        {"1_Pooling/config.json": {"pooling_mode_max_tokens": True}},
        "pools by max: only mean, last .lasttoken., cls",
    ),
    "two ways": ({"1_Pooling/config.json": {"pooling_mode": ["mean", "cls"]}}, "pools by mean and cls"),
    "without prompt": ({"1_Pooling/config.json": {"include_prompt": False}}, "leaves prompts out of its pooling"),
    "no config": ({"1_Pooling/config.json": []}, "its module Pooling has no 1_Pooling/config.json"),
    "prompts": ({"config_sentence_transformers.json": {"prompts": ["q"]}}, "prompts in its .* must be texts by name"),
    "prompt of a number": ({"config_sentence_transformers.json": {"prompts": {"query": 7}}}, "must be texts by name"),
    "long prompt": ({"config_sentence_transformers.json": {"prompts": {"query": "q" * 2001}}}, "query_prompt: .*2000"),
    "length": ({"sentence_bert_config.json": {"max_seq_length": -5}}, "max_length: must be > 0, got -5"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_we_do_not_train_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    files, message = BAD[what]
    folder = as_retriever(tmp_path / "m")
    (folder / "2_Dense").mkdir()
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message) as caught:
        start_of(str(folder))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def test_files_that_are_no_utf8_or_no_json_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = as_retriever(tmp_path / "m")
    for content, message in [(b"\xff\xfe[", "not a UTF-8 text file"), (b"[{", "not valid JSON")]:
        (folder / "modules.json").write_bytes(content)
        with pytest.raises(ModelError, match=message):
            start_of(str(folder))
