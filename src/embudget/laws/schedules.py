"""Whether the cells of a fit were trained by different schedules of the learning rate.

A schedule is a setting: of those tried in one cell the best is the cell's (see `tuning`). But where some cells were run
by one and others by another, a law takes what the schedule costs for an effect of size, data or method.
"""

from collections import Counter
from collections.abc import Sequence

from embudget.laws.table import Cell


def schedule_warnings(cells: Sequence[Cell]) -> list[str]:
    """A line where the cells have more than one schedule; those that do not say count as none."""
    counts = Counter(cell.schedule for cell in cells if cell.schedule is not None)
    if len(counts) < 2:
        return []
    listed = ", ".join(f"{schedule} ({count})" for schedule, count in counts.most_common())
    return [
        f"the cells were trained by different schedules, {listed}: the laws take what a schedule costs for an effect "
        "of size, data or method; fit them separately"
    ]
