"""A model cut where its training begins computes what the whole model computes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from embudget.training.chunks import make_chunks
from embudget.training.encoder import Encoder, base_decoder
from tests.conftest import save_tiny
from tests.suite.test_loading import ARCHITECTURES
from tests.training.batches import Texts, embedder, token_ids

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model of each supported architecture; gemma's window is shorter than the longest text."""
    sizes = {**ARCHITECTURES[request.param], **({"sliding_window": 8} if request.param == "gemma3_text" else {})}
    return save_tiny(tmp_path_factory.mktemp("tiny") / request.param, request.param, **sizes)


def embeddings(encoder: Encoder, texts: Texts, gathered: bool, chunk_tokens: int = 100) -> Tensor:
    """Through the parts, with rows of the input embedding gathered or not."""
    rows_RH = None
    if gathered:
        present, places = np.unique(np.concatenate(texts), return_inverse=True)
        assert encoder.table is not None
        rows_RH = encoder.table[torch.from_numpy(present)]
        texts = np.split(places, np.cumsum([len(text) for text in texts])[:-1])
    chunks = make_chunks(texts, chunk_tokens, CPU)
    found = torch.cat([encoder.embed(chunk, encoder.hidden(chunk, rows_RH)) for chunk in chunks])
    return found[torch.tensor([text for chunk in chunks for text in chunk.texts]).argsort()]


@pytest.mark.parametrize("pooling", ["mean", "lasttoken"])
@pytest.mark.parametrize("method", ["full", "freeze:0.5", "freeze:1", "lora:4"])
def test_the_parts_compute_what_the_whole_computes(tiny: Path, tiny_text: list[str], method: str, pooling: str) -> None:
    model = embedder(tiny, method, pooling)
    encoder = Encoder(model)
    assert encoder.prefix_blocks == (2 if method == "freeze:0.5" else 0)
    assert (encoder.table is not None) == (method == "full")
    found = embeddings(encoder, token_ids(model, tiny_text), gathered=method == "full")
    wanted = model.encode(tiny_text, convert_to_tensor=True)
    assert (found - wanted).abs().max() < 1e-5


class Doubled(torch.nn.Module):
    """In the place of a dropout: what it does to its input shows how often it was applied."""

    def forward(self, states: Tensor) -> Tensor:
        return 2 * states


@pytest.mark.parametrize("method", ["full", "freeze:0.5", "lora:4"])
def test_the_dropout_of_the_embedding_is_applied_once(tiny_neox: Path, tiny_text: list[str], method: str) -> None:
    model = embedder(tiny_neox, method)
    base_decoder(model[0].model).emb_dropout = Doubled()
    found = embeddings(Encoder(model), token_ids(model, tiny_text), gathered=method == "full")
    assert (found - model.encode(tiny_text, convert_to_tensor=True)).abs().max() < 1e-5


def test_the_graph_ends_at_the_first_trained_block(tiny: Path, tiny_text: list[str]) -> None:
    model = embedder(tiny, "freeze:0.5")
    encoder = Encoder(model)
    (chunk,) = make_chunks(token_ids(model, tiny_text), 10_000, CPU)
    hidden_TLH = encoder.hidden(chunk)
    assert not hidden_TLH.requires_grad
    encoder.embed(chunk, hidden_TLH)[:, 0].sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize("pooling", ["mean", "lasttoken"])
def test_padding_does_not_matter(tiny: Path, tiny_text: list[str], pooling: str) -> None:
    """The shortest text in a chunk of its own, and padded beside the longest with whatever token."""
    model = embedder(tiny, "freeze:0.5", pooling)
    encoder = Encoder(model)
    texts = token_ids(model, ["a", tiny_text[2]])
    with torch.no_grad():
        (alone,) = make_chunks(texts[:1], 10_000, CPU)
        wanted = encoder.embed(alone, encoder.hidden(alone))[0]
        long, short = make_chunks(texts, 1, CPU)
        assert long.lengths > short.lengths
        (both,) = make_chunks(texts, 10_000, CPU)
        assert both.texts == [1, 0] and both.ids.shape == (2, long.lengths[0])
        for token in (0, 1, 77):
            both.ids[1, short.lengths[0] :] = token
            found = encoder.embed(both, encoder.hidden(both))[1]
            assert (found - wanted).abs().max() < 1e-5
    assert "attention_mask" not in alone.about


def test_a_cut_view_leaves_the_model_as_it_was(tiny: Path, tiny_text: list[str]) -> None:
    model = embedder(tiny, "freeze:0.5")
    names, before = list(model.state_dict()), model.encode(tiny_text)
    Encoder(model)
    assert list(model.state_dict()) == names
    assert model[0].model.config.num_hidden_layers == len(model[0].model.layers) == 4
    np.testing.assert_array_equal(model.encode(tiny_text), before)


def test_under_autocast_the_embeddings_are_float32(tiny_llama: Path, tiny_text: list[str]) -> None:
    model = embedder(tiny_llama, "freeze:0.5")
    (chunk,) = make_chunks(token_ids(model, tiny_text), 10_000, CPU)
    exact, rough = (encoder.embed(chunk, encoder.hidden(chunk)) for encoder in (Encoder(model), Encoder(model, True)))
    assert rough.dtype == torch.float32
    assert 1e-5 < (rough - exact).abs().max() < 0.05
    torch.testing.assert_close(rough.norm(dim=1), torch.ones(len(rough)))
