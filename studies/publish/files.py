"""The files of a study's results: records as JSON lines, everything else as JSON."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from embudget.files import write_whole
from embudget.records import RunRecord
from embudget.study import Store


def read_records(folder: Path) -> list[RunRecord]:
    """Read `records.jsonl`, after adding what `study.db` has beyond it.

    A store is a binary file that git cannot compare, so the lines are what is committed. Lines are only ever added: a
    store that lost runs takes none away.
    """
    path = folder / "records.jsonl"
    records = read_lines(path) if path.exists() else []
    if (folder / "study.db").exists():
        known = {record.id for record in records}
        with Store(folder / "study.db") as store:
            records += [record for record in store.records() if record.id not in known]
        write_lines(path, sorted(records, key=lambda record: (record.config.train_flops, record.id)))
    return read_lines(path)


def read_lines(path: Path) -> list[RunRecord]:
    """Read the records of a file of JSON lines."""
    return [RunRecord.model_validate_json(line) for line in path.read_text().splitlines()]


def write_lines(path: Path, records: Iterable[RunRecord]) -> None:
    """Write records as JSON lines, whole or not at all."""
    write_whole(path, "".join(record.model_dump_json(exclude_none=True) + "\n" for record in records))


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a JSON file."""
    return json.loads(path.read_text())


def save_json(path: Path, value: Any) -> None:  # noqa: ANN401 - anything that JSON holds
    """Write a JSON file, whole or not at all."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
