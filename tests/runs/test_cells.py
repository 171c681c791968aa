"""Records as a table: what counts, what is dropped, what is refused, and what a cell says."""

from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.errors import FitError, TooFewRunsError
from embudget.laws import Coefficients
from embudget.methods import parse_method
from embudget.records import RunRecord
from embudget.runs import RunTable
from embudget.simulate import World, simulate
from embudget.suite import find_shape

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
    reasons = ["duplicate", "status is not done", "loss is missing", "loss is not positive", "tokens is missing"]
    assert table.dropped == dict.fromkeys(reasons, 1)
    assert table.listed == tuple(f"row {row}: {reason}" for row, reason in enumerate(reasons, start=2))


def test_no_usable_record_is_refused_with_the_reasons() -> None:
    failed = [changed(record, status="failed") for record in records()]
    with pytest.raises(TooFewRunsError, match="got 4 whose status is not done"):
        RunTable.of(failed)
    with pytest.raises(TooFewRunsError, match="no records"):
        RunTable.of([])


@pytest.mark.parametrize(
    ("field", "value"),
    [("pairs", "other"), ("eval_pairs", 1024), ("eval_candidates", 256), ("max_length", 48), ("scale", 20.0)],
)
def test_incomparable_runs_are_refused(field: str, value: object) -> None:
    first, *others = records()
    with pytest.raises(FitError, match=f"share one {field} .*: fit them separately$") as error:
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


def test_runs_of_another_schedule_are_no_seeds() -> None:
    base = records()[0]
    wsd = changed(base, {"schedule": "wsd"}, loss=1.0)
    shorter = changed(base, {"schedule": "wsd", "decay": 0.1}, loss=9.0)
    (cell,) = RunTable.of([base, shorter, wsd]).cells
    assert (cell.seeds, cell.loss, cell.schedule, cell.decay) == (1, 1.0, "wsd", 0.2)
    (cell,) = RunTable.of([base, shorter]).cells
    assert (cell.loss, cell.schedule, cell.decay) == (base.loss, "cosine", None)


def test_runs_of_another_pooling_are_no_seeds() -> None:
    base = records()[0]
    last = changed(base, {"pooling": "lasttoken"}, loss=1.0)
    (cell,) = RunTable.of([base, last]).cells
    assert (cell.seeds, cell.loss, cell.pooling) == (1, 1.0, "lasttoken")


def test_rates_of_another_schedule_are_no_part_of_an_envelope() -> None:
    base = records()[0]
    losses = {5e-4: 3.1, 1e-3: 3.0, 2e-3: 3.1}
    tried = [changed(base, {"learning_rate": rate}, loss=loss) for rate, loss in losses.items()]
    assert RunTable.of(tried).cells[0].rate_inside
    mixed = [*tried[:2], changed(tried[2], {"schedule": "wsd"})]
    assert RunTable.of(mixed).cells[0].rate_inside is None


def test_runs_that_diverged_are_left_out_for_that_reason() -> None:
    first = records()[0]
    diverged = RunRecord(config=first.config.model_copy(update={"seed": 1}), status="diverged", error="nan")
    table = RunTable.of([first, diverged])
    assert table.run_count == 1
    assert table.listed == ("row 2: status is diverged",)
    assert table.describe_dropped()[0] == "left out: status is diverged (1)"


def test_tokens_per_pair_is_that_of_the_world() -> None:
    assert RunTable.of(records()).tokens_per_pair == pytest.approx(WORLD.tokens_per_pair)


def foreign(tmp_path: Path, rows: Sequence[Mapping[str, object]]) -> RunTable:
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), tmp_path / "runs.parquet")
    return RunTable.read(tmp_path / "runs.parquet")


def test_statuses_of_other_trackers_count_as_done(tmp_path: Path) -> None:
    words = ("FINISHED", "Completed", "success", "", "done", "running", "crashed", "unfinished")
    rows = [{"model_params": 1e7, "tokens": 1e9, "loss": 2 + i, "status": word} for i, word in enumerate(words)]
    table = foreign(tmp_path, rows)
    assert table.run_count == 5
    assert table.listed == tuple(f"row {row}: status is not done" for row in (6, 7, 8))


def test_without_budgets_runs_of_other_length_are_other_cells(tmp_path: Path) -> None:
    tokens = {1.0e9: 2.5, 1.00001e9: 2.6, 1.02e9: 2.4}  # equal to 4 digits, and not
    rows = [{"model_params": 1e8, "tokens": d, "loss": loss} for d, loss in tokens.items()]
    short, long = foreign(tmp_path, rows).cells
    assert (short.seeds, long.seeds) == (2, 1)
    assert short.loss == pytest.approx((2.5 * 2.6) ** 0.5)
    assert short.budget == long.budget == pytest.approx(6e17, rel=0.02)
    with_budget = foreign(tmp_path, [row | {"budget": 6e17} for row in rows])
    assert [(cell.seeds, cell.budget) for cell in with_budget.cells] == [(3, 6e17)]


def test_budgets_with_jitter_are_those_that_were_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes, asked = (axis.ravel() for axis in np.meshgrid([1e8, 2e8, 7e8, 1.1e9], [1e18, 4e18, 1.6e19]))
    spent = asked * rng.uniform(0.999, 1.001, 12)
    rows = [
        {"model_params": n, "tokens": c / (6 * n), "budget": c, "loss": 2.5} for n, c in zip(sizes, spent, strict=True)
    ]
    table = foreign(tmp_path, rows)
    assert table.budgets == pytest.approx((1e18, 4e18, 1.6e19), rel=1e-3)
    assert [len([c for c in table.cells if c.budget == budget]) for budget in table.budgets] == [4, 4, 4]


def test_only_a_table_with_methods_is_priced_by_the_shapes_of_known_models(tmp_path: Path) -> None:
    shape = find_shape("pythia-70m")
    size = 1.04 * shape.model_params
    row = {"model": "pythia-70m", "model_params": size, "train_flops": 1e15, "loss": 2.5}
    (plain,), (full,) = (foreign(tmp_path, [row | method]).cells for method in ({}, {"method": "full"}))
    assert plain.tokens == pytest.approx(1e15 / (6 * size))
    assert full.tokens == pytest.approx(1e15 / parse_method("full").flops_per_token(shape))


def test_a_seed_says_which_equal_losses_are_duplicates(tmp_path: Path) -> None:
    rows = [{"model_params": 1e8, "tokens": 1e9, "loss": 2.5}] * 3
    assert foreign(tmp_path, rows).dropped == {"duplicate": 2}
    seeded = foreign(tmp_path, [row | {"seed": seed} for row, seed in zip(rows, (0, 1, 1), strict=True)])
    assert (seeded.dropped, seeded.listed) == ({"duplicate": 1}, ("row 3: duplicate",))
    assert seeded.cells[0].seeds == 2


def test_models_of_one_name_and_two_sizes_are_two_cells(tmp_path: Path) -> None:
    rows = [{"model": "ours", "model_params": size, "tokens": 1e9, "loss": 2.5, "budget": 1e18} for size in (2e8, 1e8)]
    assert [cell.model_params for cell in foreign(tmp_path, rows).cells] == [1e8, 2e8]


def test_cells_are_sorted_by_method_budget_and_size() -> None:
    world = WORLD.model_copy(update={"truth": {"lora:8": WORLD.truth["full"], "full": WORLD.truth["full"]}})
    table = RunTable.of(simulate(world)[::-1])
    keys = [(cell.method, cell.budget, cell.model_params) for cell in table.cells]
    assert keys == sorted(keys)
    assert len(keys) == 8
    assert (table.methods, table.budgets, table.models) == (("full", "lora:8"), WORLD.budgets, WORLD.models)


def test_a_cell_of_seeds_has_their_means() -> None:
    base = records()[0]
    seeds = [changed(base, {"seed": seed}, tokens=100 + seed, seconds=seed or None, loss=2.0) for seed in range(3)]
    (cell,) = RunTable.of(seeds).cells
    assert (cell.tokens, cell.seconds, cell.seeds, cell.train_flops) == (101, 1.5, 3, base.train_flops)
    assert cell.flops_per_token == (base.train_flops or 0) / 101
