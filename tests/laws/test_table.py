"""Records as a table: what counts, what is dropped, what is refused."""

import csv
from pathlib import Path

import pytest

from embudget.errors import ConfigError, FitError, TooFewRunsError
from embudget.laws import COLUMNS, Coefficients, RunTable, read_records_csv, record_row, write_records_csv
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


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_unusable_records_are_dropped_and_counted() -> None:
    first, second, third, fourth = records()
    failed = RunRecord(config=first.config.model_copy(update={"seed": 1}), status="failed", error="out of memory")
    table = RunTable.of(
        [first, first, failed, changed(second, loss=None), changed(third, loss=0.0), changed(fourth, tokens=None)]
    )
    assert [run.id for run in table.runs] == [first.id]
    assert table.dropped == {
        "duplicate": 1, "failed": 1, "without a loss": 1, "with a loss of 0": 1, "without tokens": 1,
    }  # fmt: skip


def test_no_usable_record_is_refused_with_the_reasons() -> None:
    failed = [changed(record, status="failed") for record in records()]
    with pytest.raises(TooFewRunsError, match="got 4 failed"):
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
    assert cell.run.learning_rate == 1e-3
    assert cell.loss == pytest.approx((3.0 * 3.4) ** 0.5)
    assert len(table.runs) == 4


@pytest.mark.parametrize("setting", ["warmup", "weight_decay", "max_epochs"])
def test_runs_of_another_setting_are_no_seeds(setting: str) -> None:
    base = records()[0]
    other = changed(base, {setting: getattr(base.config, setting) * 2}, loss=9.0)
    (cell,) = RunTable.of([base, other]).cells
    assert [run.id for run in cell.runs] == [base.id]


def test_tokens_per_pair_is_that_of_the_world() -> None:
    assert RunTable.of(records()).tokens_per_pair == pytest.approx(WORLD.tokens_per_pair)


def test_csv_gives_the_same_records_back(tmp_path: Path) -> None:
    failed = RunRecord(config=records()[0].config.model_copy(update={"seed": 7}), status="failed", error="a, b\nc")
    given = [*records(), failed]
    path = tmp_path / "records.csv"
    write_records_csv(given, path)
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert read_records_csv(path) == given


def test_csv_needs_only_the_required_columns(tmp_path: Path) -> None:
    kept = ("model", "method", "budget", "learning_rate", "batch_size", "pairs", "model_params", "pairs_seen", "tokens",
            "train_flops", "loss")  # fmt: skip
    rows = [{column: record_row(record)[column] for column in kept} for record in records()]
    read = read_records_csv(write(tmp_path / "records.csv", rows))
    assert RunTable.of(read).cells == RunTable.of(records()).cells


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("loss", "good", "line 3: loss: .*valid number.*got 'good'"),
        ("loss", "nan", "line 3: loss: .*got 'nan'"),
        ("budget", "-1e12", "line 3: budget: .*greater than 0.*got '-1e12'"),
        ("tokens", "1.5", "line 3: tokens: .*got '1.5'"),
        ("method", "lora:0", "line 3: method: rank of lora must be >= 1"),
        ("model", "", "line 3: model: .*required, got ''"),
    ],
)
def test_a_bad_value_is_named_with_line_and_column(tmp_path: Path, column: str, text: str, message: str) -> None:
    rows = [record_row(record) for record in records()]
    rows[1][column] = text
    with pytest.raises(ConfigError, match=message) as error:
        read_records_csv(write(tmp_path / "records.csv", rows))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column model is missing"),
        ("model,loss\nx,1\n", "column method is missing"),
        (",".join(COLUMNS) + ",colour\n", "'colour' is not a known column"),
        (",".join(COLUMNS) + ",loss\n", "column loss is there twice"),
        (",".join(COLUMNS) + "\n1,2\n", "line 2: the row has more or fewer values"),
        (",".join(COLUMNS) + '\n"1\n', "not a CSV file"),
    ],
)
def test_a_broken_table_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "records.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_records_csv(path)
    assert "\n" not in str(error.value)


def test_an_unreadable_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_records_csv(tmp_path / "missing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a UTF-8 text file"):
        read_records_csv(tmp_path / "binary.csv")
