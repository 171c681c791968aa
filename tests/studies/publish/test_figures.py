"""The figures of a published study: which there are, and that panels of all kinds are drawn."""

from pathlib import Path

from matplotlib import pyplot as plt

from embudget.laws import find_laws
from studies.publish.figures import isoflops, save_figures


def test_a_study_gets_the_files_that_readme_and_docs_show(tmp_path: Path) -> None:
    written = save_figures(find_laws("micro"), tmp_path)
    assert [path.name for path in written] == ["frontier.png", "isoflop.png", "fractions.png", "ranks.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_the_isoflop_curves_have_a_panel_for_each_measured_kind() -> None:
    figure = isoflops(find_laws("smollm2"))
    assert [axes.get_title(loc="right") for axes in figure.axes] == ["full", "freeze", "lora"]
    plt.close(figure)
