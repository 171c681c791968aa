from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor

from embudget.training.engine import Engine
from embudget.training.loss import BLOCK_SCORES, info_nce, info_nce_gradient
from tests.training.batches import (
    SCALE,
    assert_same,
    embedder,
    engine_for,
    gradients,
    ragged,
    ragged_sides,
    token_ids,
)


def unit_embeddings(pairs: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    queries = torch.nn.functional.normalize(torch.randn(pairs, 16, generator=generator), dim=1)
    noise = torch.randn(pairs, 16, generator=generator)
    return queries, torch.nn.functional.normalize(queries + 0.3 * noise, dim=1)


def test_info_nce_by_hand() -> None:
    queries, positives = torch.eye(2), torch.eye(2)
    expected = -torch.log_softmax(torch.tensor([3.0, 0.0]), dim=0)[0]
    assert info_nce(queries, positives, scale=3.0) == pytest.approx(expected.item())


def test_swapping_the_sides_changes_nothing() -> None:
    queries, positives = unit_embeddings(8)
    torch.testing.assert_close(info_nce(queries, positives, SCALE), info_nce(positives, queries, SCALE))
    _, one, *_ = info_nce_gradient(queries, positives, SCALE, 3)
    _, _, other, _ = info_nce_gradient(positives, queries, SCALE, 3)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("pairs", [1, 2, 13])
@pytest.mark.parametrize("block_rows", [1, 4, 5, 13, 1024])
def test_the_gradient_is_that_of_autograd(pairs: int, block_rows: int) -> None:
    queries, positives = (side.requires_grad_() for side in unit_embeddings(pairs))
    wanted = info_nce(queries, positives, SCALE)
    wanted.backward()
    loss, queries_grad, positives_grad, _ = info_nce_gradient(queries, positives, SCALE, block_rows)
    assert queries.grad is not None and positives.grad is not None
    torch.testing.assert_close(loss, wanted.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(queries_grad, queries.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(positives_grad, positives.grad, rtol=1e-4, atol=1e-5)
    assert not loss.requires_grad


def test_the_largest_block_does_not_grow_with_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of thousands is scored in blocks of the same size as one of a thousand, with the same result."""
    largest = 0
    logsumexp = Tensor.logsumexp

    def watched(scores: Tensor, dim: int) -> Tensor:
        nonlocal largest
        largest = max(largest, scores.numel())
        return logsumexp(scores, dim)

    monkeypatch.setattr(Tensor, "logsumexp", watched)
    queries, positives = unit_embeddings(4096)
    loss, *_ = info_nce_gradient(queries, positives, SCALE)
    assert largest == BLOCK_SCORES
    torch.testing.assert_close(loss, info_nce(queries, positives, SCALE))


def test_scores_too_large_for_exp_are_no_trouble() -> None:
    """At s = 1e4 the exponentials themselves would overflow, and those of the worst pairs vanish."""
    queries, positives = (side.requires_grad_() for side in unit_embeddings(6))
    wanted = info_nce(queries, -positives, 1e4)
    wanted.backward()
    loss, queries_grad, *_ = info_nce_gradient(queries, -positives, 1e4, block_rows=4)
    assert queries.grad is not None
    torch.testing.assert_close(loss, wanted.detach())
    torch.testing.assert_close(queries_grad, queries.grad, rtol=1e-3, atol=1.0)


def test_half_precision_embeddings_are_scored_in_float32() -> None:
    queries, positives = (side.bfloat16() for side in unit_embeddings(6))
    wanted, *_ = info_nce_gradient(queries.float(), positives.float(), SCALE)
    loss, queries_grad, *_ = info_nce_gradient(queries, positives, SCALE)
    assert loss.dtype == queries_grad.dtype == torch.float32
    assert loss == wanted


@pytest.mark.parametrize("method", ["full", "freeze:0.5", "lora:4"])
@pytest.mark.parametrize("folder", ["tiny_neox", "tiny_llama"])
def test_equals_plain_sentence_transformers(
    folder: str, method: str, tiny_text: list[str], request: pytest.FixtureRequest
) -> None:
    """Loss and all gradients of the engine, against autograd through padded batches of each side."""
    path: Path = request.getfixturevalue(folder)
    model = embedder(path, method)
    found = gradients(engine_for(model, chunk_tokens=40), ragged(model, tiny_text))
    theirs = MultipleNegativesRankingLoss(
        model, scale=SCALE, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
    )
    features = [dict(model.preprocess(side)) for side in ragged_sides(tiny_text)]
    loss = theirs(features, None)
    loss.backward()
    wanted = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert_same(found, (loss.item(), wanted))


# ---- hard negatives


def reference(queries: Tensor, positives: Tensor, negatives: Tensor, right: list[tuple[int, int]]) -> Tensor:
    """The loss as a formula, with all scores at once."""
    scores = SCALE * queries @ torch.cat([positives, negatives]).T
    for query, negative in right:
        scores[query, len(positives) + negative] = float("-inf")
    labels = torch.arange(len(queries))
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(scores, labels) + cross_entropy(scores[:, : len(positives)].T, labels)) / 2


@pytest.mark.parametrize("right", [[], [(0, 0), (4, 2), (4, 6), (12, 6)], [(3, place) for place in range(7)]])
@pytest.mark.parametrize("block_rows", [1, 4, 13, None])
def test_the_gradient_with_negatives_is_that_of_autograd(block_rows: int | None, right: list[tuple[int, int]]) -> None:
    queries, positives = (side.requires_grad_() for side in unit_embeddings(13))
    negatives = unit_embeddings(20)[1][13:].detach().requires_grad_()
    wanted = reference(queries, positives, negatives, right)
    wanted.backward()
    couples = torch.tensor(right, dtype=torch.int64).reshape(-1, 2)
    loss, *found = info_nce_gradient(
        queries, positives, SCALE, block_rows, negatives_ME=negatives, right_P2=couples if right else None
    )
    torch.testing.assert_close(loss, wanted.detach(), rtol=1e-5, atol=1e-5)
    for gradient, side in zip(found, (queries, positives, negatives), strict=True):
        assert side.grad is not None and side.grad.abs().max() > 1e-3
        torch.testing.assert_close(gradient, side.grad, rtol=1e-4, atol=1e-5)


def test_no_negatives_change_no_bit() -> None:
    queries, positives = unit_embeddings(40)
    for block_rows in (None, 7):
        plain = info_nce_gradient(queries, positives, SCALE, block_rows)
        none = info_nce_gradient(queries, positives, SCALE, block_rows, negatives_ME=queries[:0])
        assert all(torch.equal(one, other) for one, other in zip(plain, none, strict=True))


def test_blocks_stay_small_with_many_negatives(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    logsumexp = Tensor.logsumexp

    def watched(scores: Tensor, dim: int) -> Tensor:
        nonlocal largest
        largest = max(largest, scores.numel())
        return logsumexp(scores, dim)

    monkeypatch.setattr(Tensor, "logsumexp", watched)
    queries, positives = unit_embeddings(512)
    info_nce_gradient(queries, positives, SCALE, negatives_ME=positives.repeat(8, 1))
    assert BLOCK_SCORES / 4 < largest <= BLOCK_SCORES


@pytest.mark.parametrize("how", [{}, {"cached": True}, {"flatten": True}], ids=["direct", "cached", "flat"])
@pytest.mark.parametrize("method", ["full", "freeze:0.5", "bias", "lora:4"])
def test_negatives_equal_plain_sentence_transformers(
    tiny_neox: Path, method: str, how: dict[str, Any], tiny_text: list[str]
) -> None:
    """Two columns of negatives: loss and all gradients, against autograd through padded batches of each column."""
    model = embedder(tiny_neox, method)
    queries, positives = ragged_sides(tiny_text)
    columns = [queries, positives, [text[3:30] for text in positives], [f"not {text}" for text in positives]]
    engine: Engine = engine_for(model, chunk_tokens=40, **how)
    found = gradients(engine, token_ids(model, list(chain(*columns))), pairs=len(queries))
    theirs = MultipleNegativesRankingLoss(
        model, scale=SCALE, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
    )
    loss = theirs([dict(model.preprocess(column)) for column in columns], None)
    loss.backward()
    wanted = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert_same(found, (loss.item(), wanted))
    assert found[0] > gradients(engine, token_ids(model, queries + positives))[0], "there is more to choose from"
