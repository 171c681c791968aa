"""The language model inside a multimodal one is that of the multimodal one, and is trained as an ordinary decoder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, Gemma3Config, Gemma3ForConditionalGeneration

from embudget.errors import ModelError
from embudget.suite import find_shape
from embudget.suite.checks import check_member
from embudget.suite.loading import find_checkpoint, load_embedder
from tests.conftest import TINY_GROUPED, TINY_SIZES, save_tokenizer

VISION: dict[str, object] = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8,
    "patch_size": 4,
}  # fmt: skip


@pytest.fixture(params=["100KB", "1GB"], ids=["several files", "one file"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random Gemma 3 that reads images."""
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "cache"))
    text = {**TINY_SIZES, **TINY_GROUPED, "layer_types": ["sliding_attention", "full_attention"] * 2}
    config = Gemma3Config(text_config=text, vision_config=VISION, mm_tokens_per_image=4, image_token_index=399)
    torch.manual_seed(0)
    Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path / "whole", max_shard_size=request.param)
    save_tokenizer(tmp_path / "whole")
    return tmp_path / "whole"


def states(model: Any, ids: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - transformers is untyped
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids).last_hidden_state
    return found


def test_it_computes_what_the_whole_computes_of_text(folder: Path) -> None:
    inner = AutoModel.from_pretrained(folder).language_model.eval()
    shape = find_shape(str(folder))
    assert shape.architecture == "gemma3_text"
    assert shape.model_params + shape.embedding_params == sum(p.numel() for p in inner.parameters())
    check_member(str(folder))
    model = load_embedder(str(folder), 32)[0].model
    ids = torch.arange(2, 22).reshape(2, 10)
    torch.testing.assert_close(states(model.cpu(), ids), states(inner, ids))
    assert not list(Path(find_checkpoint(str(folder)).path).glob("*vision*"))


def test_it_is_cut_and_copied_once(folder: Path, tiny_text: list[str]) -> None:
    first = find_checkpoint(str(folder)).path
    made = Path(first, "config.json").stat().st_mtime_ns
    cut = load_embedder(f"{folder}:2", 32)
    assert len(cut[0].model.layers) == 2
    assert np.isfinite(cut.encode(tiny_text)).all()
    assert Path(find_checkpoint(str(folder)).path, "config.json").stat().st_mtime_ns == made


def test_without_a_language_model_it_is_refused(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(ModelError, match="no weights of a language model"):
        load_embedder(str(folder), 32)
