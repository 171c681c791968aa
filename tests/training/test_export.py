import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from embudget.errors import RunError
from embudget.pairs import Pairs
from embudget.records import Pooling, RunRecord
from embudget.training.run import train
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
    assert not list(exported[2].rglob("*.jinja"))


def test_modules_record_and_card_are_explicit(exported: tuple[SentenceTransformer, RunRecord, Path]) -> None:
    _, record, folder = exported
    modules = [module["type"].rpartition(".")[2] for module in json.loads((folder / "modules.json").read_text())]
    assert modules == ["Transformer", "Pooling", "Normalize"]
    assert RunRecord.model_validate_json((folder / "embudget.json").read_text()) == record
    assert record.config.method in (folder / "README.md").read_text()
    assert not list(folder.glob("adapter*"))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing temporary stays"


@pytest.mark.parametrize("pooling", ["mean", "lasttoken"])
def test_releases_5_and_6_of_sentence_transformers_can_read_it(
    pooling: Pooling, tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    """Release 5.2 knows these names and keys alone, and fails on any other; transformers 4 must fail, not differ."""
    config = config_for(tiny_llama, tiny_pairs, train_flops=1e8, pooling=pooling)
    train(config, tiny_pairs, tmp_path / "model")

    def read(name: str) -> Any:  # noqa: ANN401 - JSON
        return json.loads((tmp_path / "model" / name).read_text())

    assert [(module["path"], module["type"]) for module in read("modules.json")] == [
        ("", "sentence_transformers.models.Transformer"),
        ("1_Pooling", "sentence_transformers.models.Pooling"),
        ("2_Normalize", "sentence_transformers.models.Normalize"),
    ]
    assert read("sentence_bert_config.json") == {"max_seq_length": config.max_length, "do_lower_case": False}
    assert read("1_Pooling/config.json") == {
        "word_embedding_dimension": 64,
        "pooling_mode": pooling,
        "include_prompt": True,
    }
    assert read("tokenizer_config.json")["tokenizer_class"] == "TokenizersBackend"
    card = " ".join((tmp_path / "model" / "README.md").read_text().split())
    assert "needs sentence-transformers 5.2 or later with transformers 5 or later" in card


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
