"""Records as a flat table: one row a run, for files of numbers and data frames."""

import csv
import io
from array import array
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from embudget.files import save_text
from embudget.records.config import RunConfig
from embudget.records.record import RunRecord

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final = (
    "id", "status", "model", "method", "budget", "seed", "learning_rate", "batch_size", "model_params",
    "trained_params", "steps", "pairs_seen", "tokens", "train_flops", "executed_flops", "seconds", "loss", "chance",
    "accuracy", "ndcg", "train_loss", "pairs", "max_length", "eval_pairs", "eval_candidates", "scale", "warmup",
    "weight_decay", "max_epochs", "schedule", "decay", "pooling", "end_token", "model_weights", "shared_flops", "error",
    "training_pairs", "yardstick", "negatives", "loss_error", "query_prompt", "document_prompt", "attention",
    "matryoshka", "train_precision", "eval_scale", "lineage", "base_loss", "base_ndcg", "remarks",
)  # fmt: skip
"""The columns of a table of records. `budget` is the FLOP that were asked for, `train_flops` those that were spent."""
OF_TEXT = (
    "id", "status", "model", "method", "pairs", "schedule", "pooling", "end_token", "model_weights", "error",
    "yardstick", "query_prompt", "document_prompt", "attention", "matryoshka", "train_precision", "eval_scale",
    "lineage", "remarks",
)  # fmt: skip
OF_CONFIG = {"budget": "train_flops", "model_weights": "weights", "train_precision": "precision"} | {
    name: name for name in COLUMNS if name in RunConfig.model_fields and name != "train_flops"
}
"""Field of the configuration by its column; all other columns are fields of the record."""


def column_of(field: str) -> str:
    """The column of a field of the configuration."""
    return next(column for column, name in OF_CONFIG.items() if name == field)


def record_row(record: RunRecord, columns: Sequence[str] = COLUMNS) -> dict[str, Any]:
    """One record as a flat row, with a value for each of `COLUMNS` or of some; None where nothing was measured."""
    return {column: _value(record, column) for column in columns}


def records_frame(records: Iterable[RunRecord], columns: Sequence[str] = COLUMNS) -> "pd.DataFrame":
    """Records as a table, one row a run, in their order.

    Every column of numbers is of floats, NaN where nothing was measured, so that a table looks the same whatever its
    runs have measured; a text that is not there is None.
    """
    return rows_frame((record_row(record, columns) for record in records), columns)


def rows_frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> "pd.DataFrame":
    """Flat rows as a table like that of `records_frame`; each row is let go before the next is asked for."""
    import pandas as pd

    numbers = {name: array("d") for name in columns if name not in OF_TEXT}
    texts: dict[str, list[str | None]] = {name: [] for name in columns if name in OF_TEXT}
    known: dict[str | None, str | None] = {}  # most texts are there many times: each is kept once
    for row in rows:
        for name, values in numbers.items():
            value = row[name]
            values.append(nan if value is None else value)
        for name, words in texts.items():
            word = row[name]
            words.append(known.setdefault(word, word))
    found = {
        name: pd.Series(texts[name], dtype=object) if name in texts else pd.Series(np.array(numbers[name], dtype=float))
        for name in columns
    }
    return pd.DataFrame(found)


def _value(record: RunRecord, column: str) -> Any:  # noqa: ANN401 - a number or a text, by the column
    if column == "decay" and record.config.schedule == "cosine":
        return None  # a cosine has no decay: the configuration keeps the default of wsd
    if column == "end_token":
        return "yes" if record.config.end_token else "no"
    if column == "chance":
        return None if record.loss is None else record.by_chance
    if column == "matryoshka":
        return ",".join(map(str, record.config.matryoshka))
    if column == "remarks":
        return " ".join(record.remarks)
    return getattr(record.config, OF_CONFIG[column]) if column in OF_CONFIG else getattr(record, column)


def write_records_csv(records: Iterable[RunRecord], path: str | Path) -> None:
    """Write records as a CSV that `embudget.runs.RunTable.read` reads to the same cells, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    write_rows_csv(map(record_row, records), path)


def write_rows_csv(rows: Iterable[Mapping[str, Any]], path: str | Path) -> int:
    """Write flat rows as `write_records_csv` does, and return how many.

    Raises:
        ConfigError: the file cannot be written.
    """
    text, count = io.StringIO(newline=""), 0
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row)
        count += 1
    save_text(path, text.getvalue())
    return count
