"""The pictures of the documentation's page of figures: one of each kind that `embudget figures` draws.

    .venv/bin/python -m studies.publish.gallery

Writes `docs/figures/NAME.png` for each name of `embudget.figures.FIGURES`, of the first of `STUDIES` in `results/` that
has something to show there, and `docs/figures/studies.json`, which says of which. Pictures of figures that are no more
are removed. `docs/concepts/figures.md` shows them all.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("Agg")

from PIL import Image

from embudget.errors import FigureError, FitError
from embudget.figures import FIGURES, write_figures
from embudget.laws import Laws, fit
from embudget.records import RunRecord
from embudget.runs import RunTable
from embudget.spending.rounds import Round
from studies.publish.files import read_records, save_json

ROOT = Path(__file__).parents[2]

STUDIES = ("smollm2", "micro", "starts", "quickstart_spend")
"""Folders in `results/`, in the order in which they are tried."""
PICTURES, WHOSE = ROOT / "docs" / "figures", "studies.json"
MOST_BYTES = 60_000
"""Largest size of a picture, so that the page loads quickly."""
COLORS = 96
"""Colours that a picture is reduced to, so that its file stays small."""
WIDTHS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4)
"""Shares of the printed picture's width that are tried, until it is small enough."""


class StudyData(NamedTuple):
    """What a published study has to draw."""

    laws: Laws | RunTable | None
    records: list[RunRecord]
    decisions: list[Round] | None


def main() -> None:
    """Write all pictures."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    write_gallery(PICTURES, tuple(FIGURES), study_data)


def write_gallery(folder: Path, names: tuple[str, ...], data_of: Callable[[str], StudyData]) -> None:
    """Write a picture of each figure, and of which study it is.

    Args:
        folder: for the pictures.
        names: of `FIGURES`.
        data_of: gives what a study of `STUDIES` has.

    Raises:
        FigureError: no study has anything to show in a figure.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whose = {}
    for name in names:
        whose[name] = _write_first(folder / f"{name}.png", name, data_of)
    for path in folder.glob("*.png"):
        if path.stem not in whose:
            path.unlink()
    save_json(folder / WHOSE, whose)


def _write_first(picture: Path, name: str, data_of: Callable[[str], StudyData]) -> str:
    """Write the figure of the first study that has it; which one."""
    reasons = []
    for study in STUDIES:
        data = data_of(study)
        with tempfile.TemporaryDirectory() as there:
            try:
                done = write_figures(data.laws, data.records, Path(there), "png", [name], data.decisions)
            except FigureError as error:
                reasons.append(f"{study}: {error}")
                continue
            shrink(done.files[0], picture)
        return study
    raise FigureError(f"no study has anything to show in the figure {name}: {'; '.join(reasons)}")


def shrink(printed: Path, picture: Path) -> None:
    """Write a picture for the screen, with few colours and no wider than `MOST_BYTES` allows."""
    with Image.open(printed) as opened:
        whole = opened.convert("RGB")
    for share in WIDTHS:
        size = round(whole.width * share), round(whole.height * share)
        small = whole if share == 1 else whole.resize(size, Image.Resampling.LANCZOS)
        small.quantize(COLORS, dither=Image.Dither.NONE).save(picture, optimize=True)
        if picture.stat().st_size <= MOST_BYTES:
            return


@cache
def study_data(study: str) -> StudyData:
    """Read a published study and fit its laws."""
    folder = ROOT / "results" / study
    records = read_records(folder)
    try:
        laws: Laws | RunTable = fit(records)
    except FitError:
        laws = RunTable.of(records)
    decisions = list(_decisions(folder)) if (folder / "decisions.jsonl").is_file() else None
    return StudyData(laws, records, decisions)


def _decisions(folder: Path) -> Iterator[Round]:
    for line in (folder / "decisions.jsonl").read_text(encoding="utf-8").splitlines():
        yield Round.model_validate_json(line)


if __name__ == "__main__":
    main()
