"""Where runs branch off and end, said before they are trained."""

from pathlib import Path

import pytest

from embudget.errors import BudgetError
from embudget.pairs import Pairs
from embudget.training.extent import budget_within, extent_of
from embudget.training.job import Job
from embudget.training.run import train
from embudget.training.trunk import train_trunk
from tests.training.test_trunk import runs_of


def test_runs_branch_off_and_end_where_it_is_said(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    configs = runs_of(tiny_neox, tiny_pairs, "lora:4")
    extents = [extent_of(Job.of(config, tiny_pairs)) for config in configs]
    records = list(train_trunk(configs, tiny_pairs))
    assert [record.train_flops for record in records] == [extent.flops for extent in extents]
    assert [record.shared_flops for record in records] == [0.0, *(extent.branch_flops for extent in extents[:-1])]


def test_a_budget_of_whole_steps_is_spent_to_the_last_flop(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    config = runs_of(tiny_neox, tiny_pairs)[0]
    most = 0.9 * config.train_flops
    budget = budget_within(Job.of(config, tiny_pairs), most)
    warmup = config.warmup * config.train_flops / budget
    whole = config.model_copy(update={"train_flops": budget, "warmup": warmup})
    _, record = train(whole, tiny_pairs, with_record=True)
    assert record.train_flops == budget <= most
    assert record.steps is not None and most - budget < 2 * budget / record.steps


def test_a_budget_ends_with_the_pairs(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    config = runs_of(tiny_neox, tiny_pairs)[0]
    budget = budget_within(Job.of(config, tiny_pairs), 1e12)
    assert budget < 1e12
    Job.of(config.model_copy(update={"train_flops": budget}), tiny_pairs).check_batches()
    with pytest.raises(BudgetError, match=f"for one step of {config.batch_size} pairs, and 1e\\+03 are left"):
        budget_within(Job.of(config, tiny_pairs), 1e3)
