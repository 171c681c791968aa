"""Rows of very many runs, read in bulk: the same as those of records, and damage is refused as ever."""

import json
from pathlib import Path
from typing import Any

import pytest

from embudget.errors import StoreError
from embudget.records import COLUMNS, RunRecord
from embudget.records.stored import row_of, stored_row

RESULTS = Path(__file__).parents[1] / "results"
FILES = sorted(RESULTS.glob("*/records.jsonl"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_the_rows_of_all_published_records_are_those_of_the_records(file: Path) -> None:
    """They were written by many versions: fields are missing, and methods and poolings are spelled in old ways."""
    for line in file.read_text().splitlines()[::3]:
        record = RunRecord.read(json.loads(line), "record")
        stored, made = stored_row(record.id, line, "record", StoreError), row_of(record)
        assert {name: stored[name] for name in COLUMNS} == {name: made[name] for name in COLUMNS}
        assert {name: tuple(score) for name, score in stored["groups"].items()} == made["groups"]


def text(**changes: Any) -> str:  # noqa: ANN401 - whatever a damaged row holds
    config = {
        "model": "smollm2-135m:2", "method": "full", "train_flops": 1e12, "pairs": "0" * 16, "batch_size": 16,
        "learning_rate": 1e-3,
    }  # fmt: skip
    return json.dumps({"config": config, "status": "done", "loss": 3.0} | changes)


@pytest.mark.parametrize(
    "damaged",
    [
        "", "{", "[]", "3", '{"config": 1}', text(loss="much"), text(loss=[3.0]), text(config={}), text(status=None),
        text(status=["done"]), text(groups={"a": [1]}), text().replace("3.0", "NaN"),
        text().replace('"full"', '"half"'),
    ],
)  # fmt: skip
def test_a_damaged_row_is_refused_with_the_message_of_a_record(damaged: str) -> None:
    with pytest.raises(StoreError, match=r"^store: run 3f0c: ") as refused:
        stored_row("3f0c", damaged, "store: run 3f0c", StoreError)
    assert "\n" not in str(refused.value)


def test_a_value_of_another_type_that_means_the_same_is_read_as_a_record_reads_it() -> None:
    assert stored_row("3f0c", text(loss="3.5", seconds=2), "row", StoreError)["loss"] == 3.5
