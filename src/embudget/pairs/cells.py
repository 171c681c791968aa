"""The value of one cell of the user's table, as texts or as a score, whatever JSON or Parquet can hold.

Each reader takes the value and the name of its column, which messages name, and raises `BadRow` for a value that is not
what the column should hold. The readers of documents return a list, because one cell may hold several.
"""

import json
import math
import re
from typing import Any

MOST_CHARACTERS = 10_000_000
"""A longer text is refused: it is a file in a cell, and no model reads a thousandth of it."""
_HALF = re.compile("[\ud800-\udfff]")


class BadRow(Exception):
    """What is wrong with one row. Readers yield it instead of a record, so that they can go on with the next row."""


def text(value: Any, column: str) -> str:  # noqa: ANN401 - whatever the file held
    """Take a text that can be written.

    Raises:
        BadRow: it is no string, is too long, or holds half a character.
    """
    if not isinstance(value, str):
        raise BadRow(f"column {column!r} must be a string, got {json_type(value)}")
    if len(value) > MOST_CHARACTERS:
        raise BadRow(f"column {column!r} must have at most {MOST_CHARACTERS:,} characters, got {len(value):,}")
    if not value.isascii() and _HALF.search(value):
        raise BadRow(f"column {column!r} holds half of a surrogate pair, which is no character")
    return value


def one_text(value: Any, column: str) -> list[str]:  # noqa: ANN401
    """Take the one document of a cell."""
    return [text(value, column)]


def text_list(value: Any, column: str) -> list[str]:  # noqa: ANN401
    """Take a list of documents, as FlagEmbedding writes `pos` and `neg`."""
    if not isinstance(value, list):
        raise BadRow(f"column {column!r} must be a list of strings, got {json_type(value)}")
    return [text(item, column) for item in value]


def text_or_list(value: Any, column: str) -> list[str]:  # noqa: ANN401
    """Take the negatives of a cell: a text, a list of texts, or nothing.

    A table of text has no lists, so a text that begins with a bracket in a column `negatives` must be a list in JSON.
    """
    if value is None or value == "":
        return []
    if isinstance(value, str) and column == "negatives" and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise BadRow(f"column {column!r} must hold a text or a list of texts in JSON, got {value[:40]!r}") from None
    if isinstance(value, str | list):
        return text_list(value, column) if isinstance(value, list) else [text(value, column)]
    raise BadRow(f"column {column!r} must be a string or a list of strings, got {json_type(value)}")


def passages(value: Any, column: str) -> list[str]:  # noqa: ANN401
    """Take the passages of tevatron: a list of objects with a `text` and perhaps a `title`.

    The library datasets may give a sequence of objects as an object of lists, which is the same.
    """
    if isinstance(value, dict):
        lengths = {len(of_key) if isinstance(of_key, list) else -1 for of_key in value.values()}
        if len(lengths) != 1 or -1 in lengths:
            raise BadRow(f"column {column!r} must be a list of objects with a text, got an object of other things")
        value = [dict(zip(value, item, strict=True)) for item in zip(*value.values(), strict=True)]
    if not isinstance(value, list):
        raise BadRow(f"column {column!r} must be a list of objects with a text, got {json_type(value)}")
    return [passage(item, column) for item in value]


def passage(value: Any, column: str) -> str:  # noqa: ANN401
    """Join the title and the text of a document by a space, as tevatron, BEIR and mteb do.

    Raises:
        BadRow: it is no object, its text is no text, or its title is neither a text nor null.
    """
    if not isinstance(value, dict):
        raise BadRow(f"column {column!r} must hold objects with a text, got {json_type(value)}")
    body, title = text(value.get("text"), f"{column}.text"), value.get("title")
    head = "" if title is None else text(title, f"{column}.title")
    return f"{head.strip()} {body.strip()}".strip()


def score_of(value: Any, column: str) -> float:  # noqa: ANN401
    """Take a finite number, which a table of text writes in letters.

    Raises:
        BadRow: it is none.
    """
    try:
        found = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        got = repr(value[:40]) if isinstance(value, str) else "nan" if isinstance(value, float) else json_type(value)
        raise BadRow(f"column {column!r} must be a number, got {got}")
    return found


def json_type(value: object) -> str:
    """Name the type of a value for a message, as JSON names it where Python has no name."""
    return "null" if value is None else type(value).__name__
