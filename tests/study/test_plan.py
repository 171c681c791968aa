import pytest

from embudget.errors import PairsError
from embudget.flops import steps_for
from embudget.methods import parse_method
from embudget.pairs import Pairs, token_stats
from embudget.records import RunRecord
from embudget.records.config import EVAL_PAIRS
from embudget.study import Study, plan
from embudget.suite import find_shape


def grid(pairs: Pairs, model: str, **changes: object) -> Study:
    values: dict[str, object] = {
        "members": [model, f"{model}:2"],
        "methods": ["full", "lora:4"],
        "budgets": [3e8, 1e10],
        "pairs": str(pairs.folder),
        "batch_size": 8,
        "max_length": 32,
        "eval_pairs": 16,
        "eval_candidates": 16,
    }
    return Study.read(values | changes, "study.yaml")


def test_sizes_of_runs_follow_from_the_formulas(tiny_neox: object, tiny_pairs: Pairs) -> None:
    planned = plan(grid(tiny_pairs, str(tiny_neox), min_steps=1, schedule="cosine"), tiny_pairs)
    run = planned.runs[-1]
    shape, method = find_shape(run.config.model), parse_method(run.config.method)
    per_pair = token_stats(tiny_pairs, run.config.model, 32).tokens_per_pair
    assert run.steps == pytest.approx(steps_for(run.config.train_flops, method, shape, per_pair, 8))
    assert run.tokens * method.flops_per_token(shape) == pytest.approx(run.config.train_flops)
    assert planned.train_flops == sum(run.config.train_flops for run in planned.runs)


def test_cells_with_few_steps_or_too_much_data_are_left_out(tiny_neox: object, tiny_pairs: Pairs) -> None:
    study = grid(tiny_pairs, str(tiny_neox), budgets=[3e8, 1e10, 1e13], min_steps=4)
    planned = plan(study, tiny_pairs)
    assert len(planned.runs) + len(planned.left_out) == 12
    assert all(run.steps >= 4 for run in planned.runs)
    reasons = [run.reason for run in planned.left_out]
    assert any("fewer than min_steps=4" in reason for reason in reasons)
    assert sum("more than the" in reason for reason in reasons) == 4


def test_measured_speed_replaces_the_assumed_one(tiny_neox: object, tiny_pairs: Pairs) -> None:
    study = grid(tiny_pairs, str(tiny_neox), min_steps=1)
    config = study.configs(tiny_pairs.hash)[0]
    record = RunRecord(config=config, status="done", train_flops=3e8, seconds=3.0)
    assert plan(study, tiny_pairs).runs[-1].seconds == pytest.approx(1e10 / 4e10)
    assert plan(study, tiny_pairs, [record]).runs[-1].seconds == pytest.approx(1e10 / 1e8)


def test_too_few_validation_pairs_are_refused(tiny_neox: object, tiny_pairs: Pairs) -> None:
    with pytest.raises(PairsError, match=r"must hold 512 validation pairs \(eval_pairs\), got .*: leave eval"):
        plan(grid(tiny_pairs, str(tiny_neox), eval_pairs=512, eval_candidates=512), tiny_pairs)


def test_a_study_that_does_not_say_it_is_measured_on_what_there_is(
    tiny_neox: object, tiny_pairs: Pairs, caplog: pytest.LogCaptureFixture
) -> None:
    study = grid(tiny_pairs, str(tiny_neox), eval_pairs=None, eval_candidates=None, min_steps=1)
    there = tiny_pairs.rows("validation")
    configs = [run.config for run in plan(study, tiny_pairs).runs]
    assert {(one.eval_pairs, one.eval_candidates, one.yardstick) for one in configs} == {(there, there, "groups")}
    assert {one.id for one in configs} <= {one.id for one in study.configs(tiny_pairs)}
    plan(study, tiny_pairs)
    assert sum("expect a standard error" in line for line in caplog.messages) <= 1, "once, however often it is asked"
    assert {one.eval_pairs for one in study.configs(tiny_pairs.hash)} == {EVAL_PAIRS}


def test_a_study_from_before_goes_on(tiny_neox: object, tiny_pairs: Pairs) -> None:
    study = grid(tiny_pairs, str(tiny_neox), yardstick="first")
    assert {one.yardstick for one in study.configs(tiny_pairs)} == {"first"}


def test_a_trunk_is_paid_once(tiny_neox: object, tiny_pairs: Pairs) -> None:
    study = grid(tiny_pairs, str(tiny_neox), schedule="wsd", budgets=[2e9, 4e9, 8e9], min_steps=1)
    planned = plan(study, tiny_pairs)
    assert len(planned.runs) == 4 * 3
    assert planned.train_flops == pytest.approx(4 * (0.8 * 8e9 + 0.2 * 14e9))
    assert planned.separate_flops == pytest.approx(4 * 14e9)
    assert planned.seconds == pytest.approx(planned.train_flops / study.flops_per_second)
    assert planned.flops_by_trunks(0.2) == pytest.approx(planned.train_flops)


def test_what_is_left_of_a_trunk_is_paid_anew(tiny_neox: object, tiny_pairs: Pairs) -> None:
    study = grid(tiny_pairs, str(tiny_neox), schedule="wsd", budgets=[2e9, 4e9, 8e9], min_steps=1)
    planned = plan(study, tiny_pairs)
    done = {run.config.id for run in planned.runs if run.config.train_flops < 8e9}
    left = planned.without(done)
    assert [run.own_flops for run in left.runs] == pytest.approx([8e9] * 4)
    assert left.seconds == pytest.approx(4 * 8e9 / study.flops_per_second)
    assert planned.without(()).runs == planned.runs


def test_what_trunks_would_save_does_not_depend_on_the_batch_sizes(tiny_neox: object, tiny_pairs: Pairs) -> None:
    by_budget = {2e9: 4, 4e9: 8, 8e9: 8}
    changes = {"budgets": list(by_budget), "batch_size": by_budget, "min_steps": 1, "schedule": "cosine"}
    study = grid(tiny_pairs, str(tiny_neox), **changes)
    planned = plan(study, tiny_pairs)
    assert planned.train_flops == planned.separate_flops == pytest.approx(4 * 14e9)
    assert planned.flops_by_trunks(0.2) == pytest.approx(4 * (0.8 * 8e9 + 0.2 * 14e9))
