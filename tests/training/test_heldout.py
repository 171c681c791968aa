import math
from pathlib import Path

import pytest
import torch

from embudget.pairs import Pairs
from embudget.suite.loading import load_embedder
from embudget.training.heldout import embed, held_out, ranks_of_own


def test_equals_the_loss_over_each_group_of_candidates(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    from embudget.training.loss import info_nce

    model = load_embedder(str(tiny_neox), 32)
    table = tiny_pairs.table("validation")
    queries = embed(model, table["query"].to_pylist()[:32])
    positives = embed(model, table["positive"].to_pylist()[:32])
    halves = [info_nce(queries[start : start + 16], positives[start : start + 16], 40.0) for start in (0, 16)]
    measured = held_out(model, tiny_pairs, 32, 16, 40.0)
    assert measured.loss == pytest.approx(sum(half.item() for half in halves) / 2, abs=1e-5)
    scores = [queries[start : start + 16] @ positives[start : start + 16].T for start in (0, 16)]
    ranks = [1 + int((row > row[index]).sum()) for half in scores for index, row in enumerate(half)]
    assert measured.accuracy == pytest.approx(ranks.count(1) / 32)
    assert measured.ndcg == pytest.approx(sum(1 / math.log2(1 + rank) for rank in ranks if rank <= 10) / 32)
    assert measured.accuracy < measured.ndcg < 1


def test_of_equal_scores_the_own_positive_ranks_last() -> None:
    scores = torch.tensor([[0.5, 0.5, 0.1], [0.9, 0.8, 0.1], [0.3, 0.2, 0.7]])
    assert ranks_of_own(scores).tolist() == [2, 2, 1]


def test_equal_embeddings_give_chance(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 32)
    assert held_out(model, tiny_pairs, 16, 16, scale=1e-9).loss == pytest.approx(math.log(16))


def test_embeddings_do_not_depend_on_their_neighbours(tiny_llama: Path, tiny_text: list[str]) -> None:
    model = load_embedder(str(tiny_llama), 32)
    together = embed(model, tiny_text, chunk_tokens=10_000)
    for row, text in zip(together, tiny_text, strict=True):
        assert (embed(model, [text])[0] - row).abs().max() < 1e-5
