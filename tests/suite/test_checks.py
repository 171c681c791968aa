"""A member that cannot be trained is refused in one line before anything is, whatever is wrong with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

from embudget.errors import ModelError
from embudget.suite.checks import check_member
from tests.conftest import save_tiny, save_tokenizer
from tests.suite.descriptions import LLAMA, STARCODER

Change = Callable[[Path], object]


def of_config(**values: object) -> Change:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def of_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def changed(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return changed


def setting(name: str, value: float) -> Change:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights[name].view(-1)[7] = value

    return of_weights(change)


def cast(dtype: torch.dtype) -> Change:
    def change(weights: dict[str, torch.Tensor]) -> None:
        for name in weights:
            weights[name] = weights[name].to(dtype)

    return of_weights(change)


def pickled(folder: Path) -> None:
    torch.save(AutoModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def sharded(folder: Path) -> None:
    AutoModel.from_pretrained(folder).save_pretrained(folder / "parts", max_shard_size="100KB")
    (folder / "model.safetensors").unlink()
    for part in sorted((folder / "parts").glob("model*"))[1:]:
        shutil.move(part, folder / part.name)


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def grown_tokenizer(folder: Path) -> None:
    tokenizer = save_tokenizer(folder)
    tokenizer.add_tokens([f"new{number}" for number in range(50)])
    tokenizer.save_pretrained(folder)


def emptied(name: str) -> Change:
    return lambda folder: (folder / name).write_bytes(b"")


def adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")


def pooled(mode: object, *more: str, types: str = "sentence_transformers.models.") -> Change:
    def change(folder: Path) -> None:
        kinds = ["Transformer", "Pooling", *more]
        modules = [
            {"idx": place, "name": str(place), "path": "" if place == 0 else f"{place}_{kind}",
             "type": f"{types}{kind}"}
            for place, kind in enumerate(kinds)
        ]  # fmt: skip
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": mode}))

    return change


def described(text: str) -> Change:
    return lambda folder: (folder / "architecture.yaml").write_text(text)


NORM = "model.norm.weight"
EMBEDDING = "model.embed_tokens.weight"

BAD: dict[str, tuple[Change, str]] = {
    "bitsandbytes": (of_config(quantization_config={"quant_method": "bitsandbytes"}), r"quantised \(bitsandbytes\)"),
    "GPTQ": (of_config(quantization_config={"quant_method": "gptq", "bits": 4}), r"quantised \(gptq\): take"),
    "AWQ": (of_config(quantization_config={"bits": 4}), r"quantised \(an unknown method\)"),
    "NaN": (setting(NORM, float("nan")), f"{NORM} holds NaN or infinity in model.safetensors"),
    "infinity": (setting("model.layers.3.mlp.up_proj.weight", float("-inf")), "up_proj.weight holds NaN or inf"),
    "missing": (of_weights(lambda weights: weights.pop(NORM)), "norm.weight is missing"),
    "shape": (of_weights(lambda w: w.update({NORM: w[NORM][:9].clone()})), r"must have the shape \[64\], got \[9\]"),
    "zero size": (
        of_weights(lambda w: w.update({EMBEDDING: torch.zeros(0, 64)})),
        r"must have the shape .*got \[0, 64",
    ),
    "more layers": (of_config(num_hidden_layers=9), "layers.4.* is missing"),
    "more words": (of_config(vocab_size=500), r"must have the shape \[500, 64\], got \[400, 64\]"),
    "no layers": (of_config(num_hidden_layers=0), "layers"),
    "no hidden size": (of_config(hidden_size=0), "hidden"),
    "text as size": (of_config(hidden_size="wide"), "hidden"),
    "odd activation": (of_config(hidden_act="nope"), "cannot load"),
    "float8": (cast(torch.float8_e4m3fn), "holds numbers of type F8_E4M3"),
    "int8": (cast(torch.int8), "holds numbers of type I8"),
    "truncated": (truncated, "cannot load"),
    "empty weights": (emptied("model.safetensors"), "cannot load"),
    "missing shard": (sharded, r"names model-00001-of-\d+.safetensors, which is not there"),
    "only a pickle": (pickled, r"no model.safetensors \(a pickle may run code"),
    "no tokenizer": (without_tokenizer, "it has no tokenizer.json"),
    "empty tokenizer": (emptied("tokenizer.json"), "cannot load"),
    "other tokenizer": (lambda f: (f / "tokenizer.json").write_text('{"version": "1.0"}'), "cannot load"),
    "larger tokenizer": (grown_tokenizer, "tokenizer is larger than its embedding: token 'new0'"),
    "vision": (of_config(model_type="vit", image_size=224), "vit reads images: only models of text are trained"),
    "vision and language": (of_config(model_type="clip", vision_config={}), "clip reads images"),
    "encoder-decoder": (of_config(model_type="t5", is_encoder_decoder=True), "t5 has an encoder and a decoder"),
    "experts": (of_config(model_type="mixtral", num_local_experts=8), "mixtral is a mixture of experts"),
    "unknown": (of_config(model_type="cohere"), "no description of model_type 'cohere' is built in"),
    "no description": (described("blocks: layers"), "architecture.yaml: model_type is required"),
    "no YAML": (described("{"), "architecture.yaml: not valid YAML"),
    "of another": (described(STARCODER.replace("starcoder2", "gpt2")), "describes model_type 'gpt2', .* is 'llama'"),
    "blocks elsewhere": (described(LLAMA.replace("blocks: layers", "blocks: h")), "blocks in h, where .* nothing"),
    "other layers": (described(LLAMA.replace("mlp.up_proj", "mlp.wide")), "with mlp.wide, which its blocks lack"),
    "other sizes": (described(LLAMA.replace("hidden x kv", "hidden x q")), "parameters in each block, but transf"),
    "a field it lacks": (described(LLAMA.replace("hidden x kv", "hidden x width")), "k_proj needs width, a whole n"),
    "no object": (lambda f: (f / "config.json").write_text("[]"), "must hold an object"),
    "max": (pooled("max"), "pools by max: only mean, last .lasttoken., cls or weighted .weightedmean. is trained"),
    "two poolings": (pooled(["mean", "max"]), "pools by mean and max"),
    "convolution": (pooled("mean", "CNN"), "has a module CNN, which would be lost"),
    "code of others": (pooled("mean", types="custom_st."), "names the class custom_st.Transformer, which is not one"),
    "bytes as modules": (lambda f: (f / "modules.json").write_bytes(b"\xff\xfe"), "not a UTF-8 text file"),
    "bytes as configuration": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "not a UTF-8 text file"),
    "no model": (lambda f: (f / "config.json").unlink(), "a model folder holds config.json"),
    "an adapter alone": (adapter, "is an adapter alone: merge it into its base model"),
    "modules": (lambda f: (f / "modules.json").write_text("[1]"), "modules.json is damaged"),
    "modules cut": (lambda f: (f / "modules.json").write_text("["), "modules.json: not valid JSON"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_member_is_refused_in_one_line(tmp_path: Path, tiny_llama: Path, what: str) -> None:
    change, message = BAD[what]
    folder = tmp_path / "m"
    shutil.copytree(tiny_llama, folder)
    change(folder)
    with pytest.raises(ModelError, match=message) as caught:
        check_member(str(folder))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300 + len(str(folder))


@pytest.mark.parametrize("name", ["lm_head.weight", "model.layers.3.mlp.up_proj.weight"])
def test_weights_that_are_not_used_may_be_anything(tmp_path: Path, tiny_llama: Path, name: str) -> None:
    folder = tmp_path / "m"
    shutil.copytree(tiny_llama, folder)
    setting(name, float("nan"))(folder)
    check_member(f"{folder}:3")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_good_members_pass(tmp_path: Path, tiny_neox: Path, dtype: torch.dtype) -> None:
    folder = tmp_path / "m"
    shutil.copytree(tiny_neox, folder)
    cast(dtype)(folder)
    check_member(str(folder))
    check_member("micro-200k:2")


def test_large_numbers_are_no_infinity(tmp_path: Path, tiny_llama: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(tiny_llama, folder)
    of_weights(lambda weights: weights[EMBEDDING].fill_(3e38))(folder)
    check_member(str(folder))


def test_tied_heads_and_weights_of_the_decoder_alone_pass(tmp_path: Path) -> None:
    check_member(str(save_tiny(tmp_path / "tied", "llama", tie_word_embeddings=True)))
    alone = save_tiny(tmp_path / "alone", "qwen3")
    AutoModel.from_config(AutoConfig.from_pretrained(alone)).save_pretrained(alone)
    check_member(str(alone))


def test_a_repaired_member_is_checked_again(tmp_path: Path, tiny_llama: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(tiny_llama, folder)
    setting(NORM, float("nan"))(folder)
    with pytest.raises(ModelError):
        check_member(str(folder))
    shutil.copy(tiny_llama / "model.safetensors", folder)
    check_member(str(folder))
    setting(NORM, float("nan"))(folder)
    with pytest.raises(ModelError):
        check_member(str(folder))
