import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from embudget.errors import TooFewRunsError
from embudget.methods import parse_method
from embudget.pairs import Pairs
from embudget.pairs.token_cache import TokenCache
from embudget.records import RunConfig
from embudget.records.config import EVAL_PAIRS
from embudget.runs import RunTable
from embudget.suite import find_shape
from embudget.training.heldout import embed, held_out
from embudget.training.loss import info_nce
from embudget.training.run import train


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
    model, record = train(config, tiny_pairs, on_progress=lambda share, loss: seen.append(share), with_record=True)
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


def test_the_model_comes_alone_unless_its_record_is_asked_for(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    config = config_for(tiny_neox, tiny_pairs, train_flops=6e8)
    model = train(config, tiny_pairs)
    assert model.encode(["a query", "a document"]).shape == (2, 64)
    other, record = train(config, tiny_pairs, with_record=True)
    assert (other.encode("a query") == model.encode("a query")).all()
    assert record.config == config


def test_the_tokens_of_a_run_are_opened_once(
    tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each opening looks the tokenizer up and maps its files anew."""
    opened: list[TokenCache] = []
    original = TokenCache.__init__

    def counted(self: TokenCache, *inputs: Any, **more: Any) -> None:  # noqa: ANN401 - passed on
        opened.append(self)
        original(self, *inputs, **more)

    monkeypatch.setattr(TokenCache, "__init__", counted)
    train(config_for(tiny_neox, tiny_pairs, train_flops=6e8), tiny_pairs)
    assert len(opened) == 1


def test_training_leaves_nothing_behind(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    train(config_for(tiny_neox, tiny_pairs, train_flops=6e8), tiny_pairs)
    assert list(tmp_path.iterdir()) == []


def test_training_lowers_the_held_out_loss(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    untouched = config_for(tiny_neox, tiny_pairs, train_flops=6e8, learning_rate=1e-9)
    _, short = train(untouched, tiny_pairs, with_record=True)
    _, trained = train(config_for(tiny_neox, tiny_pairs, train_flops=6e9), tiny_pairs, with_record=True)
    assert trained.loss is not None and short.loss is not None
    assert trained.loss < 0.8 * short.loss


def test_the_same_seed_gives_the_same_losses(tiny_llama: Path, tiny_pairs: Pairs) -> None:
    config = config_for(tiny_llama, tiny_pairs, "lora:4", train_flops=5e8)
    first, again = (train(config, tiny_pairs, with_record=True)[1] for _ in range(2))
    other = train(config.model_copy(update={"seed": 1}), tiny_pairs, with_record=True)[1]
    assert first.loss_curve == again.loss_curve
    assert first.loss == again.loss
    assert other.loss != first.loss


def test_more_epochs_are_taken_where_allowed(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    shape = find_shape(str(tiny_neox))
    budget = parse_method("full").flops_per_token(shape) * tiny_pairs.rows("train") * 90.0
    record = train(config_for(tiny_neox, tiny_pairs, train_flops=budget, max_epochs=3), tiny_pairs, with_record=True)[1]
    assert record.pairs_seen is not None
    assert record.pairs_seen > tiny_pairs.rows("train") == record.training_pairs


def test_more_candidates_than_pairs_are_refused(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    with pytest.raises(ValueError, match="eval_candidates must be <= eval_pairs=15, got 16"):
        config_for(tiny_neox, tiny_pairs, eval_pairs=15, eval_candidates=16)


@pytest.mark.parametrize("method", ["full", "freeze:0.5", "lora:4"])
def test_in_bf16_the_measure_and_the_model_are_float32(tiny_llama: Path, tiny_pairs: Pairs, method: str) -> None:
    config = config_for(tiny_llama, tiny_pairs, method, train_flops=8e8)
    exact = train(config, tiny_pairs, with_record=True)[1]
    low = config.model_copy(update={"precision": "bf16"})
    model, record = train(low, tiny_pairs, with_record=True)
    assert record.config.precision == "bf16" and record.config.id != exact.config.id
    differences = [abs(rough - fine) for (_, rough), (_, fine) in zip(record.loss_curve, exact.loss_curve, strict=True)]
    assert 1e-5 < max(differences) < 0.5, "training was in bf16"
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    measured = held_out(model, tiny_pairs, 32, 16, config.scale).loss  # by now with its adapters merged
    assert record.loss == pytest.approx(measured, abs=1e-5)
    assert sum(one.pairs for one in record.groups.values()) == 32
    tokens = model.preprocess(["a text"])
    assert model[0].model(**{k: v for k, v in tokens.items() if torch.is_tensor(v)})[0].dtype == torch.float32


def test_gradient_caching_trains_the_same(tiny_llama: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    from embudget.training import device

    config = config_for(tiny_llama, tiny_pairs, train_flops=8e8)
    _, direct = train(config, tiny_pairs, with_record=True)
    monkeypatch.setattr(device, "free_bytes", lambda: 1e6)
    _, cached = train(config, tiny_pairs, with_record=True)
    assert [loss for _, loss in cached.loss_curve] == pytest.approx([loss for _, loss in direct.loss_curve], abs=1e-4)
    assert cached.executed_flops is not None and direct.executed_flops is not None
    assert cached.executed_flops > 1.2 * direct.executed_flops, "a second forward pass"
    assert cached.train_flops == direct.train_flops


def test_a_run_that_learned_nothing_is_marked(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    """At a temperature of a billion all scores are alike."""
    _, record = train(config_for(tiny_neox, tiny_pairs, scale=1e-9), str(tiny_pairs.folder), with_record=True)
    assert record.status == "no_gain"
    assert record.loss == pytest.approx(math.log(16)) and record.chance == math.log(16)
    assert record.accuracy is not None and record.tokens is not None, "its measurements are kept"
    assert record.error == (
        "the held-out loss 2.7726 nats is no better than chance, 2.7726: try another learning rate or a larger budget"
    )
    with pytest.raises(TooFewRunsError, match="got 1 whose loss is no better than chance"):
        RunTable.of([record])


class Planned:
    """Stands for a recipe: it asks for the pairs of the default, whatever there is."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config

    def run_config(self, pairs_hash: str, seed: int = 0) -> RunConfig:
        return self.config.model_copy(update={"eval_pairs": EVAL_PAIRS, "eval_candidates": 512, "pairs": pairs_hash})


def test_a_recipe_is_measured_on_as_many_pairs_as_there_are(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    record = train(Planned(config_for(tiny_neox, tiny_pairs, train_flops=6e8)), tiny_pairs, with_record=True)[1]
    there = tiny_pairs.rows("validation")
    assert (record.config.eval_pairs, record.config.eval_candidates) == (there, there)
    assert record.groups.keys() == set(tiny_pairs.table("validation")["group"].to_pylist())
    assert record.loss_error is not None and record.loss is not None and 0 < record.loss_error < record.loss


def test_runs_from_before_are_done_again_as_they_were(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    """On the first pairs of the split; only the loss by group is new."""
    old = config_for(tiny_neox, tiny_pairs, train_flops=6e8, yardstick="first")
    model, record = train(old, tiny_pairs, with_record=True)
    table = tiny_pairs.head("validation", 32)
    q, p = (embed(model, table[side].to_pylist()) for side in ("query", "positive"))
    halves = [info_nce(q[at : at + 16], p[at : at + 16], old.scale).item() for at in (0, 16)]
    assert record.loss == sum(halves) / 2
    assert record.groups and record.id != config_for(tiny_neox, tiny_pairs, train_flops=6e8).id
