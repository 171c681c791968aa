import json
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from embudget.errors import RunError
from embudget.pairs import Pairs
from embudget.records import RunRecord
from embudget.training.run import train
from tests.training.test_run import config_for


@pytest.fixture(params=["full", "lora:4"])
def exported(
    request: pytest.FixtureRequest, tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> tuple[SentenceTransformer, RunRecord, Path]:
    config = config_for(tiny_llama, tiny_pairs, request.param, train_flops=8e8)
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
    assert not list(exported[2].rglob("*.jinja"))


def test_modules_record_and_card_are_explicit(exported: tuple[SentenceTransformer, RunRecord, Path]) -> None:
    _, record, folder = exported
    modules = [module["type"].rpartition(".")[2] for module in json.loads((folder / "modules.json").read_text())]
    assert modules == ["Transformer", "Pooling", "Normalize"]
    assert RunRecord.model_validate_json((folder / "embudget.json").read_text()) == record
    assert record.config.method in (folder / "README.md").read_text()
    assert not list(folder.glob("adapter*"))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing temporary stays"


def test_a_model_is_replaced_but_nothing_else(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    config = config_for(tiny_neox, tiny_pairs, train_flops=6e8)
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
