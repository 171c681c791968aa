"""Records as a table: what counts, what is dropped, what is refused, and what a cell says."""

from math import log

import pytest

from embudget.errors import FitError, TooFewRunsError
from embudget.laws import Coefficients, RunTable
from embudget.records import RunRecord
from embudget.simulate import World, simulate

WORLD = World(
    truth={"full": Coefficients(E=1.5, A=300, a=0.35, B=250, b=0.4)},
    models=("smollm2-135m:1", "smollm2-135m:4"),
    budgets=(1e12, 4e12),
)


def records() -> list[RunRecord]:
    return simulate(WORLD)


def changed(record: RunRecord, config: dict[str, object] | None = None, **fields: object) -> RunRecord:
    data = record.model_dump() | fields
    return RunRecord.model_validate(data | {"config": data["config"] | (config or {})})


def test_unusable_records_are_dropped_and_counted() -> None:
    first, second, third, fourth = records()
    failed = RunRecord(config=first.config.model_copy(update={"seed": 1}), status="failed", error="out of memory")
    table = RunTable.of(
        [first, first, failed, changed(second, loss=None), changed(third, loss=0.0), changed(fourth, tokens=None)]
    )
    assert [(cell.model, cell.budget, cell.loss) for cell in table.cells] == [
        (first.config.model, first.config.train_flops, first.loss)
    ]
    assert table.run_count == 1
    reasons = ["duplicate", "status is failed", "loss is missing", "loss is not positive", "tokens is missing"]
    assert table.dropped == dict.fromkeys(reasons, 1)
    assert table.listed == tuple(f"row {row}: {reason}" for row, reason in enumerate(reasons, start=2))


def test_no_usable_record_is_refused_with_the_reasons() -> None:
    failed = [changed(record, status="failed") for record in records()]
    with pytest.raises(TooFewRunsError, match="got 4 whose status is failed"):
        RunTable.of(failed)
    with pytest.raises(TooFewRunsError, match="no records"):
        RunTable.of([])


@pytest.mark.parametrize(
    ("field", "value"),
    [("pairs", "other"), ("eval_pairs", 1024), ("eval_candidates", 256), ("max_length", 48), ("scale", 20.0)],
)
def test_incomparable_runs_are_refused(field: str, value: object) -> None:
    first, *others = records()
    with pytest.raises(FitError, match=f"share one {field} ") as error:
        RunTable.of([changed(first, {field: value}), *others])
    assert "\n" not in str(error.value)


def test_a_cell_takes_the_learning_rate_with_the_best_mean_over_its_seeds() -> None:
    base = records()[0]
    losses = {
        (1e-3, 0): 3.0,
        (1e-3, 1): 3.4,
        (2e-3, 0): 2.9,
        (2e-3, 1): 3.9,
    }  # the best single run is not the best rate
    table = RunTable.of(
        changed(base, {"learning_rate": rate, "seed": seed}, loss=loss) for (rate, seed), loss in losses.items()
    )
    (cell,) = table.cells
    assert cell.learning_rate == 1e-3
    assert cell.loss == pytest.approx((3.0 * 3.4) ** 0.5)
    assert cell.seeds == 2
    assert cell.seed_squares == pytest.approx(2 * (log(3.4 / 3.0) / 2) ** 2)
    assert table.run_count == 4


@pytest.mark.parametrize("setting", ["warmup", "weight_decay", "max_epochs"])
def test_runs_of_another_setting_are_no_seeds(setting: str) -> None:
    base = records()[0]
    other = changed(base, {setting: getattr(base.config, setting) * 2}, loss=9.0)
    (cell,) = RunTable.of([base, other]).cells
    assert (cell.seeds, cell.seed_squares, cell.loss) == (1, 0, base.loss)
    assert getattr(cell, setting) == getattr(base.config, setting)


def test_tokens_per_pair_is_that_of_the_world() -> None:
    assert RunTable.of(records()).tokens_per_pair == pytest.approx(WORLD.tokens_per_pair)
