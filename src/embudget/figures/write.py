"""Figures as files: all in which a study has something to show, or those asked for, each whole or not at all."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from embudget.errors import ConfigError, FigureError
from embudget.figures.catalogue import FIGURES, FigureKind
from embudget.figures.look import PRINT
from embudget.files import whole_file
from embudget.laws import Laws
from embudget.outputs import check_added_to
from embudget.records import RunRecord
from embudget.runs import RunTable
from embudget.spending.rounds import Round

Format = Literal["pdf", "svg", "png"]
PIXELS = 220
"""Per inch, of a PNG."""

_BEGINNINGS = {"pdf": b"%PDF-", "svg": b"<svg", "png": b"\x89PNG"}
"""What is found near the beginning of a file of a format."""

LACKING = {
    "cells": "laws or runs",
    "laws": "laws, for which the study has too few runs",
    "records": "the records of a store, which a file of laws does not hold",
    "decisions": "the decisions of `embudget spend`",
}
"""What a study may lack, and why."""


class Written(NamedTuple):
    """What `write_figures` did."""

    files: list[Path]
    left_out: dict[str, str]
    """Figure -> why the study has none."""


def write_figures(
    laws: Laws | RunTable | None,
    records: Sequence[RunRecord] | None,
    out: Path,
    format: Format = "pdf",
    only: Sequence[str] = (),
    decisions: Sequence[Round] | None = None,
) -> Written:
    """Write the figures of a study into a folder, which is made: NAME.pdf, or NAME-LINEAGE.pdf where there are several.

    Args:
        laws: of the study, or its table of runs where there are too few for laws. None leaves out the figures that
            need them, and so it is with the next.
        records: of its runs.
        out: the folder; other files in it stay.
        format: pdf and svg keep text as text, png is for web pages.
        only: names of `FIGURES`; all that the study has by default.
        decisions: of `embudget spend`, round by round.

    Raises:
        ConfigError: a name or the format is unknown, or a file cannot be written.
        FigureError: a figure that is asked for by name has nothing to show.

    Example:
        >>> write_figures(embudget.find_laws("smollm2"), None, Path("figures"), only=["frontier"]).files
        [PosixPath('figures/frontier.pdf')]
    """
    if format not in ("pdf", "svg", "png"):
        raise ConfigError(f"format must be pdf, svg or png, got {format}")
    for name in only:
        if name not in FIGURES:
            raise ConfigError(f"only must be one of {', '.join(FIGURES)}, got {name}")
    check_added_to(out)
    fitted = laws if isinstance(laws, Laws) else None
    given = {"cells": laws, "laws": fitted, "records": records, "decisions": decisions}
    done = Written([], {})
    for name, kind in FIGURES.items():
        if only and name not in only:
            continue
        try:
            done.files.extend(_write_kind(name, kind, given, out, format))
        except FigureError as error:
            if only:
                raise
            done.left_out[name] = str(error)
    return done


def _write_kind(name: str, kind: FigureKind, given: dict[str, Any], out: Path, format: str) -> list[Path]:
    """Write a figure, of each lineage where it needs laws; one lineage may have nothing to show where another has."""
    if lacking := [need for need in kind.needs if given[need] is None]:
        raise FigureError(f"the figure {name} needs {' and '.join(LACKING[need] for need in lacking)}")
    by_lineage = kind.by_lineage and {"cells", "laws"} & set(kind.needs)
    lineages = _lineages(given["cells"]) if by_lineage else (None,)
    written: list[Path] = []
    reasons = []
    for lineage in lineages:
        options = {} if lineage is None or len(lineages) == 1 else {"lineage": lineage}
        place = out / f"{name}{re.sub(r'[^0-9A-Za-z.]+', '-', f'-{lineage}') if options else ''}.{format}"
        try:
            figure = figure_of(kind.draw(*(given[need] for need in kind.needs), **options))
        except FigureError as error:
            reasons.append(str(error))
            continue
        save_figure(figure, place)
        written.append(place)
    if not written:
        raise FigureError(reasons[0])
    return written


def _lineages(source: Laws | RunTable) -> tuple[str | None, ...]:
    if isinstance(source, Laws):
        return source.lineages
    return tuple(one.name for one in source.lineages) or (None,)


def figure_of(drawn: Axes | Figure) -> Figure:
    """The figure that a drawing is, or that its axes are in."""
    figure = drawn if isinstance(drawn, Figure) else drawn.get_figure(root=True)
    assert figure is not None
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure whole or not at all in the format of its name's ending, and free its memory.

    Raises:
        ConfigError: the file cannot be written, or another sort of file is in its place.
    """
    format = path.suffix.removeprefix(".")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_replaceable(path, format)
        with mpl.rc_context(PRINT), whole_file(path) as part:
            figure.savefig(part, format=format, dpi=PIXELS, metadata=_undated(format))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        plt.close(figure)


def _check_replaceable(path: Path, format: str) -> None:
    """Refuse to replace what is not a figure of the format: other work may have its name."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(1024)
    if start and _BEGINNINGS[format] not in start:
        raise ConfigError(f"{path} is not a figure in {format}: name another folder or remove it")


def _undated(format: str) -> dict[str, Any]:
    """Metadata without the day, so that the same study gives the same bytes."""
    return {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(format, {})
