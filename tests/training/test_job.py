"""What is refused before anything is trained: models that a method cannot train, and pairs that do not suffice."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.errors import MethodError, PairsError, RunError
from embudget.methods import parse_method
from embudget.pairs import Pairs, index_pairs, token_stats
from embudget.pairs.token_cache import TokenCache
from embudget.suite import find_shape
from embudget.training.job import Job
from embudget.training.order import BatchOrder
from embudget.training.run import train
from tests.training.test_run import config_for


@pytest.fixture
def repetitive(tmp_path: Path) -> Pairs:
    """1,000 training pairs of which 300 share their positive, so that batches of 64 end after 11 of 15."""
    for split, rows in (("train", range(1000)), ("validation", range(1000, 1064))):
        positives = ["see the manual" if split == "train" and row % 10 < 3 else f"answer {row}" for row in rows]
        columns = {"query": [f"question {row}" for row in rows], "positive": positives}
        pq.write_table(pa.table(columns), tmp_path / f"{split}.parquet")
    return index_pairs(tmp_path)


def test_texts_that_repeat_too_often_are_refused_before_training(tiny_neox: Path, repetitive: Pairs) -> None:
    per_pair = token_stats(repetitive, str(tiny_neox), 32).tokens_per_pair
    budget = parse_method("full").flops_per_token(find_shape(str(tiny_neox))) * 800 * per_pair
    config = config_for(tiny_neox, repetitive, train_flops=budget, batch_size=64)
    Job.of(config, repetitive).check_number()  # by their number they suffice
    steps: list[float] = []
    with pytest.raises(RunError) as raised:
        train(config, repetitive, on_progress=lambda share, loss: steps.append(share))
    assert not steps
    assert re.search(
        r"^\S+ with full at \S+ FLOP needs [\d,]+ tokens, got [\d,]+ in the batches from \S+ with max_epochs=1, "
        r"for 256 of 960 pairs find no batch of 64 without one of their texts: allow more epochs or smaller batches$",
        str(raised.value),
    )
    for changes in ({"max_epochs": 2}, {"batch_size": 4}):
        Job.of(config.model_copy(update=changes), repetitive).check_batches()


def test_the_batches_suffice_to_the_last_token(tiny_neox: Path, repetitive: Pairs) -> None:
    config = config_for(tiny_neox, repetitive, batch_size=64, seed=3)
    tokens = TokenCache(repetitive, str(tiny_neox), 32)
    per_token = parse_method("full").flops_per_token(find_shape(str(tiny_neox)))
    drawn = sum(len(text) for batch in BatchOrder(tokens, 64, 3, 1) for text in tokens.texts(batch))
    Job.of(config.model_copy(update={"train_flops": per_token * drawn}), repetitive).check_batches()
    more = config.model_copy(update={"train_flops": per_token * (drawn + 1.0)})
    with pytest.raises(RunError, match=f"needs {drawn + 1:,} tokens, got {drawn:,} "):
        Job.of(more, repetitive).check_batches()


def test_the_order_of_splits_of_many_windows_is_not_counted(
    tiny_neox: Path, repetitive: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tiny_neox, repetitive, train_flops=1e13)
    with pytest.raises(RunError):
        Job.of(config, repetitive).check_batches()
    monkeypatch.setattr("embudget.training.order.WINDOW", 999)
    Job.of(config, repetitive).check_batches()


def test_more_data_than_there_is_is_refused(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    with pytest.raises(PairsError, match=r"needs about [\d,]+ pairs, got .* with max_epochs=1"):
        train(config_for(tiny_neox, tiny_pairs, train_flops=1e13), tiny_pairs)


def test_other_pairs_than_the_configurations_are_refused(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    with pytest.raises(PairsError, match="content hash 0000"):
        train(config_for(tiny_neox, tiny_pairs).model_copy(update={"pairs": "0000"}), tiny_pairs)


def test_bias_on_a_model_without_biases_is_refused(tiny_llama: Path, tiny_pairs: Pairs) -> None:
    with pytest.raises(MethodError, match="bias needs a model with bias terms"):
        train(config_for(tiny_llama, tiny_pairs, "bias"), tiny_pairs)


def test_too_few_validation_pairs_are_refused_before_training(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    steps: list[float] = []
    config = config_for(tiny_neox, tiny_pairs, eval_pairs=100_000, eval_candidates=10)
    with pytest.raises(PairsError, match=r"must hold 100000 validation pairs \(eval_pairs\), got"):
        train(config, tiny_pairs, on_progress=lambda share, loss: steps.append(share))
    assert not steps
