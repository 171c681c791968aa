import json
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from embudget.errors import ModelError, RunError
from embudget.pairs import Pairs
from embudget.records import RunRecord
from embudget.suite.loading import load_embedder, load_tokenizer, weights_of
from embudget.suite.tokens import AS_IT_IS
from embudget.training.run import train
from tests.command_line import Run
from tests.training.test_run import config_for


@pytest.fixture(params=["full", "lora:4"])
def exported(
    request: pytest.FixtureRequest, tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> tuple[SentenceTransformer, RunRecord, Path]:
    config = config_for(tiny_llama, tiny_pairs, request.param, train_flops=2e8)
    model, record = train(config, tiny_pairs, tmp_path / "model", with_record=True)
    return model, record, tmp_path / "model"


def test_embeddings_are_those_before_export(
    exported: tuple[SentenceTransformer, RunRecord, Path], tiny_text: list[str]
) -> None:
    model, _, folder = exported
    loaded = SentenceTransformer(str(folder))
    np.testing.assert_allclose(loaded.encode(tiny_text), model.encode(tiny_text), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(loaded.encode(tiny_text), axis=1), 1.0, atol=1e-5)
    one_by_one = np.stack([loaded.encode(text) for text in tiny_text])
    np.testing.assert_allclose(loaded.encode(tiny_text, batch_size=8), one_by_one, atol=1e-5)


def test_it_feeds_the_ids_of_the_bare_tokenizer(
    exported: tuple[SentenceTransformer, RunRecord, Path], tiny_llama: Path, tiny_text: list[str]
) -> None:
    loaded = SentenceTransformer(str(exported[2]))
    bare = AutoTokenizer.from_pretrained(tiny_llama)
    assert bare.chat_template is not None
    expected = bare(tiny_text, truncation=True, max_length=32)["input_ids"]
    fed = loaded.preprocess(tiny_text)
    ids = [row[mask.bool()].tolist() for row, mask in zip(fed["input_ids"], fed["attention_mask"], strict=True)]
    assert ids == expected
    assert loaded.tokenizer.chat_template == AS_IT_IS


@pytest.mark.parametrize("pooling", ["mean", "lasttoken"])
def test_every_text_is_served_as_it_was_trained_and_again_after_a_reload(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path, pooling: str
) -> None:
    config = config_for(tiny_llama, tiny_pairs, train_flops=2e8, pooling=pooling)
    model, _ = train(config, tiny_pairs, tmp_path / "model", with_record=True)
    loaded = SentenceTransformer(str(tmp_path / "model"))
    again = load_embedder(str(tmp_path / "model"), 32, pooling)
    texts = ["", " ", "\n\t", "a", "  def f(x):\n      return x\n", "<|end|>", "\ufffd", "word " * 9999]
    ids = load_tokenizer(str(tiny_llama), end_token=pooling == "lasttoken")
    for served in (model, loaded, again):
        fed = served.preprocess(texts)
        found = [row[mask.bool()].tolist() for row, mask in zip(fed["input_ids"], fed["attention_mask"], strict=True)]
        assert found == [
            ids(text or " " * (pooling == "mean"), truncation=True, max_length=32)["input_ids"] for text in texts
        ]
        alone = np.stack([served.encode(text) for text in texts])
        assert np.isfinite(alone).all()
        np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(served.encode(texts), alone, atol=1e-5)
        np.testing.assert_allclose(served.encode([""])[0], alone[0], atol=1e-6)
        np.testing.assert_allclose(served.encode(["", ""])[1], alone[0], atol=1e-6)
        np.testing.assert_allclose(alone, np.stack([model.encode(text) for text in texts]), atol=1e-5)
        np.testing.assert_allclose(served.encode("b", prompt="a "), served.encode("a b"), atol=1e-6)
    assert not np.allclose(alone[4], loaded.encode("def f(x): return x"), atol=1e-3), "white space counts"


def test_training_on_an_exported_model_goes_on_with_its_pooling(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, run: Run
) -> None:
    train(config_for(tiny_neox, tiny_pairs, train_flops=1e8, pooling="lasttoken"), tiny_pairs, tmp_path / "one")
    options = ["--method", "full", "--budget", "1e8", "--pairs", str(tiny_pairs.folder), "--max-length", "32"]
    shared = ["train", "--model", str(tmp_path / "one"), *options, "--batch-size", "8"]
    assert run(*shared, "--out", str(tmp_path / "two")).code == 0
    record = RunRecord.model_validate_json((tmp_path / "two" / "embudget.json").read_text())
    assert (record.config.pooling, record.config.end_token) == ("lasttoken", True)
    assert record.config.weights == weights_of(str(tmp_path / "one"))
    refused = run(*shared, "--out", str(tmp_path / "three"), "--pooling", "mean")
    assert refused.code == 2
    assert "pools by lasttoken, as its modules.json says, but pooling is mean" in " ".join(refused.err.split())
    with pytest.raises(ModelError, match="set pooling to lasttoken"):
        train(config_for(tmp_path / "one", tiny_pairs), tiny_pairs)


def test_modules_record_and_card_are_explicit(exported: tuple[SentenceTransformer, RunRecord, Path]) -> None:
    _, record, folder = exported
    modules = [module["type"].rpartition(".")[2] for module in json.loads((folder / "modules.json").read_text())]
    assert modules == ["Transformer", "Pooling", "Normalize"]
    assert RunRecord.model_validate_json((folder / "embudget.json").read_text()) == record
    assert record.config.method in (folder / "README.md").read_text()
    assert not list(folder.glob("adapter*"))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing temporary stays"


def test_a_model_is_replaced_but_nothing_else(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    config = config_for(tiny_neox, tiny_pairs, train_flops=1e8)
    out = tmp_path / "out"
    train(config, tiny_pairs, out)
    train(config, tiny_pairs, out)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.tex").write_text("precious")
    with pytest.raises(RunError, match="out must be a new folder or one that holds a model of embudget"):
        train(config, tiny_pairs, other)
    assert (other / "chapter1.tex").read_text() == "precious"


def test_a_folder_that_cannot_be_written_is_refused_before_training(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    steps: list[float] = []
    with pytest.raises(RunError, match="cannot write"):
        train(
            config_for(tiny_neox, tiny_pairs),
            tiny_pairs,
            tmp_path / "file" / "model",
            on_progress=lambda s, _: steps.append(s),
        )
    assert not steps
