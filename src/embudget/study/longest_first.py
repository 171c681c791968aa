"""When does each task of a study run, if devices take the longest one that is left?

Graham's rule (SIAM Journal on Applied Mathematics 17, 1969): with m devices and the longest task first, the end comes
at most 4/3 - 1/(3m) times as late as with the best schedule there is. A task is not divided: runs of one trunk need
each other's state.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """When a task runs, in seconds after the start of all."""

    start: float
    end: float


def spans_of(seconds: Sequence[float], devices: int) -> list[Span]:
    """Hand tasks out, the longest first, to whichever device is free.

    Args:
        seconds: of each task.
        devices: that work at the same time.

    Returns:
        The span of each task, in the order of the tasks.

    Example:
        >>> spans_of([1.0, 3.0, 2.0], devices=2)
        [Span(start=2.0, end=3.0), Span(start=0.0, end=3.0), Span(start=0.0, end=2.0)]
    """
    free = [0.0] * min(devices, len(seconds))
    spans = [Span(0.0, 0.0)] * len(seconds)
    for place in sorted(range(len(seconds)), key=lambda place: -seconds[place]):
        start = heapq.heappop(free)
        spans[place] = Span(start, start + seconds[place])
        heapq.heappush(free, spans[place].end)
    return spans


def most_at_once(spans: Sequence[Span], amounts: Sequence[float]) -> float:
    """The largest sum of amounts whose spans overlap, such as the bytes that tasks at work hold together."""
    # where one ends as another begins, the first lets go before the second takes hold
    changes = [(span.start, 1, amount) for span, amount in zip(spans, amounts, strict=True)]
    changes += [(span.end, 0, -amount) for span, amount in zip(spans, amounts, strict=True)]
    held = most = 0.0
    for _, _, amount in sorted(changes):
        held += amount
        most = max(most, held)
    return most
