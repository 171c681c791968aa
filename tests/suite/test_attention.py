"""Attention in both directions is really so: in training, after saving, after loading, with and without padding.

Embeddings are the states of the first token, which depend on a later token if and only if attention goes both ways.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from embudget.errors import ModelError
from embudget.methods import parse_method
from embudget.suite import find_shape
from embudget.suite.architectures import ARCHITECTURES
from embudget.suite.attention import Attention, own_attention
from embudget.suite.loading import load_embedder
from embudget.training.chunks import make_chunks
from embudget.training.encoder import Encoder
from tests.suite.architectures import CASES, save_case

OBEYING = [
    "gpt_neox", "llama", "qwen2", "qwen3", "mistral", "phi3", "smollm3", "gemma3_text", "olmo2", "gpt2", "opt",
    "falcon of 7b", "falcon of 40b", "falcon of rw",
]  # fmt: skip
TEXTS = ["Compute the mean!", "Compute the mean?"]
LONG = "Opens the connection, sends one request and waits for the answer."


@pytest.fixture(scope="module", params=OBEYING)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_case(tmp_path_factory.mktemp("attention") / "tiny", CASES[request.param])


def sees(model: SentenceTransformer) -> tuple[bool, bool]:
    """Whether the first token sees the last, in a batch without padding and in one with a longer text."""
    found = []
    for texts in (TEXTS, [*TEXTS, LONG]):
        one, other = model.encode(texts, batch_size=8)[:2]
        found.append(bool(np.abs(one - other).max() > 1e-4))
    assert len(model.tokenizer(TEXTS[0])["input_ids"]) == len(model.tokenizer(TEXTS[1])["input_ids"])
    return found[0], found[1]


def sees_in_training(model: SentenceTransformer, folder: Path) -> tuple[bool, bool]:
    """The same of the parts that are trained, which must compute what the model computes."""
    shape = find_shape(str(folder))
    parse_method("freeze:0.5").apply_to_embedder(model, shape)
    encoder = Encoder(model.train(), description=shape.description)
    found = []
    for texts in (TEXTS, [*TEXTS, LONG]):
        ids = [np.array(model.tokenizer(text)["input_ids"]) for text in texts]
        (chunk,) = make_chunks(ids, 10_000, torch.device("cpu"))
        assert ("attention_mask" in chunk.about) == (len(texts) > 2)
        embedded = encoder.embed(chunk, encoder.hidden(chunk)).detach()[torch.tensor(chunk.texts).argsort()]
        np.testing.assert_allclose(embedded, model.encode(texts), atol=1e-5)
        found.append(bool((embedded[0] - embedded[1]).abs().max() > 1e-4))
    return found[0], found[1]


@pytest.mark.parametrize("attention", ["bidirectional", "causal"])
def test_attention_is_what_was_asked_for_wherever_the_model_goes(
    folder: Path, tmp_path: Path, attention: Attention
) -> None:
    both = (attention == "bidirectional",) * 2
    model = load_embedder(str(folder), 32, "cls", attention=attention)
    assert sees(model) == both
    assert sees_in_training(model, folder) == both
    wanted = model.encode([*TEXTS, LONG])
    model.save_pretrained(str(tmp_path / "saved"))
    again = SentenceTransformer(str(tmp_path / "saved"))
    assert sees(again) == both
    np.testing.assert_allclose(again.encode([*TEXTS, LONG]), wanted, atol=1e-5)
    saved = str(tmp_path / "saved")
    assert own_attention(vars(again[0].model.config), find_shape(saved).description) == attention
    kept = load_embedder(saved, 32, "cls")
    assert sees(kept) == both
    other: Attention = "causal" if attention == "bidirectional" else "bidirectional"
    assert sees(load_embedder(saved, 32, "cls", attention=other)) == (not both[0],) * 2


def test_attention_is_left_as_it_is_where_nothing_is_asked(folder: Path) -> None:
    model = load_embedder(str(folder), 32, "cls")
    assert sees(model) == (False, False)
    assert not hasattr(model[0].model.config, "is_causal")


def test_a_model_that_reads_both_ways_is_left_so(tmp_path: Path) -> None:
    """EmbeddingGemma: in training, in a cut, saved and loaded again, its window halved once and not twice."""
    folder = save_case(tmp_path / "tiny", CASES["embeddinggemma"])
    assert not find_shape(str(folder)).causal
    model = load_embedder(str(folder), 32, "cls")
    assert sees(model) == (True, True) == sees(load_embedder(f"{folder}:2", 32, "cls"))
    assert sees_in_training(model, folder) == (True, True)
    wanted = model.encode([*TEXTS, LONG])
    model.save_pretrained(str(tmp_path / "saved"))
    for again in (SentenceTransformer(str(tmp_path / "saved")), load_embedder(str(tmp_path / "saved"), 32, "cls")):
        assert sees(again) == (True, True)
        assert again[0].model.config.sliding_window == model[0].model.config.sliding_window == 5
        np.testing.assert_allclose(again.encode([*TEXTS, LONG]), wanted, atol=1e-5)


def test_it_is_refused_where_transformers_ignores_it(tmp_path: Path) -> None:
    """StableLM hides later tokens in a batch without padding, whatever its configuration says."""
    folder = save_case(tmp_path / "tiny", CASES["stablelm"])
    with pytest.raises(ModelError, match=r"attention cannot be bidirectional, because transformers ignores it"):
        load_embedder(str(folder), 32, attention="bidirectional")
    load_embedder(str(folder), 32, attention="causal")


def test_every_decoder_is_either_held_to_it_or_known_to_ignore_it() -> None:
    held = {CASES[name].model_type for name in OBEYING}
    causal = {name for name, one in ARCHITECTURES.items() if one.causal and name != "gemma3"}
    assert causal - held <= {"stablelm", "modernbert-decoder"}
