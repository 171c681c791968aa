"""Which columns of a table are query and positive, and how a row becomes a pair or is refused.

The same rules hold for files, for data sets of the hub and, as far as they name columns, for indexed shards.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from embudget.errors import PairsError
from embudget.pairs.sources.base import RawPair, Unused

DEFAULT_COLUMNS = [("query", "positive"), ("anchor", "positive"), ("question", "answer")]
"""Names of query and positive that are tried in this order if the user gives none."""
GROUP = "group"
"""Name of the column whose equal values stay in one split. Without it every row is a group of its own."""
MOST_CHARACTERS = 10_000_000
"""A longer text is refused: it is a file in a cell, and no model reads a thousandth of it."""
_NAMES = 10  # columns that a message lists
_EXAMPLES = 5  # bad rows that are kept for the user to see
_HALF = re.compile("[\ud800-\udfff]")


class BadRow(Exception):
    """What is wrong with one row. Readers yield it instead of a record, so that they can go on with the next row."""


Record = tuple[str, dict[str, Any] | BadRow]
"""A row of a table: its place for messages, such as "line 3", and its values by column, or what is wrong with it."""


@dataclass
class Table:
    """One or more files that are read with the same wishes, and what of them was passed over."""

    wanted: tuple[str, str] | None = None
    skip_bad: bool = False
    columns: dict[str, None] = field(default_factory=dict)
    splits: dict[str, None] = field(default_factory=dict)
    bad_rows: int = 0
    examples: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    """Places of rows that may be several, swallowed by a stray quote."""

    @property
    def unused(self) -> Unused:
        """What was passed over so far."""
        return Unused(
            tuple(map(shown, self.columns)),
            tuple(map(shown, self.splits)),
            self.bad_rows,
            tuple(self.examples),
            tuple(self.doubtful),
        )

    def pairs(self, records: Iterable[Record], place: Callable[[str], str]) -> Iterator[RawPair]:
        """Make the pairs of one file.

        Args:
            records: its rows.
            place: tells a row's place in a message.

        Raises:
            PairsError: a row is bad and bad ones are not to be left out, or there is no row.
        """
        chosen: tuple[str, str] | None = None
        empty = True
        for where, record in records:
            empty = False
            try:
                if isinstance(record, BadRow):
                    raise record
                chosen = chosen or choose_columns(list(record), self.wanted, place(where))
                pair = pair_of_record(record, chosen)
            except BadRow as error:
                self._bad(place(where), error)
            else:
                self.ignore(record, chosen)
                yield pair
        if empty:
            raise PairsError(f"{place('').strip()} is empty: it holds no pairs")

    def ignore(self, names: Iterable[str], chosen: tuple[str, str]) -> None:
        """Remember the columns that are not used."""
        for name in names:
            if name not in chosen and name != GROUP:
                self.columns.setdefault(name)

    def _bad(self, place: str, error: BadRow) -> None:
        if not self.skip_bad:
            raise PairsError(f"{place}: {error}; mend it, or leave bad rows out with --skip-bad") from None
        self.bad_rows += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{place}: {error}")


def named_columns(query_column: str | None, positive_column: str | None) -> tuple[str, str] | None:
    """Return the columns of query and positive as the user named them, or None if neither was.

    Raises:
        PairsError: only one of them was named, which leaves the other to a guess, or both are one.
    """
    if (query_column is None) != (positive_column is None):
        raise PairsError("query_column and positive_column must be given together")
    if query_column is None or positive_column is None:
        return None
    if query_column == positive_column:
        raise PairsError(f"query_column and positive_column must be two columns, got {query_column!r} for both")
    return query_column, positive_column


def choose_columns(names: Sequence[str], wanted: tuple[str, str] | None, where: str) -> tuple[str, str]:
    """Find the columns of query and positive: those that are wanted, or the first of `DEFAULT_COLUMNS` that are there.

    Raises:
        PairsError: they are not among ``names``, or one is there twice; the message begins with ``where``.
    """
    for pair in [wanted] if wanted else DEFAULT_COLUMNS:
        if set(pair) <= set(names):
            twice = [name for name in (*pair, GROUP) if names.count(name) > 1]
            if twice:
                raise PairsError(f"{where}: column {twice[0]!r} must be there once, got {names.count(twice[0])}")
            return pair
    there = listed(names)
    if wanted:
        missing = next(name for name in wanted if name not in names)
        raise PairsError(f"{where}: column {missing!r} is missing; there are {there}")
    defaults = ", ".join("/".join(pair) for pair in DEFAULT_COLUMNS)
    raise PairsError(
        f"{where}: none of the columns {defaults} is there (columns: {there}); name them with query_column "
        "and positive_column"
    )


def pair_of_record(record: dict[str, Any], columns: tuple[str, str]) -> RawPair:
    """Make a pair of a row, whose values may be anything that JSON or Parquet holds.

    Raises:
        BadRow: a side is missing, or is no text that can be written.
    """
    query, positive = (_text(record, column) for column in columns)
    group = record.get(GROUP) if GROUP not in columns else None
    return RawPair(query, positive, None if group is None or group == "" else str(group))


def _text(record: dict[str, Any], column: str) -> str:
    if column not in record:
        raise BadRow(f"column {column!r} is missing")
    value = record[column]
    if not isinstance(value, str):
        kind = "null" if value is None else type(value).__name__
        raise BadRow(f"column {column!r} must be a string, got {kind}")
    if len(value) > MOST_CHARACTERS:
        raise BadRow(f"column {column!r} must have at most {MOST_CHARACTERS:,} characters, got {len(value):,}")
    if not value.isascii() and _HALF.search(value):
        raise BadRow(f"column {column!r} holds half of a surrogate pair, which is no character")
    return value


def listed(names: Sequence[str]) -> str:
    """List the first names for a message."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(map(shown, names[:_NAMES])) + more or "none"


def shown(name: str) -> str:
    """Cut a name from a file so that it fits into a message, and can be printed."""
    line = " ".join(str(name).encode("utf-8", "backslashreplace").decode().split())
    return (line if len(line) <= 40 else f"{line[:37]}...") or "(no name)"
