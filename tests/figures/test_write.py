"""Figures as files: names, formats, text that stays text, what is left out, and what is never replaced."""

from pathlib import Path

import pytest

from embudget.errors import ConfigError, FigureError
from embudget.figures import FIGURES, read_sources, write_figures
from embudget.figures.write import Format
from embudget.laws import Laws
from embudget.runs import RunTable
from tests.figures.made import with_cells


@pytest.mark.parametrize("format", ["pdf", "svg", "png"])
def test_the_same_study_gives_the_same_bytes(one_cell: RunTable, tmp_path: Path, format: Format) -> None:
    first, second = (
        write_figures(one_cell, None, tmp_path / name, format, ["frontier"]).files[0].read_bytes() for name in "ab"
    )
    assert first == second


def test_text_in_svg_and_pdf_stays_text(micro: Laws, tmp_path: Path) -> None:
    (svg,) = write_figures(micro, None, tmp_path, "svg", ["frontier"]).files
    assert all(f">{text}<" in svg.read_text() for text in ("budget, training FLOP", "1.2e12", "micro-3m, 2", "lora"))
    (pdf,) = write_figures(micro, None, tmp_path, "pdf", ["frontier"]).files
    assert b"/FontFile2" in pdf.read_bytes()
    assert b"/Type3" not in pdf.read_bytes()


def test_figures_are_as_wide_as_a_column_or_two(micro: Laws, tmp_path: Path) -> None:
    found = write_figures(micro, None, tmp_path, "svg", ["frontier", "ranks"])
    widths = [float(path.read_text().partition('width="')[2].partition("pt")[0]) / 72 for path in found.files]
    assert widths == pytest.approx([3.3, 6.9])


def test_what_the_study_lacks_is_left_out_and_said(one_cell: RunTable, tmp_path: Path) -> None:
    done = write_figures(one_cell, None, tmp_path, "png")
    assert {"frontier.png", "isoflop-full.png"} <= {path.name for path in done.files}
    assert done.left_out["ranks"] == "the study has no runs of lora"
    assert {path.name for path in done.files} == {path.name for path in tmp_path.iterdir()}
    assert len(done.files) + len(done.left_out) == len(FIGURES)


def test_a_figure_asked_for_by_name_that_cannot_be_drawn_is_an_error_and_writes_nothing(
    one_cell: RunTable, tmp_path: Path
) -> None:
    with pytest.raises(FigureError, match="no runs of lora"):
        write_figures(one_cell, None, tmp_path / "out", "png", ["ranks"])
    assert not (tmp_path / "out").exists()


def test_unknown_names_and_formats_are_refused(one_cell: RunTable, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"only must be one of frontier, .*, got fronteir"):
        write_figures(one_cell, None, tmp_path, "pdf", ["fronteir"])
    with pytest.raises(ConfigError, match="format must be pdf, svg or png, got jpeg"):
        write_figures(one_cell, None, tmp_path, "jpeg")  # type: ignore[arg-type]


def test_a_figure_replaces_a_figure_of_its_format_and_nothing_else(one_cell: RunTable, tmp_path: Path) -> None:
    place = tmp_path / "frontier.png"
    for _ in range(2):
        write_figures(one_cell, None, tmp_path, "png", ["frontier"])
    place.write_bytes(b"my notes")
    with pytest.raises(ConfigError, match=r"frontier\.png is not a figure in png: name another folder or remove it"):
        write_figures(one_cell, None, tmp_path, "png", ["frontier"])
    assert place.read_bytes() == b"my notes"


def test_a_study_of_two_lineages_has_a_file_for_each(three_ranks: RunTable, tmp_path: Path) -> None:
    from embudget.runs.lineages import Lineage

    names = ("smollm2", "mini/lm retriever")
    cells = [cell.model_copy(update={"lineage": name}) for name in names for cell in three_ranks.cells]
    lineages = tuple(Lineage(name=name, run_count=len(cells) // 2) for name in names)
    both = with_cells(three_ranks.model_copy(update={"lineages": lineages}), cells)
    done = write_figures(both, None, tmp_path, "png", ["ranks"])
    assert [path.name for path in done.files] == ["ranks-smollm2.png", "ranks-mini-lm-retriever.png"]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_says_how_to_read_it(name: str) -> None:
    caption = FIGURES[name].caption
    assert caption.endswith(".")
    assert all(len(sentence.split()) <= 30 for sentence in caption.split(". "))


def test_built_in_laws_are_a_source_and_what_is_not_there_is_none() -> None:
    found = read_sources("micro")
    assert isinstance(found.laws, Laws)
    assert (found.records, found.decisions, found.why) == (None, None, None)
    with pytest.raises(ConfigError, match="no such file"):
        read_sources("nothing.db")
