"""A model at a URL is scored, exported and looked at as one in a folder is."""

import json
from pathlib import Path

import pytest

from embudget.errors import ModelError, RemoteError
from embudget.evaluation import evaluate
from embudget.exports import export
from embudget.exports.push import push
from embudget.pairs import Pairs
from embudget.remote import put_folder
from embudget.suite.embedders import load_model
from tests.command_line import Run


@pytest.fixture
def url(tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "cache"))
    place = f"file://{tmp_path}/bucket/model"
    put_folder(tuned, place)
    return place


def test_its_scores_and_its_base_are_those_of_the_folder(run: Run, url: str, tuned: Path, tiny_pairs: Pairs) -> None:
    found, wanted = (
        json.loads(run("evaluate", model, "--pairs", tiny_pairs.folder, "--json").out) for model in (url, tuned)
    )
    assert found == wanted
    assert "untrained base" in found["scores"]
    both = run("evaluate", tuned, "--pairs", f"file://{tiny_pairs.folder}", "--against", f"{url}/")
    assert url in both.out, both.err
    assert evaluate(url, tiny_pairs).scores["model"] == evaluate(tuned, tiny_pairs).scores["model"]


def test_its_export_is_that_of_the_folder(run: Run, url: str, tuned: Path, tmp_path: Path) -> None:
    done = run("export", url, "--to", "peft", "--out", tmp_path / "adapter")
    assert done.code == 0, done.err
    export(tuned, to="peft", out=tmp_path / "of_folder")
    weights = [tmp_path / name / "adapter_model.safetensors" for name in ("adapter", "of_folder")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert "would publish" in str(push(url, "me/model", dry_run=True))


def test_a_url_without_a_model_is_one_line(url: str) -> None:
    with pytest.raises(RemoteError, match="nothing"):
        load_model(f"{url}-elsewhere")
    with pytest.raises(RemoteError, match="password"):
        load_model("s3://me:secret@bucket/model")


def test_a_folder_at_a_url_that_is_no_model_is_one_line(tiny_pairs: Pairs, url: str) -> None:
    with pytest.raises(ModelError, match=r"modules\.json is missing"):
        load_model(f"file://{tiny_pairs.folder}")
