import math
from pathlib import Path

import pytest

from embudget.pairs import Pairs
from embudget.suite.loading import load_embedder
from embudget.training.heldout import embed, held_out


def test_equals_the_loss_over_each_group_of_candidates(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    from embudget.training.loss import info_nce

    model = load_embedder(str(tiny_neox), 32)
    table = tiny_pairs.table("validation")
    queries = embed(model, table["query"].to_pylist()[:32])
    positives = embed(model, table["positive"].to_pylist()[:32])
    halves = [info_nce(queries[start : start + 16], positives[start : start + 16], 40.0) for start in (0, 16)]
    measured = held_out(model, tiny_pairs, 32, 16, 40.0)
    assert measured.loss == pytest.approx(sum(half.item() for half in halves) / 2, abs=1e-5)
    assert 0 <= measured.accuracy <= 1


def test_equal_embeddings_give_chance(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 32)
    assert held_out(model, tiny_pairs, 16, 16, scale=1e-9).loss == pytest.approx(math.log(16))


def test_embeddings_do_not_depend_on_their_neighbours(tiny_llama: Path, tiny_text: list[str]) -> None:
    model = load_embedder(str(tiny_llama), 32)
    together = embed(model, tiny_text, chunk_tokens=10_000)
    for row, text in zip(together, tiny_text, strict=True):
        assert (embed(model, [text])[0] - row).abs().max() < 1e-5
