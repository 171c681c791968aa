"""Eight figures against pictures of them that were looked at, with tolerance.

After a change that is meant, look at what `python -m tests.figures.test_images` writes to tests/figures/expected and
commit it. Pictures are small and coarse: they catch lost lines, labels, panels and legends, not a shifted pixel.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from PIL import Image

from embudget.figures import FIGURES
from embudget.figures.write import figure_of
from embudget.laws import find_laws
from tests.figures.made import cost_study, scored_study, table_of

EXPECTED = Path(__file__).parent / "expected"
PIXELS = 75
"""Per inch: text is just legible."""
TOLERANCE = 8.0
"""Largest root mean square difference, of 255: what another version of a font's renderer moves by is about 2."""

Pixels = NDArray[np.float64]


def _small() -> object:
    return table_of(("smollm2-135m:1",), ("full",), (1e12,))


PICTURES: dict[str, tuple[str, Callable[[], object]]] = {
    "frontier-smollm2": ("frontier", lambda: find_laws("smollm2")),
    "frontier-one-cell": ("frontier", _small),
    "isoflop-full-smollm2": ("isoflop-full", lambda: find_laws("smollm2")),
    "isoflop-lora-micro": ("isoflop-lora", lambda: find_laws("micro")),
    "fractions-smollm2": ("fractions", lambda: find_laws("smollm2")),
    "ranks-micro": ("ranks", lambda: find_laws("micro")),
    "optimum-micro": ("optimum", lambda: find_laws("micro")),
    "rate-law-micro": ("rate-law", lambda: find_laws("micro")),
    "scores-made": ("scores", scored_study),
    "cost-made": ("cost", cost_study),
}
"""Name of a picture -> the figure, and the study."""


def drawn(name: str) -> Image.Image:
    """The picture as it is drawn now."""
    figure_name, study = PICTURES[name]
    figure = figure_of(FIGURES[figure_name].draw(study()))
    file = BytesIO()
    figure.savefig(file, format="png", dpi=PIXELS)
    plt.close(figure)
    return Image.open(file).convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Root mean square over pixels and colours, of 255; infinite where the sizes differ."""
    first, second = (np.asarray(image, dtype=float) for image in (one, other))
    return float("inf") if first.shape != second.shape else float(np.sqrt(((first - second) ** 2).mean()))


@pytest.mark.parametrize("name", PICTURES)
def test_a_figure_looks_as_it_did(name: str) -> None:
    file = EXPECTED / f"{name}.png"
    assert file.stat().st_size < 40_000
    assert difference(drawn(name), Image.open(file).convert("RGB")) < TOLERANCE


def test_the_tolerance_tells_a_figure_without_its_lines(micro: object) -> None:
    """A picture in which one kind of mark is gone is further away than what is tolerated."""
    whole = drawn("ranks-micro")
    figure = figure_of(FIGURES["ranks"].draw(micro))
    for axes in figure.axes:
        for line in axes.get_lines():
            line.set_visible(line.get_linestyle() not in ("-",))
    file = BytesIO()
    figure.savefig(file, format="png", dpi=PIXELS)
    assert difference(whole, Image.open(file).convert("RGB")) > TOLERANCE


if __name__ == "__main__":
    plt.switch_backend("Agg")
    EXPECTED.mkdir(exist_ok=True)
    for picture in PICTURES:
        drawn(picture).quantize(32).save(EXPECTED / f"{picture}.png", optimize=True)
