"""The OpenVINO export computes what torch computes, as its README says; no word of it leaves the machine."""

import os
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import embudget as eb
from embudget.exports.openvino import _silent_telemetry
from tests.exports.models import use

QUESTIONS = ["How do I open the bucket?", "", " \n", "Straße 数据 🚀", "The queue keeps its messages. " * 30, "a"]


@pytest.mark.parametrize("fp16", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_its_readme_gives_the_embeddings_of_torch(tuned: Path, tmp_path: Path, fp16: bool) -> None:
    """Also on a CPU with fast bf16, in which OpenVINO computes unless it is told not to: then 1e-3 is not kept."""
    done = eb.export(tuned, to="openvino", out=tmp_path / "out", fp16=fp16)
    assert done.difference is not None
    assert done.difference < (1e-2 if fp16 else 1e-5)
    weights = (done.path / "openvino_model.bin").stat().st_size
    full = sum(weight.numel() for weight in SentenceTransformer(str(tuned)).parameters()) * 4
    assert 0.4 < weights / full < (0.6 if fp16 else 1.1)
    used = use(done.path, texts=QUESTIONS)
    assert used["compiled"].get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    found = used["embeddings"]
    theirs = SentenceTransformer(str(tuned)).encode(QUESTIONS)
    np.testing.assert_allclose(found, theirs, atol=1e-2 if fp16 else 1e-5)


def test_the_converter_tells_nobody_that_it_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from openvino_telemetry.utils.opt_in_checker import ConsentCheckResult, OptInChecker

    monkeypatch.delenv("CI", raising=False)
    for name in ("TF_BUILD", "JENKINS_URL"):
        monkeypatch.delenv(name, raising=False)
    with _silent_telemetry():
        asked = OptInChecker().check(enable_opt_in_dialog=False, disable_in_ci=True)
    assert asked == ConsentCheckResult.DECLINED
    assert "CI" not in os.environ
