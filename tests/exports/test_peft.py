"""Adapters alone compute with their base what the merged model does."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

import embudget as eb
from embudget.errors import ExportError, ModelError
from embudget.exports.adapter import adapter_base
from embudget.suite.packages import packaged_names
from tests.exports.models import use

TEXTS = ["How do I open the bucket?", "", "The queue keeps its messages. " * 30]


@pytest.fixture
def exported(tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The adapters' folder, in whose parent the base was made as the README says."""
    monkeypatch.chdir(tmp_path)
    eb.export(tuned, to="peft", out=tmp_path / "adapter")
    model = json.loads((tuned / "embudget.json").read_text())["config"]["model"]
    command = f"embudget export {model} --to transformers --out tiny-llama-2-blocks"
    assert command in (tmp_path / "adapter" / "README.md").read_text()
    eb.export(model, to="transformers", out="tiny-llama-2-blocks")
    return tmp_path / "adapter"


def test_it_is_small_and_has_the_adapters_alone(exported: Path, tuned: Path) -> None:
    assert not (exported / "model.safetensors").exists()
    config = json.loads((exported / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == (4, 8, "tiny-llama-2-blocks")
    assert (exported / "adapter_model.safetensors").stat().st_size < (tuned / "model.safetensors").stat().st_size / 2


def test_sentence_transformers_loads_it_with_its_base(exported: Path, tuned: Path) -> None:
    merged = SentenceTransformer(str(tuned)).encode(TEXTS)
    np.testing.assert_allclose(use(exported)["model"].encode(TEXTS), merged, atol=1e-5)


def test_sentence_transformers_loads_it_into_the_untrained_member(exported: Path, tuned: Path, tmp_path: Path) -> None:
    model = json.loads((tuned / "embudget.json").read_text())["config"]["model"]
    eb.export(model, to="sentence-transformers", out=tmp_path / "base")
    loaded = SentenceTransformer(str(tmp_path / "base"))
    loaded.max_seq_length = 32
    merged = SentenceTransformer(str(tuned)).encode(TEXTS)
    assert np.abs(loaded.encode(TEXTS) - merged).max() > 1e-3, "the adapters do something"
    loaded.load_adapter(str(exported))
    np.testing.assert_allclose(loaded.encode(TEXTS), merged, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT 0.21 asks for an old name
def test_peft_puts_it_on_the_base(exported: Path, tuned: Path) -> None:
    """Not a key is missing or left over, and the states before pooling are those of the merged model."""
    merged = SentenceTransformer(str(tuned), device="cpu")
    base = AutoModel.from_pretrained("tiny-llama-2-blocks")
    model = PeftModel.from_pretrained(base, exported).eval()
    fed = merged.tokenizer(TEXTS[::2], padding=True, truncation=True, max_length=32, return_tensors="pt")
    inputs = {name: fed[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        found, wanted = model(**inputs).last_hidden_state, merged[0].model(**inputs).last_hidden_state
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(found[real], wanted[real], atol=1e-5, rtol=1e-5)


def test_only_files_that_training_wrote_are_copied(tuned: Path, tmp_path: Path) -> None:
    """The copy lists its files as embudget's, by which the next push would publish what somebody put beside them."""
    model = Path(shutil.copytree(tuned, tmp_path / "model"))
    (tmp_path / "secret").write_text("mine")
    (model / "notes.txt").write_text("mine")
    (model / "link.json").symlink_to(tmp_path / "secret")
    (model / "adapter" / "pytorch_model.bin").write_bytes(b"mine")
    eb.export(model, to="peft", out=tmp_path / "out")
    assert not {"notes.txt", "link.json", "pytorch_model.bin"} & {path.name for path in (tmp_path / "out").rglob("*")}
    (model / "tokenizer.json").unlink()
    (model / "tokenizer.json").symlink_to(tuned / "tokenizer.json")
    with pytest.raises(ExportError, match=r"tokenizer\.json is a link"):
        eb.export(model, to="peft", out=tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_the_base_is_the_hub_s_only_where_its_weights_are(tiny_llama: Path) -> None:
    """The package of minilm-l6 carries the hub's weights, that of smollm2-135m a copy in 4 bits."""
    packaged = packaged_names()
    for name in ("minilm-l6", "minilm-l6:6") if "minilm-l6" in packaged else ():
        assert adapter_base(name).path == "sentence-transformers/all-MiniLM-L6-v2"
    if "minilm-l6" in packaged:
        assert adapter_base("minilm-l6:5").path == "minilm-l6-5-blocks"
    if "smollm2-135m" in packaged:
        assert adapter_base("smollm2-135m").path == "smollm2-135m-30-blocks"
    assert adapter_base("micro-450k:1").path == "micro-450k-1-block"
    assert adapter_base(str(tiny_llama)).path == adapter_base(f"{tiny_llama}:4").path == str(tiny_llama)
    assert adapter_base(f"{tiny_llama}:2").path == f"{tiny_llama.name}-2-blocks"


@pytest.mark.parametrize("content", ["{", "[]", '{"peft_type": "LORA"}'])
def test_a_damaged_configuration_is_one_line(tuned: Path, tmp_path: Path, content: str) -> None:
    model = Path(shutil.copytree(tuned, tmp_path / "model"))
    (model / "adapter" / "adapter_config.json").write_text(content)
    with pytest.raises(ModelError, match=r"adapter_config\.json") as caught:
        eb.export(model, to="peft", out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
