"""How the rows of the user's tables become pairs, and what of them is passed over.

`embudget.pairs.layouts` says which columns hold what. The same rules hold for files and for data sets of the hub.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from embudget.errors import PairsError
from embudget.pairs.cells import BadRow
from embudget.pairs.layouts import GROUP, Columns, choose_layout, layout_columns, pairs_of_record, shown
from embudget.pairs.sources.base import RawPair, Unused
from embudget.pairs.splitting import Split

_EXAMPLES = 5  # bad rows that are kept for the user to see
_PLAIN = ("query", "positive")  # columns of the names that pairs have here, of which nothing need be said

Record = tuple[str, dict[str, Any] | BadRow]
"""A row of a table: its place for messages, such as "line 3", and its values by column, or what is wrong with it."""


@dataclass
class Table:
    """One or more files that are read with the same wishes, and what of them was passed over."""

    wanted: tuple[str, str] | None = None
    skip_bad: bool = False
    threshold: float | None = None
    columns: dict[str, None] = field(default_factory=dict)
    splits: dict[str, None] = field(default_factory=dict)
    layouts: dict[str, dict[str, None]] = field(default_factory=dict)
    """Name of a layout that was read -> the columns or files that were used."""
    scored: bool = False
    """Whether a column of scores was read."""
    bad_rows: int = 0
    below_threshold: int = 0
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
            self.below_threshold,
        )

    @property
    def read_as(self) -> tuple[str, ...]:
        """How the rows were understood, such as "FlagEmbedding: query, pos, neg", where that is worth a line."""
        return tuple(
            f"{layout}: {', '.join(map(shown, columns))}"
            for layout, columns in self.layouts.items()
            if tuple(columns) not in (_PLAIN, self.wanted)
        )

    def pairs(
        self, records: Iterable[Record], place: Callable[[str], str], split: Split | None = None
    ) -> Iterator[RawPair]:
        """Make the pairs of one file.

        Args:
            records: its rows.
            place: tells a row's place in a message.
            split: the one that the file belongs to by its name.

        Raises:
            PairsError: a row is bad and bad ones are not to be left out, or there is no row.
        """
        names: tuple[str, ...] = ()
        chosen: Columns | None = None
        empty = True
        for where, record in records:
            empty = False
            try:
                if isinstance(record, BadRow):
                    raise record
                if chosen is None or tuple(record) != names:
                    names = tuple(record)
                    chosen = self.choose(names, place(where), chosen)
                pairs = pairs_of_record(record, chosen, self.threshold)
            except BadRow as error:
                self.bad(place(where), error)
            else:
                self.below_threshold += not pairs
                yield from (pairs if split is None else (pair._replace(split=split) for pair in pairs))
        if empty:
            raise PairsError(f"{place('').strip()} is empty: it holds no pairs")

    def choose(self, names: Sequence[str], where: str, before: Columns | None = None) -> Columns:
        """Choose the columns to read, and remember the others.

        Args:
            names: the columns that there are.
            where: begins a message.
            before: what was chosen for earlier rows of the file, whose layout stays. Rows of JSON may differ in their
                negatives, so that these are looked for again.

        Raises:
            PairsError: no layout is there, see `choose_layout`.
        """
        if before is None:
            chosen = choose_layout(names, self.wanted, where, threshold=self.threshold)
        else:
            chosen = layout_columns(before.layout, names, where, threshold=self.threshold)
            chosen = chosen._replace(score=before.score or chosen.score)
        self.scored |= chosen.score is not None
        self.layouts.setdefault(chosen.layout.name, {}).update(dict.fromkeys(chosen.used))
        self.columns.update(dict.fromkeys(name for name in names if name not in chosen.used and name != GROUP))
        return chosen

    def bad(self, place: str, error: BadRow) -> None:
        """Refuse a bad row, or count it where bad ones are to be left out.

        Raises:
            PairsError: they are not.
        """
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
