"""What figures are drawn from: a store with its runs and laws, or laws alone, as a user names them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from embudget.contents import is_database
from embudget.errors import FitError, TooFewRunsError
from embudget.laws import Laws, find_laws, fit
from embudget.reading import parse_json
from embudget.records import RunRecord
from embudget.runs import RunTable
from embudget.spending.folder import DECISIONS
from embudget.spending.rounds import Round
from embudget.study import Store


class FigureSources(NamedTuple):
    """What a study has to draw."""

    laws: Laws | RunTable | None
    """Its laws; its table of runs where there are too few for laws; None where no run counts."""
    records: list[RunRecord] | None
    """None where only laws are given."""
    decisions: list[Round] | None
    """Those of `embudget spend`, where it wrote them beside the store."""
    why: str | None
    """Why there are no laws."""


def read_sources(study: str) -> FigureSources:
    """Read a store, given by its file or URL, a file of laws, or built-in laws by their name.

    Raises:
        StoreError: the store cannot be read.
        ConfigError: there is neither, or the file is not of laws.
    """
    if "://" not in study and not is_database(Path(study)):
        return FigureSources(find_laws(study), None, None, None)
    with Store(study, create=False) as store:
        records = store.records()
    laws, why = _laws(records)
    decisions = None if "://" in study else _decisions(Path(study).with_name(DECISIONS))
    return FigureSources(laws, records, decisions, why)


def _laws(records: Sequence[RunRecord]) -> tuple[Laws | RunTable | None, str | None]:
    """Laws of the records, or what there is without them and why."""
    try:
        table = RunTable.of(records)
    except TooFewRunsError as error:
        return None, str(error)
    try:
        return fit(table), None
    except FitError as error:
        return table, str(error)


def _decisions(file: Path) -> list[Round] | None:
    """The rounds in a file that a search may be writing to right now: its last line may be cut short."""
    if not file.is_file():
        return None
    lines = file.read_bytes().decode(errors="replace").split("\n")[:-1]
    return [Round.read(parse_json(line, f"{file}"), f"{file}: line {place}") for place, line in enumerate(lines, 1)]
