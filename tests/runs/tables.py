"""Runs to make cells of: records of a small simulated study, and files as others might write them."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from embudget.laws import Coefficients
from embudget.records import RunRecord
from embudget.runs import RunTable
from embudget.simulate import World, simulate

WORLD = World(
    truth={"full": Coefficients(E=1.5, A=300, a=0.35, B=250, b=0.4)},
    models=("smollm2-135m:1", "smollm2-135m:4"),
    budgets=(1e12, 4e12),
)
FOREIGN = {"model_params": [1e7, 2e7, 4e7], "train_flops": [6e14, 6e14, 6e14], "loss": [3.0, 2.9, 2.8]}


def records() -> list[RunRecord]:
    return simulate(WORLD)


def changed(record: RunRecord, config: dict[str, object] | None = None, **fields: object) -> RunRecord:
    data = record.model_dump() | fields
    return RunRecord.model_validate(data | {"config": data["config"] | (config or {})})


def write(path: Path, columns: Mapping[str, Sequence[object]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
        return path
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def foreign(tmp_path: Path, rows: Sequence[Mapping[str, object]]) -> RunTable:
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), tmp_path / "runs.parquet")
    return RunTable.read(tmp_path / "runs.parquet")
