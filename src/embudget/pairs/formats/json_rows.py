"""Pairs in JSON: an object a line, or one array of objects in a file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embudget.errors import PairsError
from embudget.pairs.cells import BadRow, json_type
from embudget.pairs.columns import Record, Table
from embudget.pairs.formats.lines import read_lines, read_pieces, wrong_byte
from embudget.pairs.layouts import listed
from embudget.reading import unique_keys

_MOST = 2**30
"""Characters of a file that holds one array, because parsing it takes several times as much memory at once."""
_SHAPES = 'an array of objects, {"data": [...]}, or one object a line'


def rows_of_jsonl(path: Path, table: Table) -> Iterator[Record]:
    """Read an object a line; empty lines are passed over.

    Raises:
        PairsError, OSError: the file cannot be read.
    """
    for number, line in read_lines(path):
        if line.strip():
            yield f"line {number}", _object(path, line)


def rows_of_json(path: Path, table: Table) -> Iterator[Record]:
    """Read an array of objects, alone or under the key `data`, or what is in truth an object a line.

    Raises:
        PairsError: it is none of them, or is too large.
        OSError: the file cannot be read.
    """
    if _has_object_lines(path):
        yield from rows_of_jsonl(path, table)
        return
    pieces: list[str] = []
    length = 0
    for piece in read_pieces(path):
        length += len(piece)
        if length > _MOST:
            raise PairsError(f"{path}: larger than {_MOST:,} characters; write one object a line, as .jsonl")
        pieces.append(piece)
    text = "".join(pieces)
    if not text.strip():
        return
    wrong = wrong_byte(path, text)
    if wrong:
        raise PairsError(f"{path}: {wrong}")
    rows = _parse(text)
    if isinstance(rows, BadRow):
        raise PairsError(f"{path}: {rows}")
    if isinstance(rows, dict) and isinstance(rows.get("data"), list):
        rows = rows["data"]
    if not isinstance(rows, list):
        keys = f" with {listed(list(rows))}" if isinstance(rows, dict) else ""
        raise PairsError(f"{path}: must be {_SHAPES}, got {json_type(rows)}{keys}")
    for number, row in enumerate(rows, start=1):
        yield f"item {number}", row if isinstance(row, dict) else BadRow(f"must be a JSON object, got {json_type(row)}")


def _has_object_lines(path: Path) -> bool:
    """Whether the first two lines that are not empty are an object each."""
    lines = (line for _, line in read_lines(path) if line.strip())
    try:
        first, second = next(lines, ""), next(lines, "")
    except PairsError:  # an array in one long line
        return False
    return bool(second) and first.lstrip().startswith("{") and isinstance(_parse(first), dict)


def _object(path: Path, line: str) -> dict[str, Any] | BadRow:
    wrong = wrong_byte(path, line)
    if wrong:
        return BadRow(wrong)
    row = _parse(line)
    if isinstance(row, dict | BadRow):
        return row
    return BadRow(f"must be a JSON object, got {json_type(row)}")


def _parse(text: str) -> Any:  # noqa: ANN401 - whatever the file held
    try:
        return json.loads(text, object_pairs_hook=unique_keys)  # NaN is let through: it is a common score
    except ValueError as error:
        return BadRow(f"not valid JSON: {error}")
    except RecursionError:
        return BadRow("JSON nested too deeply")
