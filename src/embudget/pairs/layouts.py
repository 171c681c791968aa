"""Which columns of a table hold what: the layouts in which the field writes pairs, recognised by their columns' names.

| layout | query | positives | hard negatives |
|---|---|---|---|
| sentence-transformers | anchor | positive | negative, negative_1, ..., or a list in negatives |
| pairs | query, question | positive, answer | likewise |
| scored pairs | sentence1 | sentence2 where the score reaches a threshold | likewise |
| FlagEmbedding | query | pos, a list | neg, a list |
| tevatron | query | positive_passages, objects with title and text | negative_passages, likewise |

A row with several positives becomes as many pairs, all with the negatives of the row.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from embudget.errors import PairsError
from embudget.pairs.cells import BadRow, one_text, passages, score_of, text, text_list, text_or_list
from embudget.pairs.sources.base import RawPair

GROUP = "group"
"""Name of the column whose equal values stay in one split. Without it every row is a group of its own."""
SCORES = ("score", "similarity", "label")
"""Names of a column of scores, the first that is there counts."""
DEFAULT_THRESHOLD = 0.8
"""Score from which two sentences are a pair where the user says nothing. It keeps a label of 1 and drops one of 0. Of
graded scores it keeps the top fifth of the scale, which STS describes as "mostly equivalent" and better."""
_NAMES = 10  # columns that a message lists
_NEGATIVE = re.compile(r"negatives?(_[0-9]+)?")


@dataclass(frozen=True)
class PairLayout:
    """How one of the field's tools writes pairs."""

    name: str
    query: str
    positive: str
    documents: Callable[[Any, str], list[str]] = one_text
    """Reads the texts in the cell of the positives."""
    negatives: str | None = None
    """The column of the negatives, which is read as the positives are. None: all whose names say that they are some."""
    scored: bool = False
    """Whether a score decides what is a pair."""

    @property
    def is_plain(self) -> bool:
        """Whether each row is one pair of texts, whatever else it holds."""
        return self.documents is one_text and not self.scored


LAYOUTS = (
    PairLayout("pairs", "query", "positive"),
    PairLayout("sentence-transformers", "anchor", "positive"),
    PairLayout("pairs", "question", "answer"),
    PairLayout("pairs", "query", "answer"),
    PairLayout("FlagEmbedding", "query", "pos", text_list, "neg"),
    PairLayout("tevatron", "query", "positive_passages", passages, "negative_passages"),
    PairLayout("scored pairs", "sentence1", "sentence2", scored=True),
)
"""What is recognised without being told, in this order."""


class Columns(NamedTuple):
    """Which columns of a table with certain names hold what."""

    layout: PairLayout
    negatives: tuple[str, ...]
    score: str | None

    @property
    def used(self) -> tuple[str, ...]:
        """The names of all columns that are read, but for the group."""
        return (self.layout.query, self.layout.positive, *self.negatives, *([self.score] if self.score else []))


def choose_layout(
    names: Sequence[str], wanted: tuple[str, str] | None, where: str, *, threshold: float | None = None
) -> Columns:
    """Find the columns that are wanted, or those of the first of `LAYOUTS` that is there.

    Raises:
        PairsError: they are not among ``names``, or one is there twice; the message begins with ``where``.
    """
    layouts = (PairLayout("named columns", *wanted),) if wanted else LAYOUTS
    scored = any(name in names for name in SCORES)
    for layout in layouts:
        if layout.query in names and layout.positive in names and (scored or not layout.scored):
            return layout_columns(layout, names, where, threshold=threshold)
    there = listed(names)
    if wanted:
        missing = next(name for name in wanted if name not in names)
        raise PairsError(f"{where}: column {missing!r} is missing; there are {there}")
    known = ", ".join(f"{layout.query}/{layout.positive}{'/score' * layout.scored}" for layout in layouts)
    raise PairsError(
        f"{where}: none of the columns {known} is there (columns: {there}); name them with query_column "
        "and positive_column"
    )


def layout_columns(layout: PairLayout, names: Sequence[str], where: str, *, threshold: float | None = None) -> Columns:
    """Find the columns of a layout that are not always there: negatives, and scores.

    Scores are used where the layout asks for them, or where the user gave a ``threshold``.

    Raises:
        PairsError: a column that is used is there twice; the message begins with ``where``.
    """
    sides = (layout.query, layout.positive)
    scores = [name for name in SCORES if name in names and name not in sides]
    used = scores and (layout.scored or threshold is not None)
    columns = Columns(layout, negative_columns(layout, names), scores[0] if used else None)
    twice = [name for name in (*columns.used, GROUP) if names.count(name) > 1]
    if twice:
        raise PairsError(f"{where}: column {twice[0]!r} must be there once, got {names.count(twice[0])}")
    return columns


def negative_columns(layout: PairLayout, names: Sequence[str]) -> tuple[str, ...]:
    """Name the columns of hard negatives in the order of the table."""
    if layout.negatives is not None:
        return (layout.negatives,) if layout.negatives in names else ()
    sides = (layout.query, layout.positive)
    return tuple(name for name in names if name not in sides and _NEGATIVE.fullmatch(name))


def pairs_of_record(record: dict[str, Any], columns: Columns, threshold: float | None) -> list[RawPair]:
    """Make the pairs of a row, whose values may be anything that JSON or Parquet holds.

    Returns:
        One pair for each positive of the row; none if its score is below the threshold.

    Raises:
        BadRow: a side is missing, or is no text that can be written; or the score is no number within its range.
    """
    layout = columns.layout
    for column in (layout.query, layout.positive):
        if column not in record:
            raise BadRow(f"column {column!r} is missing")
    query = text(record[layout.query], layout.query)
    positives = layout.documents(record[layout.positive], layout.positive)
    if not positives:
        raise BadRow(f"column {layout.positive!r} must hold at least 1 text, got none")
    negatives = tuple(one for name in columns.negatives for one in _negatives(layout, record.get(name), name))
    if columns.score is not None and not _reaches(record.get(columns.score), columns.score, threshold):
        return []
    group = record.get(GROUP) if GROUP not in (layout.query, layout.positive) else None
    group = None if group is None or group == "" else str(group)
    return [RawPair(query, positive, group, negatives) for positive in positives]


def _negatives(layout: PairLayout, value: object, column: str) -> list[str]:
    if value is None:
        return []
    return text_or_list(value, column) if layout.negatives is None else layout.documents(value, column)


def _reaches(value: object, column: str, threshold: float | None) -> bool:
    """Compare a score with the threshold.

    The range is checked so that a scale other than the threshold's is not taken for one: without a threshold from the
    user scores go from 0 to 1, and with one of up to 1 from -1, as cosines do.
    """
    found = score_of(value, column)
    if threshold is None:
        if not 0 <= found <= 1:
            raise BadRow(f"column {column!r} must be from 0 to 1, got {found:g}; give a threshold on your scale")
        return found >= DEFAULT_THRESHOLD
    if threshold <= 1 and not -1 <= found <= 1:
        raise BadRow(f"column {column!r} must be from -1 to 1, as the threshold {threshold:g} says, got {found:g}")
    return found >= threshold


def listed(names: Sequence[str]) -> str:
    """List the first names for a message."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(map(shown, names[:_NAMES])) + more or "none"


def shown(name: str) -> str:
    """Cut a name from a file so that it fits into a message, and can be printed."""
    line = " ".join(str(name).encode("utf-8", "backslashreplace").decode().split())
    return (line if len(line) <= 40 else f"{line[:37]}...") or "(no name)"
