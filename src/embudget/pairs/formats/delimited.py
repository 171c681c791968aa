"""Pairs in CSV and TSV.

TSV has no quoting: a quote is text, and a cell holds neither a tab nor a line break. CSV has: a cell that begins with a
quote goes on, over commas and line breaks, to the next quote that is not doubled. Its cells may as well be separated by
semicolons, tabs or bars, as its header shows.

A stray quote at the beginning of a CSV cell would swallow the rows behind it. A row is refused at the line where its
quote opens

- if the cell goes on over 20 lines that look like rows (as many cells as the header, none empty or indented), and 9 of
  10 do,
- if the row ends well, but has 10 lines, all of which look like rows, or
- if the cell does not end as a cell does.

Long cells that hold code or prose look otherwise. A row whose inner lines all look like rows, but are fewer, may be
meant: it is read, and its place is told.
"""

import csv
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

from embudget.errors import PairsError
from embudget.pairs.cells import MOST_CHARACTERS, BadRow
from embudget.pairs.columns import Record, Table
from embudget.pairs.formats.lines import MOST_IN_A_LINE, read_lines, wrong_byte
from embudget.pairs.layouts import shown

_DELIMITERS = ",;\t|"
_QUOTE = '"'
_SWALLOWED, _MOST_UNLIKE = 20, 0.1
"""Lines in a cell that look like rows before it is taken for a runaway one, and the share that may look otherwise."""
_CLOSED = 10
"""Lines of a row that closed well, and each of which looks like a row, its first and its last line included."""
_MEND = "write quotes in a cell twice, or the table as .tsv or .jsonl"


def read_tsv(path: Path, table: Table) -> Iterator[Record]:
    """Read rows of cells between tabs; the first one names the columns.

    Raises:
        PairsError: the header names a column twice, or the file cannot be read.
        OSError: it cannot be read.
    """
    lines = ((number, line.rstrip("\r\n")) for number, line in read_lines(path))
    rows = ((number, line.split("\t"), wrong_byte(path, line)) for number, line in lines if line)
    _, header, wrong = next(rows, (1, [], None))
    names = _names(path, header, wrong)
    for number, row, wrong in rows:
        yield f"line {number}", _record(names, row, wrong)


def read_csv(path: Path, table: Table) -> Iterator[Record]:
    """Read rows of cells, which may be quoted; the first one names the columns.

    Raises:
        PairsError: the header names a column twice, or the file cannot be read.
        OSError: it cannot be read.
    """
    most = csv.field_size_limit(MOST_CHARACTERS)
    try:
        numbered = _Lines(path)
        rows = numbered.rows()
        place, header, wrong = next(rows, ("", [], None))
        if isinstance(header, BadRow):
            raise PairsError(f"{path} {place}: {header}")
        names = _names(path, header, wrong)
        numbered.cells = len(names)
        for place, row, wrong in rows:
            if numbered.looks_like_several():
                table.doubtful.append(f"{path} {place}")
            yield place, row if isinstance(row, BadRow) else _record(names, row, wrong)
    finally:
        csv.field_size_limit(most)


def _names(path: Path, header: list[str], wrong: str | None) -> list[str]:
    if wrong:
        raise PairsError(f"{path} line 1: {wrong}")
    names = [name.strip() for name in header]
    for name, times in Counter(filter(None, names)).items():
        if times > 1:
            raise PairsError(f"{path}: the header must name each column once, got {shown(name)} {times} times")
    return names


def _record(names: list[str], row: list[str], wrong: str | None) -> dict[str, object] | BadRow:
    if wrong:
        return BadRow(wrong)
    if len(row) != len(names):
        return BadRow(f"must have {len(names)} columns as the header, got {len(row)}")
    if any("\0" in cell for cell in row):
        return BadRow("holds a NUL byte; is it a table of text?")
    return dict(zip(names, row, strict=True))


class _Runaway(Exception):
    """A quoted cell goes on over rows."""


class _Lines:
    """Lines for `csv.reader`, which takes as many as a row needs, and a watch over the cells that need many.

    After a row that is refused, reading goes on behind the line where the trouble began.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ahead: deque[tuple[int, str]] = deque()
        self._lines = read_lines(path)
        self._row: list[tuple[int, str]] = []
        self._like = self._unlike = self._length = 0
        self.cells = 0
        """Cells of a row, once the header is known."""
        first = next(self._lines, None)
        if first is not None:
            self._ahead.append(first)
        self._delimiter = _delimiter(first[1] if first else "")

    def rows(self) -> Iterator[tuple[str, list[str] | BadRow, str | None]]:
        """Read the rows: the place of each, its cells or what is wrong with it, and any byte that is not UTF-8."""
        reader = csv.reader(self, delimiter=self._delimiter, strict=True)
        while True:
            self._row, self._like, self._unlike, self._length = [], 0, 0, 0
            try:
                row = next(reader)
                if len(self._row) >= _CLOSED and all(self._looks_like_a_row(line) for _, line in self._row):
                    raise _Runaway
            except StopIteration:
                return
            except (_Runaway, csv.Error) as error:
                opened = self._opened(at_the_end="end of data" in str(error)) if str(error) else self._first()
                number, last = self._row[opened][0], self._row[-1][0]
                yield f"line {number}", BadRow(_refusal(error, number, last)), None
                self._ahead.extendleft(reversed(self._row[opened + 1 :]))
                reader = csv.reader(self, delimiter=self._delimiter, strict=True)
                continue
            if row:
                wrong = next(filter(None, (wrong_byte(self._path, line) for _, line in self._row)), None)
                yield f"line {self._row[-1][0]}", row, wrong

    def looks_like_several(self) -> bool:
        """Whether all lines between the first and the last of the row that was read look like rows of their own."""
        return len(self._row) > 2 and all(self._looks_like_a_row(line) for _, line in self._row[1:-1])

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, line = self._ahead.popleft() if self._ahead else next(self._lines)
        self._row.append((number, line))
        if len(self._row) > 1 and self.cells:
            self._watch(line)
        return line

    def _watch(self, line: str) -> None:
        """Refuse a cell that is open since an earlier line and goes on over rows, or for ever."""
        self._length += len(line)
        if self._length > MOST_IN_A_LINE:
            raise _Runaway
        if _QUOTE in line:
            self._like = self._unlike = 0
        elif line.strip():
            looks = self._looks_like_a_row(line)
            self._like += looks
            self._unlike += not looks
        if self._like >= _SWALLOWED and self._unlike <= _MOST_UNLIKE * (self._like + self._unlike):
            raise _Runaway

    def _first(self) -> int:
        return next((at for at, (_, line) in enumerate(self._row) if _QUOTE in line), 0)

    def _looks_like_a_row(self, line: str) -> bool:
        cells = line.rstrip("\r\n").split(self._delimiter)
        return len(cells) == self.cells and not line[0].isspace() and all(cell.strip() for cell in cells)

    def _opened(self, *, at_the_end: bool) -> int:
        """Find the line of the row in which the cell opens that made the trouble: the last one with a quote.

        The line at which the trouble was met does not count, except at the end of the file, or if it stands alone.
        """
        lines = self._row if at_the_end or len(self._row) == 1 else self._row[:-1]
        return max((at for at, (_, line) in enumerate(lines) if _QUOTE in line), default=0)


def _refusal(error: Exception, opened: int, met: int) -> str:
    if isinstance(error, _Runaway):
        return f"a quote opens a cell that swallows the rows behind it; {_MEND}"
    what = str(error)
    if what.startswith("field larger"):
        return f"a cell is longer than {MOST_CHARACTERS:,} characters; if a stray quote opens it: {_MEND}"
    return f"not valid CSV: a quote opens a cell that does not end as one{_met(opened, met)}: {what}; {_MEND}"


def _met(opened: int, met: int) -> str:
    return "" if opened == met else f" (line {met})"


def _delimiter(header: str) -> str:
    """Choose the delimiter that cuts the header into the most cells; the comma if none cuts it."""

    def cells(delimiter: str) -> int:
        try:
            return len(next(csv.reader([header], delimiter=delimiter), []))
        except csv.Error:
            return 0

    return max(_DELIMITERS, key=cells)
