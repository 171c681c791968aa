from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor

from embudget.suite.loading import load_embedder
from embudget.training.loss import ContrastiveLoss, info_nce

SCALE = 40.0


@pytest.fixture
def model(tiny_neox: Path) -> SentenceTransformer:
    return load_embedder(str(tiny_neox), max_length=32)


@pytest.fixture
def features(model: SentenceTransformer, tiny_text: list[str]) -> list[dict[str, Tensor]]:
    """Six ragged pairs, one text of a single token."""
    queries = ["a", *(text[: 5 * n] for n, text in enumerate(tiny_text[1:6], start=1))]
    positives = [text * (1 + n % 2) for n, text in enumerate(tiny_text[:6])]
    return [model.preprocess(texts) for texts in (queries, positives)]


def gradients(
    loss: torch.nn.Module, model: SentenceTransformer, features: list[dict[str, Tensor]]
) -> tuple[float, Tensor]:
    model.zero_grad()
    torch.manual_seed(1)
    value = loss(features)
    value.backward()
    found = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return value.item(), torch.cat(found)


def test_info_nce_by_hand() -> None:
    queries, positives = torch.eye(2), torch.eye(2)
    expected = -torch.log_softmax(torch.tensor([3.0, 0.0]), dim=0)[0]
    assert info_nce(queries, positives, scale=3.0) == pytest.approx(expected.item())


def test_swapping_the_sides_changes_nothing() -> None:
    torch.manual_seed(0)
    queries, positives = (torch.nn.functional.normalize(torch.randn(8, 4), dim=1) for _ in range(2))
    torch.testing.assert_close(info_nce(queries, positives, SCALE), info_nce(positives, queries, SCALE))


def test_equals_plain_sentence_transformers(model: SentenceTransformer, features: list[dict[str, Tensor]]) -> None:
    theirs = MultipleNegativesRankingLoss(
        model, scale=SCALE, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
    )
    model.train()
    value, gradient = gradients(ContrastiveLoss(model, SCALE), model, features)
    model.zero_grad()
    reference = theirs([dict(column) for column in features], None)
    reference.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert value == pytest.approx(reference.item(), abs=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk_tokens", [1, 40, 10_000])
def test_chunking_changes_nothing(
    model: SentenceTransformer, features: list[dict[str, Tensor]], chunk_tokens: int
) -> None:
    value, gradient = gradients(ContrastiveLoss(model, SCALE, chunk_tokens), model, features)
    reference, expected = gradients(ContrastiveLoss(model, SCALE), model, features)
    assert value == pytest.approx(reference, abs=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora with dropout"])
@pytest.mark.parametrize("chunk_tokens", [1, 40])
def test_cached_equals_direct(
    model: SentenceTransformer, features: list[dict[str, Tensor]], chunk_tokens: int, adapted: bool
) -> None:
    if adapted:
        config = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.3, init_lora_weights=False)
        with pytest.warns(FutureWarning):  # PEFT asks transformers for an attribute under its old name
            model[0].model = get_peft_model(model[0].model, config)
    model.train()
    direct = gradients(ContrastiveLoss(model, SCALE, chunk_tokens), model, features)
    cached = gradients(ContrastiveLoss(model, SCALE, chunk_tokens, cached=True), model, features)
    assert cached[0] == pytest.approx(direct[0], abs=1e-6)
    torch.testing.assert_close(cached[1], direct[1], rtol=1e-4, atol=1e-6)
