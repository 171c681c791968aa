import json
import random
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler

from embudget.pairs import Pairs
from embudget.pairs.token_cache import TokenCache
from embudget.training.order import BatchOrder


class Made(TokenCache):
    """Rows of made texts, of which ``repeated`` share theirs with others."""

    def __init__(self, rows: int, repeated: float = 0.3, texts: int = 40) -> None:
        rng = random.Random(0)
        self.sides = [
            tuple(f"common {rng.randrange(texts)}" if rng.random() < repeated else f"{side} {row}" for side in "qp")
            for row in range(rows)
        ]
        self.rows = rows

    def hashes(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        return np.array([[hash(text) for text in self.sides[row]] for row in rows]).reshape(len(rows), 2)

    def dataset(self) -> Dataset:
        return Dataset.from_dict({"query": [q for q, _ in self.sides], "positive": [p for _, p in self.sides]})


def sampled(made: Made, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    sampler = NoDuplicatesBatchSampler(
        made.dataset(), batch_size, drop_last=True, generator=torch.Generator(), seed=seed
    )
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("repeated", [0, 0.2])
@pytest.mark.parametrize(("rows", "batch_size"), [(1000, 32), (1000, 7), (33, 32), (32, 32), (31, 32)])
def test_one_window_gives_the_batches_of_sentence_transformers(rows: int, batch_size: int, repeated: float) -> None:
    made = Made(rows, repeated)
    for seed in (0, 3):
        wanted = [batch for epoch in range(3) for batch in sampled(made, batch_size, seed, epoch)]
        assert list(BatchOrder(made, batch_size, seed, max_epochs=3)) == wanted


@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_where_the_sampler_draws_rows_again_the_order_ends_its_epoch(batch_size: int) -> None:
    made = Made(300, repeated=0.9, texts=12)
    wanted = sampled(made, batch_size, 0, 0)
    batches = list(BatchOrder(made, batch_size, 0, max_epochs=1))
    assert 0 < len(batches) <= len(wanted) <= 300 // batch_size
    assert batches == wanted[: len(batches)]
    rest = {row for batch in wanted[len(batches) :] for row in batch}
    assert len(batches) == len(wanted) or rest & {row for batch in batches for row in batch}
    assert batch_size < 8 or len(batches) < len(wanted), "the case occurs"


def test_the_batches_are_those_of_the_trainer(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    from embudget.suite.loading import load_embedder

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=64,
        batch_sampler="no_duplicates",
        dataloader_drop_last=True,
        dataloader_pin_memory=False,
        seed=5,
        report_to="none",
    )
    trainer = SentenceTransformerTrainer(
        model=load_embedder(f"{tiny_neox}:1", 8),
        args=arguments,
        train_dataset=Dataset(tiny_pairs.table("train").select(["query", "positive"])),
    )
    loader = trainer.get_train_dataloader()
    wanted = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        wanted += list(loader.batch_sampler)
    cache = TokenCache(tiny_pairs, str(tiny_neox), 8, folder=tmp_path)
    assert list(BatchOrder(cache, 64, 5, max_epochs=2)) == wanted


WINDOWS = [(1000, 10_000, 10_000), (1000, 64, 256), (1000, 100, 100), (256, 64, 128), (130, 64, 64)]


@pytest.mark.parametrize(("rows", "block", "window"), WINDOWS)
def test_no_text_twice_in_a_batch_and_no_row_twice_in_an_epoch(rows: int, block: int, window: int) -> None:
    made = Made(rows)
    batches = list(BatchOrder(made, 12, 1, max_epochs=1, block=block, window=window))
    for batch in batches:
        assert len(batch) == 12
        texts = [text for row in batch for text in set(made.sides[row])]
        assert len(set(texts)) == len(texts)
    seen = [row for batch in batches for row in batch]
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(range(rows))
    assert len(seen) > 0.9 * rows, "what a window leaves over comes later"


def test_each_epoch_has_another_order_and_all_windows() -> None:
    made = Made(1024, repeated=0)

    def rows(seed: int) -> list[int]:
        return list(chain.from_iterable(BatchOrder(made, 8, seed, max_epochs=2, block=64, window=128)))

    first, second = rows(1)[:1024], rows(1)[1024:]
    assert sorted(first) == sorted(second) == list(range(1024))
    assert first != second
    assert first != rows(2)[:1024]
    windows = [first[start : start + 128] for start in range(0, 1024, 128)]
    assert all(len({row // 64 for row in window}) == 2 for window in windows), "a window holds its own blocks only"
    assert all(window != sorted(window) for window in windows)


def test_only_the_current_window_is_looked_at() -> None:
    class Watched(Made):
        asked = 0

        def hashes(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
            self.asked += len(rows)
            return super().hashes(rows)

    made = Watched(10_000, repeated=0)
    order = BatchOrder(made, 10, 0, max_epochs=1, block=50, window=100)
    list(islice(order, 10))
    assert made.asked == 100
    list(islice(order, 1))
    assert made.asked == 200


@pytest.mark.parametrize(("rows", "block", "window"), WINDOWS)
def test_it_resumes_at_every_position(rows: int, block: int, window: int) -> None:
    made = Made(rows)

    def order() -> BatchOrder:
        return BatchOrder(made, 12, 1, max_epochs=2, block=block, window=window)

    whole = list(order())
    going = order()
    stride = 1 if rows < 500 else 5
    for position in range(len(whole) + 1):
        if position % stride == 0 or position > len(whole) - 3:
            state = json.loads(json.dumps(going.state))
            assert list(islice(order().restore(state), 40)) == whole[position : position + 40]
        assert next(going, None) == (whole[position] if position < len(whole) else None)
    assert list(going) == []
    assert list(order().restore(going.state)) == []


def test_an_order_that_has_gone_on_can_go_back() -> None:
    order = BatchOrder(Made(1000), 12, 1, max_epochs=2, block=64, window=128)
    state = order.state
    first = list(order)
    assert list(order.restore(state)) == first


def test_a_text_that_most_rows_share_keeps_the_state_small() -> None:
    made = Made(4000, repeated=0.97, texts=2)
    order = BatchOrder(made, 4, 0, max_epochs=1, block=50, window=100)
    sizes = [len(order.state["carried"]) for _ in order]
    assert max(sizes) == 50, "no more than a block"


def test_fewer_rows_than_a_batch_give_none() -> None:
    assert list(BatchOrder(Made(0), 4, 0, max_epochs=2)) == []
    assert list(BatchOrder(Made(3), 4, 0, max_epochs=2)) == []
