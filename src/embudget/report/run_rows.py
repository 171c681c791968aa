"""The runs of a study as the page's script lists, sorts, filters and saves them: columns, and a row of values each."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from embudget.choices import methods_in_order
from embudget.methods import kind_of
from embudget.records import RunRecord, differing
from embudget.records.table import OF_TEXT, column_of, record_row


class Column(NamedTuple):
    """A column of the table."""

    name: str
    """In the file that the reader saves; that of `embudget records --csv` where it is there too."""
    label: str
    """Its heading on the page."""
    form: str
    """How the script writes its values: text, number (three digits), whole, or a number of decimals."""


_FIRST = (
    Column("model", "model", "text"),
    Column("method", "method", "text"),
    Column("budget", "budget, FLOP", "number"),
    Column("model_params", "N", "number"),
    Column("tokens", "tokens", "number"),
    Column("steps", "steps", "number"),
    Column("batch_size", "batch", "whole"),
    Column("learning_rate", "rate", "number"),
    Column("seed", "seed", "whole"),
)
_LAST = (
    Column("loss", "loss, nats", "3"),
    Column("loss_error", "± nats", "3"),
    Column("chance", "chance", "3"),
    Column("predicted_loss", "law, nats", "3"),
    Column("accuracy", "accuracy", "3"),
    Column("seconds", "seconds", "0"),
    Column("status", "status", "text"),
    Column("error", "reason", "text"),
    Column("id", "id", "text"),
)
_ALWAYS = {"model", "method", "budget", "loss", "status", "id"}
"""Columns that are there even if no run has a value in them."""


def run_rows(records: Sequence[RunRecord], predicted: Mapping[str, float]) -> dict[str, Any]:
    """The columns and rows of the table of runs, as JSON holds them.

    Args:
        records: the runs that are listed, in any order.
        predicted: run -> the loss that the law says of it, nats, where it says one.
    """
    also = [column_of(name) for name in differing(record.config for record in records)]
    known = {column.name for column in (*_FIRST, *_LAST)}
    columns = [*_FIRST, *(_also(name) for name in also if name not in known), *_LAST]
    names = [column.name for column in columns if column.name != "predicted_loss"]
    place_of = {method: place for place, method in enumerate(methods_in_order({one.config.method for one in records}))}
    ordered = sorted(
        records,
        key=lambda one: (place_of[one.config.method], one.config.train_flops, one.model_params or 0, one.id),
    )
    rows = []
    for record in ordered:
        row = record_row(record, names) | {"predicted_loss": predicted.get(record.id)}
        rows.append([row[column.name] for column in columns])
    kept = [
        place
        for place, column in enumerate(columns)
        if column.name in _ALWAYS or any(row[place] is not None for row in rows)
    ]
    return {
        "columns": [columns[place]._asdict() for place in kept],
        "rows": [[_short(row[place]) for place in kept] for row in rows],
        "kinds": {method: kind_of(method) for method in place_of},
    }


def _also(name: str) -> Column:
    """A column that is there because runs differ in it; as a text, so that the saved file holds no formula of it."""
    return Column(name, name.replace("_", " "), "text" if name in OF_TEXT else "whole")


def _short(value: Any) -> Any:  # noqa: ANN401 - a number or a text
    """A number to six digits, beyond which nothing of a measurement is known; whole numbers as they are."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
