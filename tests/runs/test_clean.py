"""Which runs count: what is left out and for what reason, what is no seed but a repetition, what is not comparable."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from embudget.errors import FitError, TooFewRunsError
from embudget.records import RunRecord
from embudget.runs import RunTable
from tests.runs.tables import FOREIGN, changed, foreign, records, write


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
    [
        ("pairs", "other"),
        ("yardstick", "first"),
        ("eval_pairs", 512),
        ("eval_candidates", 256),
        ("max_length", 48),
        ("scale", 20.0),
    ],
)
def test_incomparable_runs_are_refused(field: str, value: object) -> None:
    first, *others = records()
    with pytest.raises(FitError, match=f"share one {field} .*: fit them separately$") as error:
        RunTable.of([changed(first, {field: value}), *others])
    assert "\n" not in str(error.value)


def test_runs_that_diverged_are_left_out_for_that_reason() -> None:
    first = records()[0]
    diverged = RunRecord(config=first.config.model_copy(update={"seed": 1}), status="diverged", error="nan")
    table = RunTable.of([first, diverged])
    assert table.run_count == 1
    assert table.listed == ("row 2: status is diverged",)
    assert table.describe_dropped()[0] == "left out: status is diverged (1)"


def test_statuses_of_other_trackers_count_as_done(tmp_path: Path) -> None:
    words = ("FINISHED", "Completed", "success", "", "done", "running", "crashed", "unfinished")
    rows = [{"model_params": 1e7, "tokens": 1e9, "loss": 2 + i, "status": word} for i, word in enumerate(words)]
    table = foreign(tmp_path, rows)
    assert table.run_count == 5
    assert table.listed == tuple(f"row {row}: status is not done" for row in (6, 7, 8))


def test_a_seed_says_which_equal_losses_are_duplicates(tmp_path: Path) -> None:
    rows = [{"model_params": 1e8, "tokens": 1e9, "loss": 2.5}] * 3
    assert foreign(tmp_path, rows).dropped == {"duplicate": 2}
    seeded = foreign(tmp_path, [row | {"seed": seed} for row, seed in zip(rows, (0, 1, 1), strict=True)])
    assert (seeded.dropped, seeded.listed) == ({"duplicate": 1}, ("row 3: duplicate",))
    assert seeded.cells[0].seeds == 2


@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet"])
def test_rows_with_impossible_numbers_are_dropped_counted_and_listed(tmp_path: Path, name: str) -> None:
    loss = [2.0, None, float("nan"), float("inf"), 0.0, -1.0, 2.0, 2.1, 1.9, 1.8]
    size = [1e7] * 6 + [0.0] + [1e7] * 3
    weight = [None] + [1.0] * 7 + [3.0, 0.0]
    path = write(tmp_path / name, {"model_params": size, "tokens": [1e9] * 10, "loss": loss, "weight": weight})
    table = RunTable.read(path)
    assert table.listed == (
        "row 2: loss is missing", "row 3: loss is nan", "row 4: loss is infinite", "row 5: loss is not positive",
        "row 6: loss is not positive", "row 7: model_params is not positive", "row 10: weight is not positive",
    )  # fmt: skip
    assert table.dropped["loss is not positive"] == 2
    assert sum(table.dropped.values()) == 7
    (cell,) = table.cells
    assert cell.loss == pytest.approx((2.0 * 2.1 * 1.9**3) ** (1 / 5))
    assert cell.weight == pytest.approx(5 / 3)


@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet"])
def test_of_several_fields_that_say_nan_the_first_is_the_reason(tmp_path: Path, name: str) -> None:
    """And a weight that says NaN is no weight that was left out."""
    nan, size, tokens = float("nan"), [1e7] * 5, [1e9] * 5
    loss, weight = [nan, nan, None, 2.0, 2.0], [1.0, nan, nan, nan, None]
    size[0] = tokens[0] = tokens[2] = nan
    path = write(tmp_path / name, {"model_params": size, "tokens": tokens, "loss": loss, "weight": weight})
    table = RunTable.read(path)
    assert table.listed == (
        "row 1: loss is nan",
        "row 2: loss is nan",
        "row 3: loss is missing",
        "row 4: weight is nan",
    )
    assert [cell.weight for cell in table.cells] == [1.0]


def test_only_the_first_dropped_rows_are_listed_and_all_counted(tmp_path: Path) -> None:
    losses = [float("nan")] * 1000 + [2.0]
    table = RunTable.read(
        write(tmp_path / "runs.csv", {"model_params": [1e7] * 1001, "tokens": [1e9] * 1001, "loss": losses})
    )
    assert table.dropped == {"loss is nan": 1000}
    assert len(table.listed) == 20


def test_a_value_beyond_the_range_of_numbers_is_dropped(tmp_path: Path) -> None:
    size, tokens = [1e7, 1e90, 1e7, 1e200], [1e9, 1e90, 1e-200, 1e9]
    path = write(tmp_path / "runs.csv", {"model_params": size, "tokens": tokens, "loss": [2.0] * 4})
    assert RunTable.read(path).listed == (
        "row 2: train_flops is infinite", "row 3: tokens is not positive", "row 4: model_params is infinite",
    )  # fmt: skip


def test_numbers_of_pairs_that_are_not_whole_are_dropped(tmp_path: Path) -> None:
    table = RunTable.read(write(tmp_path / "runs.csv", FOREIGN | {"eval_pairs": [512, 512.5, 1e99]}))
    assert table.dropped == {"eval_pairs is not whole": 2}
    assert table.eval_pairs == 512


def test_no_usable_row_is_refused_with_the_reasons(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.csv", FOREIGN | {"loss": [0.0, 0.0, "nan"]})
    with pytest.raises(TooFewRunsError, match="got 2 whose loss is not positive, 1 whose loss is nan"):
        RunTable.read(path)


def test_a_foreign_table_of_incomparable_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FitError, match=r"share one eval_candidates .* 512 \(2 runs\) and 64 \(1\)"):
        RunTable.read(write(tmp_path / "runs.csv", FOREIGN | {"eval_candidates": [512, 512, 64]}))


def test_a_column_that_means_something_else_is_ignored_where_it_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.csv", FOREIGN | {"scale": [1, 2, 3], "max_length": ["a", "b", "c"]})
    with pytest.raises(FitError, match=r"share one scale .* fit them separately, or ignore .*: --columns scale=$"):
        RunTable.read(path, {"max_length": ""})
    table = RunTable.read(path, {"max_length": "", "scale": ""})
    assert (table.run_count, table.scale, table.max_length) == (3, None, None)


@pytest.mark.parametrize(
    "fields", [{"status": "no_gain", "loss": 3.0}, {"chance": None, "loss": 6.3}, {"chance": 3.0, "loss": 3.1}]
)
def test_runs_no_better_than_chance_are_left_out(fields: dict[str, object]) -> None:
    """They would bend the law of those that learned; so also in records older than that status."""
    first, *others = records()
    table = RunTable.of([changed(first, None, **fields), *others])
    assert table.run_count == len(others)
    assert table.listed == ("row 1: loss is no better than chance",)
    assert table.describe_dropped()[0] == "left out: loss is no better than chance (1)"


def test_runs_on_the_way_to_learning_count() -> None:
    first, *others = records()
    assert RunTable.of([changed(first, chance=None, loss=6.2), *others]).run_count == 4


@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet"])
def test_a_file_is_held_against_chance_where_it_says_what_chance_is(tmp_path: Path, name: str) -> None:
    def left(**columns: Sequence[object]) -> list[str]:
        table = RunTable.read(write(tmp_path / name, FOREIGN | columns))
        return [line.removesuffix(": loss is no better than chance") for line in table.listed]

    losses = {"loss": [2.8, 2.77, 2.5]}
    assert left(**losses) == [], "without candidates nothing is known"
    assert left(**losses, eval_candidates=[16.0] * 3) == ["row 1"], "ln 16 = 2.7726"
    assert left(**losses, eval_candidates=[16.0] * 3, eval_pairs=[32.0] * 3) == ["row 1", "row 2"]
    assert left(**losses, eval_candidates=[16.0] * 3, chance=[9.0, 2.6, 9.0]) == ["row 2"]
    assert left(**losses, status=["no_gain", "done", "done"]) == ["row 1"]
