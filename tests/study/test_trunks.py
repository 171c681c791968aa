"""Which runs share a trunk, and what each of them adds."""

import pytest

from embudget.records import RunConfig
from embudget.study.trunks import own_flops, own_flops_of, tasks

BUDGETS = (1e12, 2e12, 4e12)


def config(budget: float, warmup_flops: float = 1e11, **changes: object) -> RunConfig:
    values: dict[str, object] = {
        "model": "m", "method": "full", "train_flops": budget, "pairs": "p", "batch_size": 8, "learning_rate": 1e-3,
        "schedule": "wsd", "warmup": warmup_flops / budget,
    }  # fmt: skip
    return RunConfig.read(values | changes, "test")


def test_runs_that_differ_in_the_budget_alone_share_a_trunk() -> None:
    others = [
        config(2e12, learning_rate=2e-3),
        config(2e12, seed=1),
        config(2e12, batch_size=16),
        config(2e12, decay=0.1),
        config(2e12, warmup_flops=2e11),
    ]
    mine = [config(budget) for budget in BUDGETS]
    found = tasks([mine[2], *others, mine[0], mine[1]])
    assert found == [tuple(mine), *((other,) for other in others)]


def test_runs_of_cosine_share_nothing() -> None:
    alone = [config(budget, schedule="cosine") for budget in BUDGETS]
    assert tasks(alone) == [(run,) for run in alone]
    assert own_flops_of(alone) == {run.id: run.train_flops for run in alone}


def test_a_trunk_costs_its_length_and_its_branches() -> None:
    # the trunk to the last decay, and a branch at each budget
    assert sum(own_flops(BUDGETS, 0.25)) == pytest.approx(0.75 * 4e12 + 0.25 * sum(BUDGETS))
    assert own_flops(BUDGETS, 0.25) == pytest.approx([1e12, 2e12 - 0.75e12, 4e12 - 1.5e12])
    assert own_flops(BUDGETS[2:], 0.25) == [4e12]


@pytest.mark.parametrize(("factor", "count", "saved"), [(4, 3, 1.24), (2, 5, 1.63)])
def test_the_savings_that_the_readme_states(factor: float, count: int, saved: float) -> None:
    budgets = [factor**place for place in range(count)]
    assert sum(budgets) / sum(own_flops(budgets, 0.2)) == pytest.approx(saved, abs=0.005)


def test_what_is_missing_of_a_trunk_is_not_shared_with_what_is_there() -> None:
    runs = [config(budget) for budget in BUDGETS]
    assert own_flops_of([runs[0], runs[2]])[runs[2].id] == pytest.approx(4e12 - 0.8e12)
    assert own_flops_of([runs[2]]) == {runs[2].id: 4e12}
