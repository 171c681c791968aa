"""The figures of a published study, as `embudget figures` draws them, in files that README and docs show."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.figure import Figure

from embudget.errors import FigureError
from embudget.figures import FIGURES
from embudget.figures.cells import part_of
from embudget.figures.isoflop import draw_isoflop
from embudget.figures.look import new_panels, printed
from embudget.figures.write import figure_of, save_figure
from embudget.laws import Laws


def save_figures(laws: Laws, folder: Path) -> list[Path]:
    """Write frontier.png, isoflop.png, fractions.png and ranks.png, those that the study has something to show in."""
    written = []
    for name, draw in {
        "frontier": FIGURES["frontier"].draw, "isoflop": isoflops,
        "fractions": FIGURES["fractions"].draw, "ranks": FIGURES["ranks"].draw,
    }.items():  # fmt: skip
        try:
            figure = figure_of(draw(laws))
        except FigureError:
            continue
        written.append(folder / f"{name}.png")
        save_figure(figure, written[-1])
    return written


@printed
def isoflops(laws: Laws) -> Figure:
    """The isoFLOP curves of all kinds of method, a panel each: what are files of their own for print."""
    kinds = part_of(laws).kinds
    figure, panels = new_panels(len(kinds), across=2, height=2.9)
    for kind, axes in zip(kinds, panels, strict=True):
        draw_isoflop(laws, axes, kind=kind)
        axes.set_title(kind, loc="right", y=0.93)
    return figure
