"""Columns of runs: what a table of runs holds, whether it comes from records or from a file, and the CSV of records."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embudget.files import save_text
from embudget.records import RunRecord

Numbers = NDArray[np.float64]
Texts = NDArray[np.object_]
Mask = NDArray[np.bool_]
Rows = NDArray[np.intp]
Key = Numbers | Texts | Rows

COLUMNS = (
    "id", "status", "model", "method", "budget", "seed", "learning_rate", "batch_size", "model_params",
    "trained_params", "steps", "pairs_seen", "tokens", "train_flops", "executed_flops", "seconds", "loss", "accuracy",
    "ndcg", "train_loss", "pairs", "max_length", "eval_pairs", "eval_candidates", "scale", "warmup", "weight_decay",
    "max_epochs", "schedule", "decay", "pooling", "shared_flops", "error",
)  # fmt: skip
"""The columns of a table of records. `budget` is what was asked for, `train_flops` what was spent."""

SETTING = ("learning_rate", "batch_size", "warmup", "weight_decay", "max_epochs", "decay")
"""What is chosen of a run besides model, method, budget and seed, in numbers."""
WORDS = ("schedule", "pooling")
"""Likewise in words."""
MEASURED = ("steps", "pairs_seen", "seconds")
"""What a cell keeps the mean of, where it is known."""
COMPARABLE = ("max_length", "eval_pairs", "eval_candidates", "scale")
"""With the text pairs, what all runs must share for their losses to be comparable."""
NUMBERS = (
    "model_params", "loss", "tokens", "train_flops", "budget", "rank", "active_fraction", "seed", "weight",
    *SETTING, *MEASURED, *COMPARABLE,
)  # fmt: skip
"""The columns of numbers that are read."""
TEXTS = ("model", "method", "status", "pairs", *WORDS)
"""The columns of text that are read."""

RECORDS = "records"
"""The source of columns that come from records."""

_OF_CONFIG = {
    "model": "model", "method": "method", "budget": "train_flops", "seed": "seed", "learning_rate": "learning_rate",
    "batch_size": "batch_size", "pairs": "pairs", "max_length": "max_length", "eval_pairs": "eval_pairs",
    "eval_candidates": "eval_candidates", "scale": "scale", "warmup": "warmup", "weight_decay": "weight_decay",
    "max_epochs": "max_epochs", "schedule": "schedule", "decay": "decay", "pooling": "pooling",
}  # fmt: skip
"""Column -> field of the run's configuration."""


@dataclass(frozen=True)
class Columns:
    """Arrays of one length, an entry for each run; a column that the source does not have is absent."""

    source: str
    """What errors name: the file, or RECORDS."""
    rows: Rows
    """Number of the run in its source, from 1, a header not counted."""
    numbers: Mapping[str, Numbers]
    """NaN where there is no value."""
    empty: Mapping[str, Mask]
    """For each column of numbers, where there is no value; NaN elsewhere is one that the source says."""
    texts: Mapping[str, Texts]
    """Empty where there is no value."""

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, mask: Mask) -> "Columns":
        """The runs for which the mask holds."""
        return Columns(
            self.source,
            self.rows[mask],
            {name: values[mask] for name, values in self.numbers.items()},
            {name: values[mask] for name, values in self.empty.items()},
            {name: values[mask] for name, values in self.texts.items()},
        )

    def with_numbers(self, name: str, values: Numbers) -> "Columns":
        """The same runs with a column of numbers more, or another in its place."""
        empty = {**self.empty, name: np.isnan(values)}
        return Columns(self.source, self.rows, {**self.numbers, name: values}, empty, self.texts)

    def with_texts(self, name: str, values: Texts) -> "Columns":
        """The same runs with a column of text more, or another in its place."""
        return Columns(self.source, self.rows, self.numbers, self.empty, {**self.texts, name: values})


def group(*keys: Key) -> tuple[Rows, Rows]:
    """Group rows by equal keys, NaN equal to NaN: the first row of each group (groups,), and each row's group (n,)."""
    codes = np.zeros(len(keys[0]), dtype=np.intp)
    for key in keys:
        distinct, inverse = np.unique(key, return_inverse=True)
        _, codes = np.unique(codes * len(distinct) + inverse.reshape(-1), return_inverse=True)
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    return first, codes.reshape(-1)


def columns_of_records(records: Iterable[RunRecord]) -> Columns:
    """The columns of records, in their order."""
    every = list(records)
    numbers = {
        name: np.array([np.nan if value is None else value for value in _values(every, name)], dtype=np.float64)
        for name in NUMBERS
        if name in COLUMNS
    }
    texts = {name: _objects(_values(every, name)) for name in TEXTS}
    empty = {name: np.isnan(values) for name, values in numbers.items()}
    return Columns(RECORDS, np.arange(1, len(every) + 1), numbers, empty, texts)


def record_row(record: RunRecord) -> dict[str, Any]:
    """One record as a flat row, a value for each of `COLUMNS`; None where nothing was measured."""
    return {column: _value(record, column) for column in COLUMNS}


def write_records_csv(records: Iterable[RunRecord], path: str | Path) -> None:
    """Write records as a CSV that `RunTable.read` reads to the same table, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(record_row(record) for record in records)
    save_text(path, text.getvalue())


def _value(record: RunRecord, column: str) -> Any:  # noqa: ANN401 - a number or a text, by the column
    if column == "decay" and record.config.schedule == "cosine":
        return None  # it has none
    return getattr(record.config, _OF_CONFIG[column]) if column in _OF_CONFIG else getattr(record, column)


def _values(records: list[RunRecord], column: str) -> list[Any]:
    return [_value(record, column) for record in records]


def _objects(values: list[Any]) -> Texts:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
