"""A changed default against the default itself, each at its own best rate."""

from typing import Any

import pytest

from embudget.records import RunRecord
from studies.publish.changes import changes
from tests.studies.publish.made import record


def measured(first: float, second: float, rate: float, **config: object) -> RunRecord:
    """A run whose loss is known on two groups of three and one pairs."""
    groups = {"a": {"pairs": 3, "loss": first, "ndcg": 0.5}, "b": {"pairs": 1, "loss": second, "ndcg": 0.5}}
    made = record((3 * first + second) / 4, 0.5, "done", learning_rate=rate, **config)
    return RunRecord.model_validate(made.model_dump() | {"groups": groups})


RUNS = [
    measured(3.0, 3.0, 1e-3), measured(2.5, 2.5, 2e-3), measured(2.75, 2.75, 4e-3),
    measured(2.0, 2.0, 1e-3, scale=10.0), measured(3.5, 3.5, 2e-3, scale=10.0),
    measured(2.5, 3.5, 1e-3, scale=80.0),
]  # fmt: skip


def test_each_value_is_compared_at_its_own_best_rate_with_the_default_first() -> None:
    base, low, high = changes(RUNS, "scale")
    assert [row["scale"] for row in (base, low, high)] == [40.0, 10.0, 80.0]
    assert (base["rate"], base["at_an_end"], base["difference"]) == (2e-3, False, 0.0)
    assert (low["rate"], low["at_an_end"], low["difference"]) == (1e-3, True, -0.5)
    assert (low["difference_error"], high["difference"]) == (0.0, 0.25), "three pairs to one"
    assert high["difference_error"] > 0


def test_members_methods_and_budgets_are_taken_one_by_one_and_what_diverged_is_worst() -> None:
    others: list[Any] = [measured(1.0, 1.0, 1e-3, model="m:4"), measured(9.0, 9.0, 1e-3, train_flops=2e12)]
    failed = record(None, None, "diverged", learning_rate=8e-3, model="m:4")
    rows = changes([*RUNS, *others, failed], "scale")
    assert [(row["member"], row["budget"], row["loss"]) for row in rows if row["scale"] == 40.0] == [
        ("m:2", 1e12, 2.5), ("m:2", 2e12, 9.0), ("m:4", 1e12, 1.0)
    ]  # fmt: skip


def test_without_the_default_the_lowest_value_is_the_base() -> None:
    rows = changes([run for run in RUNS if run.config.scale != 40.0], "scale")
    assert [(row["scale"], row["difference"]) for row in rows] == [(10.0, 0.0), (80.0, pytest.approx(0.75))]
