import math
import re
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from embudget.errors import MethodError, PairsError, RunError
from embudget.methods import parse_method
from embudget.pairs import Pairs, index_pairs, token_stats
from embudget.pairs.token_cache import TokenCache
from embudget.records import RunConfig
from embudget.suite import find_shape
from embudget.training.heldout import held_out
from embudget.training.order import BatchOrder
from embudget.training.run import check_order, check_pairs, train_run


def config_for(folder: Path, pairs: Pairs, method: str = "full", **changes: object) -> RunConfig:
    values: dict[str, object] = {
        "model": str(folder),
        "method": method,
        "train_flops": 2e9,
        "pairs": pairs.hash,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "max_length": 32,
        "eval_pairs": 32,
        "eval_candidates": 16,
    }
    return RunConfig.model_validate(values | changes)


@pytest.mark.parametrize("method", ["full", "freeze:0.5", "bias", "lora:4"])
def test_a_run_spends_its_budget_and_is_measured(tiny_neox: Path, tiny_pairs: Pairs, method: str) -> None:
    config = config_for(tiny_neox, tiny_pairs, method)
    seen: list[float] = []
    model, record = train_run(config, tiny_pairs, lambda share, loss: seen.append(share))
    assert record.tokens is not None and record.steps is not None and record.provenance is not None
    assert record.train_flops is not None and record.executed_flops is not None and record.loss is not None
    cost = parse_method(method).flops_per_token(find_shape(str(tiny_neox)))
    assert record.train_flops == cost * record.tokens
    assert record.train_flops >= config.train_flops
    assert seen[-2] < 1 <= seen[-1], "it stops at the step that reaches the budget, not earlier or later"
    assert record.steps == len(seen)
    assert record.pairs_seen == 8 * record.steps
    assert record.executed_flops > record.train_flops, "padding and attention come on top"
    assert 0 < record.loss < 2 * math.log(16)
    assert record.provenance.model_revision.startswith("folder tiny-neox sha256:")
    assert not any("lora" in name for name, _ in model.named_parameters())


def test_training_leaves_nothing_behind(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    train_run(config_for(tiny_neox, tiny_pairs, train_flops=1e8), tiny_pairs)
    assert list(tmp_path.iterdir()) == []


def test_training_lowers_the_held_out_loss(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    short = train_run(config_for(tiny_neox, tiny_pairs, train_flops=1e8, learning_rate=1e-9), tiny_pairs)[1]
    trained = train_run(config_for(tiny_neox, tiny_pairs, train_flops=6e9), tiny_pairs)[1]
    assert trained.loss is not None and short.loss is not None
    assert trained.loss < 0.8 * short.loss


def test_the_same_seed_gives_the_same_losses(tiny_llama: Path, tiny_pairs: Pairs) -> None:
    config = config_for(tiny_llama, tiny_pairs, "lora:4", train_flops=5e8)
    first, again = (train_run(config, tiny_pairs)[1] for _ in range(2))
    other = train_run(config.model_copy(update={"seed": 1}), tiny_pairs)[1]
    assert first.loss_curve == again.loss_curve
    assert first.loss == again.loss
    assert other.loss != first.loss


def test_more_data_than_there_is_is_refused(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    with pytest.raises(PairsError, match=r"needs about [\d,]+ pairs, got .* with max_epochs=1"):
        train_run(config_for(tiny_neox, tiny_pairs, train_flops=1e13), tiny_pairs)


@pytest.fixture
def repetitive(tmp_path: Path) -> Pairs:
    """1,000 training pairs of which 300 share their positive, so that batches of 64 end after 11 of 15."""
    for split, rows in (("train", 1000), ("validation", 64)):
        positives = ["see the manual" if split == "train" and row % 10 < 3 else f"answer {row}" for row in range(rows)]
        columns = {"query": [f"question {row}" for row in range(rows)], "positive": positives}
        pq.write_table(pa.table(columns), tmp_path / f"{split}.parquet")
    return index_pairs(tmp_path)


def test_texts_that_repeat_too_often_are_refused_before_training(tiny_neox: Path, repetitive: Pairs) -> None:
    per_pair = token_stats(repetitive, str(tiny_neox), 32).tokens_per_pair
    budget = parse_method("full").flops_per_token(find_shape(str(tiny_neox))) * 800 * per_pair
    config = config_for(tiny_neox, repetitive, train_flops=budget, batch_size=64)
    check_pairs(config, repetitive)  # by their number they suffice
    steps: list[float] = []
    with pytest.raises(RunError) as raised:
        train_run(config, repetitive, lambda share, loss: steps.append(share))
    assert not steps
    assert re.search(
        r"^\S+ with full at \S+ FLOP needs [\d,]+ tokens, got [\d,]+ in the batches from \S+ with max_epochs=1, "
        r"for 256 of 960 pairs find no batch of 64 without one of their texts: allow more epochs or smaller batches$",
        str(raised.value),
    )
    for changes in ({"max_epochs": 2}, {"batch_size": 4}):
        check_order(config.model_copy(update=changes), repetitive)


def test_the_batches_suffice_to_the_last_token(tiny_neox: Path, repetitive: Pairs) -> None:
    config = config_for(tiny_neox, repetitive, batch_size=64, seed=3)
    tokens = TokenCache(repetitive, str(tiny_neox), 32)
    per_token = parse_method("full").flops_per_token(find_shape(str(tiny_neox)))
    drawn = sum(len(text) for batch in BatchOrder(tokens, 64, 3, 1) for text in tokens.texts(batch))
    check_order(config.model_copy(update={"train_flops": per_token * drawn}), repetitive)
    more = config.model_copy(update={"train_flops": per_token * (drawn + 1.0)})
    with pytest.raises(RunError, match=f"needs {drawn + 1:,} tokens, got {drawn:,} "):
        check_order(more, repetitive)


def test_the_order_of_splits_of_many_windows_is_not_counted(
    tiny_neox: Path, repetitive: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tiny_neox, repetitive, train_flops=1e13)
    with pytest.raises(RunError):
        check_order(config, repetitive)
    monkeypatch.setattr("embudget.training.order.WINDOW", 999)
    check_order(config, repetitive)


def test_more_epochs_are_taken_where_allowed(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    shape = find_shape(str(tiny_neox))
    budget = parse_method("full").flops_per_token(shape) * tiny_pairs.rows("train") * 90.0
    record = train_run(config_for(tiny_neox, tiny_pairs, train_flops=budget, max_epochs=3), tiny_pairs)[1]
    assert record.pairs_seen is not None
    assert record.pairs_seen > tiny_pairs.rows("train")


def test_other_pairs_than_the_configurations_are_refused(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    with pytest.raises(PairsError, match="content hash 0000"):
        train_run(config_for(tiny_neox, tiny_pairs).model_copy(update={"pairs": "0000"}), tiny_pairs)


def test_bias_on_a_model_without_biases_is_refused(tiny_llama: Path, tiny_pairs: Pairs) -> None:
    with pytest.raises(MethodError, match="bias needs a model with bias terms"):
        train_run(config_for(tiny_llama, tiny_pairs, "bias"), tiny_pairs)


def test_too_few_validation_pairs_are_refused_before_training(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    steps: list[float] = []
    config = config_for(tiny_neox, tiny_pairs, eval_pairs=100_000, eval_candidates=10)
    with pytest.raises(PairsError, match=r"must hold 100000 validation pairs \(eval_pairs\), got"):
        train_run(config, tiny_pairs, lambda share, loss: steps.append(share))
    assert not steps


def test_groups_of_candidates_must_divide(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    with pytest.raises(ValueError, match="eval_pairs must be a multiple of eval_candidates=16"):
        config_for(tiny_neox, tiny_pairs, eval_pairs=20, eval_candidates=16)


def test_under_autocast_the_measure_and_the_model_are_float32(
    tiny_llama: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tiny_llama, tiny_pairs, train_flops=2e8)
    exact = train_run(config, tiny_pairs)[1]
    monkeypatch.setattr("embudget.training.assembly.uses_bf16", lambda: True)
    model, record = train_run(config, tiny_pairs)
    differences = [abs(rough - fine) for (_, rough), (_, fine) in zip(record.loss_curve, exact.loss_curve, strict=True)]
    assert 1e-5 < max(differences) < 0.5, "training was in bf16"
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert record.loss == held_out(model, tiny_pairs, 32, 16, config.scale).loss
    tokens = model.preprocess(["a text"])
    assert model[0].model(**{k: v for k, v in tokens.items() if torch.is_tensor(v)})[0].dtype == torch.float32


def test_gradient_caching_trains_the_same(tiny_llama: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    from embudget.training import memory

    config = config_for(tiny_llama, tiny_pairs, train_flops=4e8)
    _, direct = train_run(config, tiny_pairs)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1e6)
    _, cached = train_run(config, tiny_pairs)
    assert [loss for _, loss in cached.loss_curve] == pytest.approx([loss for _, loss in direct.loss_curve], abs=1e-4)
    assert cached.executed_flops is not None and direct.executed_flops is not None
    assert cached.executed_flops > 1.2 * direct.executed_flops, "a second forward pass"
    assert cached.train_flops == direct.train_flops
