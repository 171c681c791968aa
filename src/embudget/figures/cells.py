"""What do the figures show of a study? Its cells by kind of method, the best of each, and what was not measured.

Figures are drawn from laws, or from a table of runs alone where there are too few for laws: then without their curves.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from embudget.errors import ConfigError, FigureError, shortened
from embudget.figures.ticks import tick_text
from embudget.laws import Laws
from embudget.methods import kind_of, parse_method
from embudget.palette import KIND_STROKES
from embudget.runs import Cell, RunTable

LONGEST = 24
"""Letters of a member's name in a figure; longer ones are cut in the middle."""


class StudyPart(NamedTuple):
    """One lineage of a study: what was measured, and its laws where there are any."""

    table: RunTable
    laws: Laws | None

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All measured cells, those of methods without a law too."""
        return self.table.cells

    @property
    def kinds(self) -> list[str]:
        """The measured kinds of method, in the paper's order."""
        measured = {kind_of(cell.method) for cell in self.cells}
        return [kind for kind in KIND_STROKES if kind in measured]

    @property
    def sizes(self) -> list[float]:
        """The measured sizes N, rising."""
        return sorted({cell.model_params for cell in self.cells})

    def name_of(self, model: str) -> str:
        """A member in few letters; its size where its short name is another member's too."""
        text = member_text(model)
        if sum(member_text(other) == text for other in self.table.models) == 1:
            return text
        return tick_text(next(cell.model_params for cell in self.cells if cell.model == model))


def part_of(source: Laws | RunTable, lineage: str | None = None) -> StudyPart:
    """One lineage of laws or of a table; of a study that has one, that one.

    Raises:
        ConfigError: there are several lineages, and the one asked for is None or none of them.
    """
    if isinstance(source, Laws):
        laws = source.of(lineage)
        return StudyPart(laws.table, laws)
    names = [one.name for one in source.lineages]
    if not names:
        return StudyPart(source, None)
    if lineage not in names:
        raise ConfigError(f"lineage must be one of {', '.join(names)}, got {lineage}")
    return StudyPart(source.of_lineages()[names.index(lineage)], None)


def cells_of_kind(part: StudyPart, kind: str) -> list[Cell]:
    """The cells of a kind of method.

    Raises:
        FigureError: there are none.
    """
    found = [cell for cell in part.cells if kind_of(cell.method) == kind]
    if not found:
        raise FigureError(f"the study has no runs of {kind}")
    return found


def best_by_size(cells: Iterable[Cell]) -> dict[float, dict[float, Cell]]:
    """Budget -> size -> the best cell there, budgets and sizes rising."""
    found: dict[float, dict[float, Cell]] = defaultdict(dict)
    for cell in sorted(cells, key=lambda cell: (cell.budget, cell.model_params)):
        row = found[cell.budget]
        row[cell.model_params] = min(row.get(cell.model_params, cell), cell, key=lambda one: one.loss)
    return dict(found)


def lowest_by_budget(cells: Iterable[Cell]) -> list[Cell]:
    """The best cell over all kinds at each budget, budgets rising."""
    found: dict[float, Cell] = {}
    for cell in sorted(cells, key=lambda cell: cell.budget):
        found[cell.budget] = min(found.get(cell.budget, cell), cell, key=lambda one: one.loss)
    return list(found.values())


def is_at_end(row: dict[float, Cell], sizes: list[float]) -> bool:
    """Whether the best of a budget's cells, by size, has the smallest or the largest size measured at that budget.

    The best size may then be one that was not measured, so that the loss is only a bound. Where the whole study has one
    size there is no other to miss.
    """
    best = min(row, key=lambda size: row[size].loss)
    return len(sizes) > 1 and best in (min(row), max(row))


def neighbours(x: Iterable[float], every: list[float]) -> list[list[float]]:
    """Runs of x without a gap: a line through them leaves no value of ``every`` out.

    Example:
        >>> neighbours([1, 2, 8], [1, 2, 4, 8])
        [[1, 2], [8]]
    """
    groups: list[list[float]] = []
    before = -2
    for value in sorted(x):
        place = every.index(value)
        groups[-1].append(value) if place == before + 1 else groups.append([value])
        before = place
    return groups


def number_of(cell: Cell) -> float | None:
    """The rank of LoRA, the active fraction of freezing; None for methods that have neither."""
    return parse_method(cell.method).number


def is_plain(cell: Cell) -> bool:
    """Whether a method has no options beside its rank or fraction: lora:8, but not lora:8:alpha=32."""
    return cell.method.count(":") <= 1


def member_text(model: str) -> str:
    """A member as a figure names it: a cut model by its depth, `8 blocks`, any other by its name, shortened."""
    depth = model.rpartition(":")[2]
    if depth.isdigit():
        return f"{depth} block" if depth == "1" else f"{depth} blocks"
    return short_name(model)


def short_name(model: str) -> str:
    """A member's name without the folder or the owner it is in, shortened: where members are of several families."""
    return shortened(model.rstrip("/").rpartition("/")[2] or model, LONGEST)
