"""Files of runs: ours and foreign ones, CSV and Parquet, good and bad."""

from collections.abc import Sequence
from pathlib import Path
from time import process_time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.design import World, simulate
from embudget.errors import ConfigError
from embudget.laws import Coefficients
from embudget.records import RunRecord
from embudget.runs import COLUMNS, RunTable, read, record_row, write_records_csv
from embudget.runs.read import MAX_BYTES
from tests.runs.tables import FOREIGN, write

WORLD = World(
    truth={"full": Coefficients(E=1.5, A=300, a=0.35, B=250, b=0.4), "lora:8": Coefficients(E=1, A=9, a=1, B=9, b=1)},
    models=("smollm2-135m:1", "smollm2-135m:4"),
    budgets=(1e12, 4e12),
    seeds=3,
)


def columns_of(records: Sequence[RunRecord]) -> dict[str, list[object]]:
    rows = [record_row(record) for record in records]
    return {name: [row[name] for row in rows] for name in COLUMNS}


def study() -> list[RunRecord]:
    """Repeated seeds, a failed run whose error has a comma and a line break, a duplicate and a run without a loss."""
    records = simulate(WORLD)
    config = records[0].config.model_copy(update={"seed": 7})
    failed = RunRecord(config=config, status="failed", error='a, "b"\nc')
    return [*records, failed, records[3], records[4].model_copy(update={"loss": None})]


def test_the_csv_of_records_is_the_table_of_the_records(tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    write_records_csv(study(), path)
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    read = RunTable.read(path)
    assert read == RunTable.of(study())
    assert read.dropped == {"status is not done": 1, "duplicate": 1, "loss is missing": 1}
    assert (read.pairs, read.max_length, read.eval_pairs, read.scale) == ("simulated", 75, 1024, 40)
    assert read.yardstick == "groups"


def test_the_csv_keeps_the_schedules(tmp_path: Path) -> None:
    first, second, *rest = simulate(WORLD)
    config = second.config.model_copy(update={"schedule": "wsd", "decay": 0.1})
    mixed = [first, second.model_copy(update={"config": config}), *rest]
    write_records_csv(mixed, tmp_path / "records.csv")
    table = RunTable.read(tmp_path / "records.csv")
    assert table == RunTable.of(mixed)
    assert {(cell.schedule, cell.decay) for cell in table.cells} == {("cosine", None), ("wsd", 0.1)}


def test_a_parquet_file_of_records_is_the_table_of_the_records(tmp_path: Path) -> None:
    assert RunTable.read(write(tmp_path / "records.parquet", columns_of(study()))) == RunTable.of(study())


def test_what_a_table_does_not_say_is_unknown(tmp_path: Path) -> None:
    kept = ("model", "method", "budget", "model_params", "tokens", "train_flops", "loss")
    every = columns_of(simulate(WORLD))
    table = RunTable.read(write(tmp_path / "runs.csv", {name: every[name] for name in kept}))
    known = RunTable.of(simulate(WORLD))
    assert [cell.loss for cell in table.cells] == [cell.loss for cell in known.cells]
    assert {cell.seeds for cell in table.cells} == {3}  # without a seed column
    assert (table.pairs, table.eval_pairs, table.scale, table.tokens_per_pair) == (None, None, None, None)
    assert table.cells[0].learning_rate is table.cells[0].steps is table.cells[0].batch_size is None


@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet"])
def test_a_foreign_table_is_mapped(tmp_path: Path, name: str) -> None:
    foreign: dict[str, Sequence[object]] = {
        "Model Size": FOREIGN["model_params"],
        " C ": FOREIGN["train_flops"],
        "eval": FOREIGN["loss"],
        "loss": ["x", "y", "z"],
        "note": ["a", "b", "c"],
    }
    path = write(tmp_path / name, foreign)
    table = RunTable.read(path, {"model_params": "Model Size", "train_flops": "C", "loss": "eval"})
    assert [cell.model for cell in table.cells] == ["N=1e+07", "N=2e+07", "N=4e+07"]
    assert [cell.loss for cell in table.cells] == FOREIGN["loss"]
    assert [cell.tokens for cell in table.cells] == [1e7, 5e6, 2.5e6]
    assert {cell.method for cell in table.cells} == {"full"}
    assert table.budgets == (6e14,)


def test_spaces_a_byte_order_mark_and_other_spellings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(b"\xef\xbb\xbfmodel_params,tokens,loss,seed\r\n 1e7 , +5e8,2.5,NA\r\n\r\n2E7,5e8,2.25,\r\n")
    table = RunTable.read(path)
    assert [(cell.model_params, cell.tokens, cell.loss) for cell in table.cells] == [(1e7, 5e8, 2.5), (2e7, 5e8, 2.25)]
    assert table.cells[0].train_flops == 6 * 1e7 * 5e8


def test_parquet_types_of_other_libraries_are_read(tmp_path: Path) -> None:
    columns = {
        "model_params": pa.array(["1e7", None], pa.large_string()),
        "tokens": pa.array([5, 7], pa.uint8()),
        "loss": pa.array([2.5, 2.25], pa.float32()),
        "method": pa.array(["full", "bias"]).dictionary_encode(),
        "model": pa.array([1, 2]),
    }
    pq.write_table(pa.table(columns), tmp_path / "runs.parquet")
    table = RunTable.read(tmp_path / "runs.parquet")
    assert [(cell.model, cell.tokens, cell.loss) for cell in table.cells] == [("1", 5, 2.5)]
    assert table.listed == ("row 2: model_params is missing",)


def test_one_column_may_stand_for_another_that_is_mapped_elsewhere(tmp_path: Path) -> None:
    """`loss` holds the tokens, and the loss is in another column."""
    path = write(tmp_path / "runs.csv", {"model_params": [1e7], "loss": [1e9], "val": [2.5]})
    (cell,) = RunTable.read(path, {"tokens": "loss", "loss": "val"}).cells
    assert (cell.tokens, cell.loss) == (1e9, 2.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": [3.0, 2.9, "good"]}, "row 3: loss must be a number, got 'good'"),
        ({"loss": ["1,5", 2.9, 2.8]}, "row 1: loss must be a number, got '1,5'"),
        ({"model_params": [1e7, "7B", 4e7]}, "row 2: model_params must be a number, got '7B'"),
        ({"learning_rate": [1e-3, 1e-3, "high"]}, "row 3: learning_rate must be a number, got 'high'"),
        ({"method": ["full", "lora", "full"]}, "row 2: method must be full, bias, .* got 'lora'"),
        ({"method": ["full", "lora:0", "full"]}, "row 2: rank of lora must be >= 1, got 0"),
        ({"rank": [1, 2, 3]}, "column rank needs a column method"),
    ],
)
def test_a_bad_value_is_named_with_row_and_column(
    tmp_path: Path, changes: dict[str, Sequence[object]], message: str
) -> None:
    path = write(tmp_path / "runs.csv", FOREIGN | changes)
    with pytest.raises(ConfigError, match=message) as error:
        RunTable.read(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("model_params,loss,tokens\n", "the table has no rows"),
        ("model_params,loss,tokens", "the table has no rows"),
        ("loss,tokens\n1,2\n", "column model_params is missing .there are: loss, tokens.; .* model_params=NAME"),
        ("model_params,eval_loss,tokens\n1,2,3\n", "column loss is missing"),
        ("model_params,loss,method\n1,2,full\n", "column tokens or train_flops is missing"),
        ("model_params;loss\n1;2\n", "column tokens or train_flops is missing .there are: model_params, loss"),
        ("model_params,loss,tokens,loss\n1,2,3,4\n", "column loss is there twice"),
        ("model_params,loss,tokens,,\n1,2,3,4,5\n", "column without a name is there twice"),
        ("model_params,loss,tokens\n1,2\n", "not a CSV file: Expected 3 columns, got 2"),
        ("a text that is no table at all\nand goes on\n", "column model_params is missing"),
    ],
)
def test_a_broken_table_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        RunTable.read(path)
    assert "\n" not in str(error.value)


def test_an_unreadable_table_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "late.csv").write_bytes(b"model_params,loss,tokens,model\n1,2,3,\xff\n")
    (tmp_path / "text.parquet").write_text("model_params,loss\n")
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "folder.csv").mkdir()
    pq.write_table(pa.table({name: pa.array([], pa.float64()) for name in FOREIGN}), tmp_path / "rows.parquet")
    pq.write_table(pa.table({name: [[1.0]] for name in FOREIGN}), tmp_path / "lists.parquet")
    pq.write_table(pa.table({name: [True] for name in FOREIGN}), tmp_path / "bool.parquet")
    for name, message in {
        "missing.csv": "cannot read .*missing.csv: No such file",
        "folder.csv": "cannot read .*folder.csv: it is a folder",
        "binary.csv": "not a UTF-8 text file",
        "late.csv": "not a UTF-8 text file",
        "text.parquet": "not a Parquet file",
        "empty.parquet": "not a Parquet file",
        "rows.parquet": "the table has no rows",
        "lists.parquet": "column model_params must hold numbers, got list",
        "bool.parquet": "column model_params must hold numbers, got bool",
        "runs.xlsx": "must end in .csv, .tsv, .jsonl, .ndjson or .parquet: save the sheet as CSV",
        "runs.json": "or .parquet: write one JSON object a line to a file that ends in .jsonl",
        "runs.csv.gz": "or .parquet: unpack it first",
        "runs.text": "must end in .csv, .tsv, .jsonl, .ndjson or .parquet$",
    }.items():
        with pytest.raises(ConfigError, match=message) as error:
            RunTable.read(tmp_path / name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"loss": "val"}, "there is no column 'val' for loss .there are: model_params, train_flops, loss"),
        ({"losses": "loss"}, "columns must map one of model_params, loss, .* got 'losses'"),
        ({"tokens": "loss"}, "column 'loss' cannot be both loss and tokens: map one of them to another column"),
        ({"loss": ""}, "column loss is missing"),
        ({"scale": ""}, "there is no column 'scale' to ignore .there are: model_params, train_flops, loss"),
    ],
)
def test_a_mapping_of_names_that_are_not_there_is_refused(
    tmp_path: Path, mapping: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        RunTable.read(write(tmp_path / "runs.csv", FOREIGN), mapping)


@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet"])
def test_a_file_above_a_gigabyte_is_refused_unread(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(2 * MAX_BYTES)  # a hole, which takes no space
    with pytest.raises(ConfigError, match=r"2 GB, more than the 1 GB that is read: keep one row a run"):
        RunTable.read(tmp_path / name)


def test_a_small_file_of_very_many_rows_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "runs.parquet", {name: np.ones(45_000).tolist() for name in FOREIGN})
    monkeypatch.setattr(read, "MAX_BYTES", 1_000_000)
    assert path.stat().st_size < 1e5
    with pytest.raises(ConfigError, match=r"0\.00108 GB, more than the 0\.001 GB"):
        RunTable.read(path)


@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet"])
def test_a_hundred_thousand_rows_are_read_in_seconds(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    n = 100_000
    size = rng.choice(np.geomspace(1e7, 1e10, 100).round(), n)
    columns = {
        "model_params": size, "train_flops": 10.0 ** rng.integers(17, 22, n), "seed": rng.integers(0, 5, n),
        "loss": (1.5 + 400 / size**0.34) * rng.uniform(1, 1.1, n), "learning_rate": rng.choice([1e-3, 1e-4], n),
        "method": rng.choice(["full", "lora:32"], n),
    }  # fmt: skip
    path = write(tmp_path / name, {column: values.tolist() for column, values in columns.items()})
    started = process_time()
    table = RunTable.read(path)
    assert process_time() - started < 5
    assert table.run_count == n
    assert len(table.cells) == 100 * 5 * 2


def test_thousands_of_envelopes_are_found_in_seconds(tmp_path: Path) -> None:
    """A step of Python for each of them must be a short one: pandas in it took eight times as long."""
    n, rates = 3_000, np.array([3e-4, 1e-3, 3e-3])
    size = np.repeat(np.geomspace(1e6, 1e9, n), 3)
    rate = np.tile(rates, n)
    loss = np.exp(1 + 0.02 * np.log(rate / 8e-4) ** 2)
    columns = {"model_params": size, "tokens": 20 * size, "budget": size**2, "learning_rate": rate, "loss": loss}
    path = tmp_path / "runs.parquet"
    pq.write_table(pa.table(columns), path)
    started = process_time()
    table = RunTable.read(path)
    assert process_time() - started < 3
    assert len(table.cells) == n
    assert {cell.rate_inside for cell in table.cells} == {True}
    assert [cell.learning_rate for cell in table.cells] == pytest.approx([8e-4] * n)
