"""Labels beside points: none covers another or leaves the frame, and what finds no place is left out."""

from itertools import combinations

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from embudget.figures.frontier import draw_frontier
from embudget.figures.isoflop import draw_isoflop
from embudget.figures.labels import PointLabel, place_labels
from embudget.laws import Laws


def check_apart(axes: Axes) -> int:
    """Check that no text on the axes covers another or leaves the frame; their number."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    frame = axes.bbox.padded(1)
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)
    return len(boxes)


def test_labels_of_crowded_points_stay_apart_and_in_the_frame() -> None:
    axes = plt.subplots(figsize=(3.3, 2.5))[1]
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (30, 2))
    axes.plot(*points.T, "o")
    labels = [PointLabel(x, y, f"member {row}, 32", "black") for row, (x, y) in enumerate(points)]
    left_out = place_labels(axes, labels)
    assert check_apart(axes) == len(labels) - len(left_out)
    assert len(left_out) < 10


def test_a_label_that_finds_no_place_is_left_out() -> None:
    axes = plt.subplots(figsize=(1, 1))[1]
    label = PointLabel(0.5, 0.5, "wider than the whole of the axes " * 3, "black")
    assert place_labels(axes, [label]) == [label]
    assert not axes.texts


def test_the_first_label_has_the_place_above_its_point_and_the_next_gives_way() -> None:
    axes = plt.subplots(figsize=(3, 3))[1]
    place_labels(axes, [PointLabel(0.5, 0.5, text, "black") for text in ("first", "second")])
    first, second = (text.get_position() for text in axes.texts[:2])
    assert first[1] > abs(first[0])
    assert first != second


def test_labels_of_the_built_in_laws_stay_apart(micro: Laws, smollm2: Laws) -> None:
    """Methods of micro are level at several budgets, and the isoFLOP curves of smollm2 have the most points."""
    assert check_apart(draw_frontier(micro)) >= len(micro.table.budgets)
    assert check_apart(draw_isoflop(smollm2, kind="freeze")) >= 25
