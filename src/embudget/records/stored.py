"""The JSON of a record as a flat row, without making a `RunRecord` of it: for tables of very many runs.

What a store holds was checked when it was written. So a row takes the values as they are, which is five times as fast
and needs a tenth of the memory. Only the types are looked at; where one is wrong, or anything is missing, the record is
read and checked as a whole, so that a damaged row is refused with the same message as ever. The rules for numbers
(a loss is not negative, ...) and keys that are there twice are not looked at again.
"""

from functools import lru_cache
from math import isnan, log
from operator import itemgetter
from typing import Any, get_args

from pydantic_core import from_json

from embudget.errors import EmbudgetError
from embudget.methods import parse_method
from embudget.reading import parse_json
from embudget.records.config import RunConfig, canonical_pooling
from embudget.records.groups import GroupScore, standard_error
from embudget.records.record import RunRecord
from embudget.records.table import COLUMNS, OF_CONFIG, OF_TEXT, record_row

_CONFIG: dict[str, Any] = {
    name: field.default for name, field in RunConfig.model_fields.items() if not field.is_required()
} | {"end_token": False, "yardstick": "first"}
"""What a configuration means that does not say: see `RunRecord`."""
_FROM_CONFIG = tuple((column, OF_CONFIG[column]) for column in COLUMNS if column in OF_CONFIG)
_FROM_RECORD = tuple(
    column for column in COLUMNS if column not in OF_CONFIG and column not in ("id", "chance", "loss_error", "remarks")
)
_numbers = itemgetter(*(column for column in COLUMNS if column not in OF_TEXT))
_texts = itemgetter(*OF_TEXT)
_KINDS_OF_NUMBERS, _KINDS_OF_TEXTS = {int, float, type(None)}, {str, type(None)}
_STATUSES = frozenset(get_args(RunRecord.model_fields["status"].annotation))
_SCORES = len(GroupScore._fields)

Row = dict[str, Any]
"""The values of `COLUMNS`; `groups`, held-out group -> its pairs, their mean loss in nats and mean nDCG@10; and
`provenance`, the fields of `Provenance` or None."""


def stored_row(run: str, text: str, source: str, kind: type[EmbudgetError]) -> Row:
    """The flat row of a record, as `record_row` makes it, with its groups.

    Args:
        run: its id.
        text: its JSON.
        source: begins the message where it is damaged.
        kind: which error to raise then.

    Raises:
        ``kind``: the text is no record.
    """
    try:
        row = _row(run, from_json(text, allow_inf_nan=False))
        if _is_plain(row):
            return row
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, EmbudgetError):
        pass  # said below
    return row_of(RunRecord.read(parse_json(text, source, kind), source, kind)) | {"id": run}


def row_of(record: RunRecord) -> Row:
    """The flat row of a record."""
    origin = None if record.provenance is None else record.provenance.model_dump()
    return record_row(record) | {"groups": record.groups, "provenance": origin}


def _row(run: str, data: dict[str, Any]) -> Row:
    config = _CONFIG | data["config"]
    row: Row = {column: config[field] for column, field in _FROM_CONFIG}
    for column in _FROM_RECORD:
        row[column] = data.get(column)
    row["id"] = run
    row["provenance"] = data.get("provenance")
    row["method"] = _canonical(row["method"])
    row["pooling"] = canonical_pooling(row["pooling"])
    row["end_token"] = "yes" if row["end_token"] else "no"
    row["matryoshka"] = ",".join(map(str, row["matryoshka"]))
    row["remarks"] = " ".join(data.get("remarks", ()))
    if row["schedule"] == "cosine":
        row["decay"] = None
    chance = data.get("chance")
    row["chance"] = None if row["loss"] is None else log(config["eval_candidates"]) if chance is None else chance
    groups = row["groups"] = data.get("groups", {})
    row["loss_error"] = None
    if len(groups) > 1:
        scores = groups.values()
        error = standard_error([one[0] for one in scores], [one[1] for one in scores])
        row["loss_error"] = None if isnan(error) else error
    return row


def _is_plain(row: Row) -> bool:
    """Whether every value is of the kind that its column has."""
    if row["status"] not in _STATUSES or any(len(score) != _SCORES for score in row["groups"].values()):
        return False
    return _KINDS_OF_NUMBERS.issuperset(map(type, _numbers(row))) and _KINDS_OF_TEXTS.issuperset(map(type, _texts(row)))


@lru_cache(maxsize=4096)
def _canonical(method: str) -> str:
    return str(parse_method(method))
