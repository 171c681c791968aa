"""Runs with hard negatives: what they see, what they are charged, and that every way of training agrees."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from embudget.errors import PairsError, RunError
from embudget.methods import parse_method
from embudget.pairs import Pairs, token_stats
from embudget.records import RunConfig, RunRecord
from embudget.suite import find_shape
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.resources import Resources
from embudget.training.run import train
from embudget.training.trunk import train_trunk
from tests.hard_negatives import with_negatives
from tests.training.batches import LOSS_ROUNDING, SCALE
from tests.training.processes import assert_same_curve, launch, record_at, run_until, write
from tests.training.test_run import config_for

TWO = 2


def hard_config(model: Path, pairs: Pairs, method: str = "full", **changes: object) -> RunConfig:
    return config_for(model, pairs, method, **({"negatives": 2, "learning_rate": 1e-3} | changes))


def measured(record: RunRecord) -> dict[str, Any]:
    return record.model_dump(exclude={"seconds", "provenance", "shared_flops"})


@pytest.mark.parametrize("method", ["full", "lora:4"])
def test_a_run_is_charged_for_the_tokens_of_its_negatives(tiny_neox: Path, hard_pairs: Pairs, method: str) -> None:
    config = hard_config(tiny_neox, hard_pairs, method)
    record = train(config, hard_pairs, with_record=True)[1]
    assert record.tokens is not None and record.pairs_seen is not None and record.steps is not None
    assert record.train_flops == parse_method(method).flops_per_token(find_shape(str(tiny_neox))) * record.tokens
    assert record.pairs_seen == 8 * record.steps
    per_pair = token_stats(hard_pairs, str(tiny_neox), 32, negatives=2).tokens_per_pair
    assert record.tokens / record.pairs_seen == pytest.approx(per_pair, rel=0.1)
    assert per_pair > 1.5 * token_stats(hard_pairs, str(tiny_neox), 32).tokens_per_pair
    without = train(config.model_copy(update={"negatives": 0}), hard_pairs, with_record=True)[1]
    assert without.pairs_seen is not None and without.pairs_seen > 1.3 * record.pairs_seen
    assert record.config.id != without.config.id
    assert record.chance == without.chance, "the held-out loss is the same measurement"


def test_runs_with_and_without_negatives_see_the_same_pairs(tiny_neox: Path, hard_pairs: Pairs) -> None:
    orders = [Training(Job.of(hard_config(tiny_neox, hard_pairs, negatives=k), hard_pairs)).order for k in (0, 3)]
    assert [next(orders[0]) for _ in range(20)] == [next(orders[1]) for _ in range(20)]


def test_a_step_equals_plain_sentence_transformers(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    """One of two columns of negatives, none of them a right answer, from the folder to the loss."""
    table = tiny_pairs.table("train").to_pydict()
    others = table["positive"][7:] + table["positive"][:7]
    pairs = with_negatives(tiny_pairs, tmp_path / "hard", [[f"not: {one}", f"never: {one}"] for one in others])
    training = Training(Job.of(hard_config(tiny_neox, pairs), pairs))
    rows = next(Training(Job.of(hard_config(tiny_neox, pairs), pairs)).order)
    columns = [[table[side][row] for row in rows] for side in ("query", "positive")]
    columns += [[f"{word}: {others[row]}" for row in rows] for word in ("not", "never")]
    theirs = MultipleNegativesRankingLoss(
        training.model, scale=SCALE, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
    )
    with torch.no_grad():
        wanted = theirs([dict(training.model.preprocess(column)) for column in columns], None).item()
    assert training.step(1.0) == pytest.approx(wanted, abs=LOSS_ROUNDING)


def test_a_right_answer_is_no_wrong_one(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    """Negatives that are all right for their own query: it meets those of the others, each of them twice."""
    table = tiny_pairs.table("train").to_pydict()
    pairs = with_negatives(tiny_pairs, tmp_path / "hard", [[one] for one in table["positive"]])
    hard = Training(Job.of(hard_config(tiny_neox, pairs, negatives=1), pairs))
    rows = next(Training(Job.of(hard_config(tiny_neox, pairs), pairs)).order)
    model = hard.model
    with torch.no_grad():
        q, p = (
            model(dict(model.preprocess([table[side][row] for row in rows])))["sentence_embedding"]
            for side in ("query", "positive")
        )
    scores = SCALE * q @ p.T
    own = torch.eye(len(rows)).bool()
    doubled = torch.where(own, scores, scores + math.log(2))
    wanted = (doubled.logsumexp(1) + scores.logsumexp(0)).mean() / 2 - scores.diagonal().mean()
    assert hard.step(1.0) == pytest.approx(wanted.item(), abs=LOSS_ROUNDING)


@pytest.mark.parametrize("method", ["full", "freeze:0.5", "bias", "lora:4"])
def test_caching_changes_nothing(tiny_neox: Path, hard_pairs: Pairs, method: str) -> None:
    config = hard_config(tiny_neox, hard_pairs, method, train_flops=4e9)
    plain, cached = (
        train(config, hard_pairs, resources=Resources(cache=cache), with_record=True)[1]
        for cache in ("never", "always")
    )
    assert_same_curve(cached, plain)


@pytest.mark.parametrize("method", ["full", "lora:4"])
def test_a_stopped_run_ends_as_if_nothing_had_happened(
    tiny_neox: Path, hard_pairs: Pairs, tmp_path: Path, method: str
) -> None:
    config = hard_config(tiny_neox, hard_pairs, method, train_flops=3e9)
    whole = train(config, hard_pairs, with_record=True)[1]
    assert run_until(config, hard_pairs, tmp_path, 3) is None
    ended = run_until(config, hard_pairs, tmp_path, None)
    assert ended is not None
    assert measured(ended) == measured(whole)


def test_runs_of_a_trunk_are_what_they_are_alone(tiny_neox: Path, hard_pairs: Pairs) -> None:
    configs = [
        hard_config(tiny_neox, hard_pairs, train_flops=budget, warmup=2e8 / budget, schedule="wsd", decay=0.4)
        for budget in (2e9, 4e9)
    ]
    alone = [train(config, hard_pairs, with_record=True)[1] for config in configs]
    together = list(train_trunk(configs, hard_pairs))
    assert [measured(record) for record in together] == [measured(record) for record in alone]


def test_two_processes_train_as_one_does(tiny_neox: Path, hard_pairs: Pairs, tmp_path: Path) -> None:
    config = hard_config(tiny_neox, hard_pairs, train_flops=4e9)
    launch(TWO, tmp_path, lambda rank: write(tmp_path, "hard", rank, train(config, hard_pairs, with_record=True)[1]))
    alone = train(config, hard_pairs, with_record=True)[1]
    for rank in range(TWO):
        assert_same_curve(record_at(tmp_path, "hard", rank), alone)


def test_pairs_without_negatives_are_refused_before_training(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    steps: list[float] = []
    with pytest.raises(PairsError, match="negatives=2 needs training pairs with hard negatives, and "):
        train(hard_config(tiny_neox, tiny_pairs), tiny_pairs, on_progress=lambda share, loss: steps.append(share))
    assert not steps


def test_the_number_of_pairs_is_checked_with_their_negatives(tiny_neox: Path, hard_pairs: Pairs) -> None:
    """With them the same budget needs fewer pairs, both by their number and by the batches drawn."""
    per_pair = [token_stats(hard_pairs, str(tiny_neox), 32, negatives=k).tokens_per_pair for k in (0, 2)]
    there = hard_pairs.rows("train") // 8 * 8
    flops = parse_method("full").flops_per_token(find_shape(str(tiny_neox))) * there * sum(per_pair) / 2
    with pytest.raises(PairsError, match="needs about "):
        Job.of(hard_config(tiny_neox, hard_pairs, negatives=0, train_flops=flops), hard_pairs).check_number()
    job = Job.of(hard_config(tiny_neox, hard_pairs, train_flops=flops), hard_pairs)
    job.check_number()
    job.check_batches()
    with pytest.raises(RunError, match="tokens, got "):
        Job.of(hard_config(tiny_neox, hard_pairs, train_flops=2 * flops), hard_pairs).check_batches()
