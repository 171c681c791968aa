"""A model with `Dense` modules keeps them in every format that has a place for them, and is refused by the others."""

import json
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import embudget as eb
from embudget.errors import ExportError
from embudget.exports.sentence_transformers import save_modules
from embudget.pairs import Pairs
from embudget.suite.loading import load_embedder
from embudget.training.run import train
from tests.exports.models import use
from tests.suite.architectures import CASES, save_case
from tests.training.test_run import config_for

TEXTS = ["How do I open the bucket?", "", "The queue keeps its messages. " * 30]


@pytest.fixture(scope="module", params=["bert with dense", "embeddinggemma"])
def tuned(request: pytest.FixtureRequest, tiny_pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run by LoRA on the first 2 of 4 blocks."""
    folder = tmp_path_factory.mktemp("tuned")
    base = save_case(folder / "base", CASES[request.param])
    train(config_for(Path(f"{base}:2"), tiny_pairs, "lora:4", train_flops=8e8), tiny_pairs, folder / "model")
    return folder / "model"


@pytest.mark.parametrize("case", ["bert with dense", "embeddinggemma"])
def test_the_folder_is_written_in_the_words_of_release_5(case: str, tmp_path: Path) -> None:
    """Where an empty text needs no template; these tokenizers have an end token for it."""
    model = load_embedder(str(save_case(tmp_path / "base", CASES[case])), 32, end_token=True)
    save_modules(model, tmp_path / "model")
    modules = json.loads((tmp_path / "model" / "modules.json").read_text())
    assert {module["type"].rpartition(".")[0] for module in modules} == {"sentence_transformers.models"}
    dense = [module["path"] for module in modules if module["type"].endswith(".Dense")]
    assert len(dense) == len(CASES[case].dense)
    for path in dense:
        config = json.loads((tmp_path / "model" / path / "config.json").read_text())
        assert set(config) == {"in_features", "out_features", "bias", "activation_function"}
    again = SentenceTransformer(str(tmp_path / "model"))
    np.testing.assert_allclose(again.encode(TEXTS), model.encode(TEXTS), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_a_graph_computes_what_torch_computes(tuned: Path, tmp_path: Path, to: str) -> None:
    done = eb.export(tuned, to=to, out=tmp_path / "out")
    assert done.difference is not None
    assert done.difference < 1e-5


def test_adapters_come_with_them_and_find_their_base(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    eb.export(tuned, to="peft", out=tmp_path / "adapter")
    member = json.loads((tuned / "embudget.json").read_text())["config"]["model"]
    assert (
        f"embudget export {member} --to sentence-transformers --out base-2-blocks"
        in (tmp_path / "adapter" / "README.md").read_text()
    )
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    eb.export(member, to="sentence-transformers", out="base-2-blocks")
    wanted = SentenceTransformer(str(tuned)).encode(TEXTS)
    np.testing.assert_allclose(use(tmp_path / "adapter")["model"].encode(TEXTS), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("to", "message"),
    [("transformers", "its modules Dense.* would be lost; export it to sentence-transformers"), ("gguf", "Dense")],
)
def test_formats_without_a_place_for_them_refuse_in_one_line(
    tuned: Path, tmp_path: Path, to: str, message: str
) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        eb.export(tuned, to=to, out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
