"""Texts beside points that neither overlap nor leave the frame: each at the nearest free place around its point.

A label that finds no free place is left out, since one that covers another tells less than none. Labels have no
outline: an outlined text would be written to PDF and SVG as shapes, which nobody can search or edit.
"""

from collections.abc import Sequence
from math import cos, pi, sin
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

DISTANCES = (4.0, 7.0, 11.0, 16.0, 22.0, 30.0)
"""From a point to its label, points of 1/72 inch; those beyond LEADER get a thin line."""
DIRECTIONS = 16
LEADER = 12.0
ON_LINE, ON_POINT, PER_POINT = 0.6, 3.0, 0.12
"""What counts against a place: each sample of a line under it, each marker under it, each point of distance."""
SAMPLES = 60
"""Points sampled on each line, which labels avoid."""


class PointLabel(NamedTuple):
    """A text at a point, in data coordinates."""

    x: float
    y: float
    text: str
    color: str


def place_labels(axes: Axes, labels: Sequence[PointLabel], size: float = 5.5) -> list[PointLabel]:
    """Write the labels on axes whose limits are final, the first ones at the best places.

    Args:
        axes: where all else is drawn already.
        labels: the most important first.
        size: of the font, points.

    Returns:
        The labels that found no place.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # only now the layout, and so the place of every point, is known
    scale = figure.dpi / 72
    frame = axes.bbox.padded(-scale)
    used: list[Bbox] = []
    left_out: list[PointLabel] = []
    lines, markers = _covered(axes)
    for label in labels:
        at = axes.transData.transform((label.x, label.y))
        written = axes.annotate(label.text, (label.x, label.y), fontsize=size, color=label.color, annotation_clip=False)
        extent = written.get_window_extent()
        written.remove()
        half = np.array([extent.width, extent.height]) / 2
        found = _free_place(at, half, scale, frame, used, lines, markers)
        if found is None:
            left_out.append(label)
            continue
        centre, box = found
        used.append(box.padded(0.5 * scale))
        _write(axes, label, size, (centre - at) / scale, half / scale)
    return left_out


def _covered(axes: Axes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Samples along the lines and the markers that are drawn, in pixels, (n, 2) each."""
    lines, markers = [np.empty((0, 2))], [np.empty((0, 2))]
    for line in axes.get_lines():
        points = line.get_transform().transform(line.get_xydata())
        if _is_drawn(line.get_marker()):
            markers.append(points)
        if _is_drawn(line.get_linestyle()) and len(points) > 1 and line.get_transform() == axes.transData:
            steps = np.linspace(0, len(points) - 1, SAMPLES)
            places = np.arange(len(points))
            lines.append(np.column_stack([np.interp(steps, places, points[:, side]) for side in (0, 1)]))
    return np.concatenate(lines), np.concatenate(markers)


def _is_drawn(style: object) -> bool:
    return str(style) not in ("None", "", " ")


def _free_place(
    at: NDArray[np.float64],
    half: NDArray[np.float64],
    scale: float,
    frame: Bbox,
    used: Sequence[Bbox],
    lines: NDArray[np.float64],
    markers: NDArray[np.float64],
) -> tuple[NDArray[np.float64], Bbox] | None:
    """The middle and the box of the best place within the frame that covers no label; None where there is none."""
    best, least = None, np.inf
    for distance in DISTANCES:
        for turn in range(DIRECTIONS):
            angle = 2 * pi * (turn + DIRECTIONS // 4) / DIRECTIONS  # above the point first
            way = np.array([cos(angle), sin(angle)])
            centre = at + way * (distance * scale + half)
            box = Bbox([centre - half, centre + half])
            if not (frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1):
                continue
            if any(box.overlaps(other) for other in used):
                continue
            room = box.padded(1.5 * scale)
            cost = PER_POINT * distance + ON_LINE * _within(room, lines) + ON_POINT * _within(room, markers)
            if cost < least:
                best, least = (centre, box), cost
    return best


def _within(box: Bbox, points: NDArray[np.float64]) -> int:
    return int(((points >= box.min) & (points <= box.max)).all(axis=1).sum())


def _write(axes: Axes, label: PointLabel, size: float, offset: NDArray[np.float64], half: NDArray[np.float64]) -> None:
    """Write a label so many points from its point, with a thin line where it is far."""
    axes.annotate(
        label.text, (label.x, label.y), tuple(offset), textcoords="offset points", fontsize=size, color=label.color,
        ha="center", va="center_baseline", zorder=5, annotation_clip=False,
    )  # fmt: skip
    gap = np.maximum(np.abs(offset) - half, 0.0)
    if float(np.hypot(*gap)) > LEADER:
        nearest = np.clip(0.0, offset - half, offset + half)
        axes.annotate(
            "", (label.x, label.y), tuple(nearest), textcoords="offset points", zorder=4, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": label.color, "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip


def direct_handle(color: str, marker: str = "", linestyle: object = "-", **options: object) -> Line2D:
    """A key for a legend that stands for what is drawn in several pieces."""
    return Line2D([], [], color=color, marker=marker, linestyle=linestyle, **options)  # type: ignore[arg-type]
