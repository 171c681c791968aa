"""Packing the micro suite: half precision, a card of what was measured, and no half-written suite."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from embudget.pairs import Pairs
from embudget.suite.loading import BUILTIN
from studies.micro_suite.pretrain import SuiteConfig, pretrain_suite
from studies.publish import micro_models


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory, tiny_pairs: Pairs) -> Path:
    """The folder of two tiny models."""
    out = tmp_path_factory.mktemp("pretrained")
    members = [
        {"name": name, "layers": 1, "hidden": hidden, "heads": 2, "learning_rate": 1e-3}
        for name, hidden in (("s", 16), ("l", 32))
    ]
    settings = {"pairs": str(tiny_pairs.folder), "vocab_size": 300, "members": members, "tokens": 4 * 8 * 32,
                "sequence_length": 32, "batch_size": 8, "heldout": 0.1}  # fmt: skip
    pretrain_suite(SuiteConfig.read(settings, "tiny.yaml"), out)
    return out


def rewrite(pretrained: Path, tmp_path: Path, name: str, change: Any) -> Path:  # noqa: ANN401 - changes in place
    """The same folder with one JSON file changed."""
    folder = shutil.copytree(pretrained, tmp_path / "changed")
    facts = json.loads((folder / name).read_text())
    change(facts)
    (folder / name).write_text(json.dumps(facts))
    return folder


def test_models_are_written_in_half_precision_with_what_was_measured(
    pretrained: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    micro_models.pack_suite(pretrained, tmp_path / "models")
    facts = json.loads((tmp_path / "models" / "pretrain.json").read_text())
    before = json.loads((pretrained / "pretrain.json").read_text())
    assert facts["config"] == before["config"]
    assert facts["text"]["pairs"] == tiny_pairs.hash
    for packed, member in zip(facts["members"], before["members"], strict=True):
        full = load_file(pretrained / member["name"] / "model.safetensors")
        half = load_file(tmp_path / "models" / member["name"] / "model.safetensors")
        assert all(torch.equal(half[name], tensor.half()) for name, tensor in full.items())
        assert packed["heldout_perplexity"] == pytest.approx(member["heldout_perplexity"], rel=0.01)
        assert packed["heldout_perplexity"] != member["heldout_perplexity"]  # that of the rounded weights
    text = (tmp_path / "models" / "README.md").read_text()
    assert text == micro_models.card(facts)
    assert f"| s | {facts['members'][0]['model_params']:,} |" in text


def test_an_incomplete_suite_leaves_the_old_one(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "models"
    target.mkdir()
    (target / "old").write_text("")
    lacking = rewrite(pretrained, tmp_path, "pretrain.json", lambda facts: facts["members"].pop())
    with pytest.raises(SystemExit, match="must have all members, l are not finished"):
        micro_models.pack_suite(lacking, target)
    with pytest.raises(SystemExit, match=r"must be of a pre-training, has no pretrain.json"):
        micro_models.pack_suite(tmp_path, target)
    monkeypatch.setattr(micro_models, "LIMIT", 1000)
    with pytest.raises(SystemExit, match="must have less than 1,000 bytes together"):
        micro_models.pack_suite(pretrained, target)
    assert [path.name for path in target.iterdir()] == ["old"]
    assert {path.name for path in tmp_path.iterdir()} == {"models", "changed"}


def test_models_of_another_text_are_refused(pretrained: Path, tmp_path: Path) -> None:
    other = rewrite(pretrained, tmp_path, "corpus/corpus.json", lambda facts: facts.update(pairs="0"))
    with pytest.raises(SystemExit, match="must be made of the training pairs"):
        micro_models.pack_suite(other, tmp_path / "models")


def test_the_card_of_the_package_is_that_of_its_facts() -> None:
    facts = json.loads((BUILTIN / "pretrain.json").read_text())
    assert (BUILTIN / "README.md").read_text() == micro_models.card(facts)
    named = " ".join(facts["text"]["packages"])
    assert "botocore" in named and "torch" in named
    assert "pygments" not in named  # all of it is held out for test
