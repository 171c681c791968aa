"""The files of a study's results: records as JSON lines, other values as JSON, and the words that tables use."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from embudget.files import write_whole
from embudget.records import RunRecord
from embudget.study import Store


def read_records(folder: Path) -> list[RunRecord]:
    """The study's records as JSON lines, which can be committed; what its store has beyond them is added."""
    path = folder / "records.jsonl"
    records = read_lines(path) if path.exists() else []
    if (folder / "study.db").exists():
        known = {record.id for record in records}
        with Store(folder / "study.db") as store:
            records += [record for record in store.records() if record.id not in known]
        write_lines(path, sorted(records, key=lambda record: (record.config.train_flops, record.id)))
    return read_lines(path)


def read_lines(path: Path) -> list[RunRecord]:
    """The records of a file of JSON lines."""
    return [RunRecord.model_validate_json(line) for line in path.read_text().splitlines()]


def write_lines(path: Path, records: Iterable[RunRecord]) -> None:
    """Write records as JSON lines, whole or not at all."""
    write_whole(path, "".join(record.model_dump_json(exclude_none=True) + "\n" for record in records))


def read_forecast(folder: Path) -> dict[str, Any]:
    """The forecast, with the rivals that were added among its own."""
    forecast: dict[str, Any] = json.loads((folder / "forecast.json").read_text())
    added = folder / "added.json"
    more = json.loads(added.read_text())["rivals"] if added.exists() else []
    return forecast | {"rivals": [*forecast["rivals"], *more]}


def save(path: Path, value: Any) -> None:  # noqa: ANN401 - anything that JSON holds
    """Write as JSON, whole or not at all."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def loss_or_chance(record: RunRecord) -> float | None:
    """The held-out loss in nats; of a run that diverged that of chance, and None where it failed."""
    return math.log(record.config.eval_candidates) if record.status == "diverged" else record.loss


def member(model: str) -> str:
    """Which member: its depth where it is a cut model."""
    depth = model.rpartition(":")[2]
    return model if not depth.isdigit() else f"{depth} block" if depth == "1" else f"{depth} blocks"
