"""Whether the cells of a fit were trained by different settings: schedules of the learning rate, or kinds of pooling.

A schedule is a setting: of those tried in one cell the best is the cell's (see `tuning`). But where some cells were run
by one and others by another, a law takes what the schedule costs for an effect of size, data or method.
"""

from collections import Counter
from collections.abc import Sequence

from embudget.runs.cells import Cell


def mixed_setting_warnings(cells: Sequence[Cell]) -> list[str]:
    """A line where the cells have more than one schedule, or pooling; those that do not say count as none."""
    return [*_mixed("schedule", "schedules", cells), *_mixed("pooling", "kinds of pooling", cells)]


def _mixed(name: str, several: str, cells: Sequence[Cell]) -> list[str]:
    counts = Counter(value for cell in cells if (value := getattr(cell, name)) is not None)
    if len(counts) < 2:
        return []
    listed = ", ".join(f"{value} ({count})" for value, count in counts.most_common())
    return [
        f"the cells were trained by different {several}, {listed}: the laws take what a {name} costs for an effect "
        "of size, data or method; fit them separately"
    ]
