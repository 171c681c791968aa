"""Smaller embedding sizes: the loss and its gradient beside those of sentence-transformers, and bad sizes."""

from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss
from torch.nn.functional import cross_entropy, normalize

from embudget.errors import ConfigError, ModelError
from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.training.job import Job
from embudget.training.loss import info_nce, matryoshka_gradient
from embudget.training.run import train
from tests.training.batches import LOSS_ROUNDING, SCALE, embedder, engine_for, gradients, ragged, ragged_sides
from tests.training.test_run import config_for

SIZES = (8, 24, 40)


def test_the_gradient_is_that_of_the_mean_loss_over_the_sizes() -> None:
    torch.manual_seed(0)
    queries_BE, positives_BE = (normalize(torch.randn(6, 16), dim=1).requires_grad_() for _ in range(2))
    negatives_ME = normalize(torch.randn(5, 16), dim=1).requires_grad_()
    losses = []
    for size in (4, 9, 16):
        sides = [queries_BE, positives_BE, negatives_ME]  # the full ones are unit already, as the model made them
        queries, positives, negatives = [normalize(one[:, :size], dim=1) for one in sides] if size < 16 else sides
        scores_BC = SCALE * queries @ torch.cat([positives, negatives]).T
        target = torch.arange(6)
        losses.append((cross_entropy(scores_BC, target) + cross_entropy(scores_BC[:, :6].T, target)) / 2)
    wanted = torch.stack(losses).mean()
    wanted.backward()
    loss, *found = matryoshka_gradient(queries_BE, positives_BE, SCALE, (4, 9), negatives_ME=negatives_ME)
    assert loss.item() == pytest.approx(wanted.item(), abs=LOSS_ROUNDING)
    for gradient, leaf in zip(found, (queries_BE, positives_BE, negatives_ME), strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(gradient, leaf.grad, rtol=1e-4, atol=1e-5)


def test_a_step_is_that_of_sentence_transformers_over_the_number_of_sizes(
    tiny_llama: Path, tiny_text: list[str]
) -> None:
    """Theirs is the sum over the sizes with weights 1, ours the mean."""
    model = embedder(tiny_llama)
    texts = ragged(model, tiny_text)
    loss, found = gradients(engine_for(model, sizes=SIZES), texts)
    inner = MultipleNegativesRankingLoss(
        model, scale=SCALE, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
    )
    wrapped = MatryoshkaLoss(model, inner, [*SIZES, 64])
    sides = [model.preprocess(side) for side in ragged_sides(tiny_text)]
    model.zero_grad()
    theirs = wrapped(sides, torch.arange(6))
    theirs.backward()
    assert loss == pytest.approx(theirs.item() / 4, abs=LOSS_ROUNDING)
    for name, value in model.named_parameters():
        assert value.grad is not None
        size = value.grad.abs().max().item() / 4
        torch.testing.assert_close(found[name], value.grad / 4, rtol=0, atol=1e-4 * size + 1e-7, msg=name)


def test_small_sizes_learn_and_the_held_out_loss_is_that_of_the_full_one(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    def cut_loss(model: SentenceTransformer, size: int) -> float:
        table = tiny_pairs.read("train", 0, 64)
        queries, positives = (
            normalize(model.encode(table.column(side).to_pylist(), convert_to_tensor=True)[:, :size], dim=1)
            for side in ("query", "positive")
        )
        return info_nce(queries, positives, SCALE).item()

    full, with_sizes = (
        train(config_for(tiny_neox, tiny_pairs, train_flops=6e9, matryoshka=sizes), tiny_pairs, with_record=True)
        for sizes in ((), (4, 8))
    )
    assert cut_loss(with_sizes[0], 4) < cut_loss(full[0], 4) - 0.1
    assert full[1].chance == with_sizes[1].chance
    assert with_sizes[1].base_loss == full[1].base_loss, "measured at the full size"


def test_sizes_are_kept_in_order_and_named_once(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    assert config_for(tiny_neox, tiny_pairs, matryoshka=[16, 8]).matryoshka == (8, 16)
    values = config_for(tiny_neox, tiny_pairs).model_dump()
    with pytest.raises(ConfigError, match=r"^matryoshka: must name each size once, got 8, 8$"):
        RunConfig.read(values | {"matryoshka": [8, 8]}, "")


@pytest.mark.parametrize("size", [64, 65])
def test_a_size_that_is_no_smaller_is_refused(tiny_neox: Path, tiny_pairs: Pairs, size: int) -> None:
    with pytest.raises(ModelError, match=rf"^matryoshka must name sizes below 64, .* got {size}: the full size"):
        Job.of(config_for(tiny_neox, tiny_pairs, matryoshka=[8, size]), tiny_pairs)
