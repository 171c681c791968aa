"""The figures of a study: no label covers another."""

from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from embudget.laws import find_laws
from studies.publish.figures import apart, draw_frontier


def test_labels_in_a_figure_are_pushed_apart_where_they_would_overlap() -> None:
    assert apart([10, 12, 100]) == [10, 18, 100]
    assert apart([10, 12, 13]) == [10, 18, 26]
    assert (apart([10]), apart([])) == ([10], [])


def test_no_label_of_the_frontier_covers_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr("studies.publish.figures.save_figure", lambda figure, _: drawn.append(figure))
    draw_frontier(find_laws("micro"), tmp_path / "frontier.png")  # methods are level at several budgets
    (figure,) = drawn
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 4 * 5
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
