"""How often is a checkpoint written? Often enough to lose little, seldom enough to cost little."""

import math

FIRST_SECONDS, LEAST_SECONDS, MOST_SECONDS = 30.0, 15.0, 600.0
SHARE_OF_RUN, TIMES_WRITING = 0.05, 20.0


def interval(seconds: float, share: float, took: float | None) -> float:
    """Seconds between two checkpoints of a run whose first ``share`` took so many seconds.

    They are a twentieth of what the whole run takes, but 15 s to 10 minutes and at least 20 times what writing the last
    one took (None: there is none yet; the first comes after 30 s at most).
    """
    expected = seconds / share if share > 0 else math.inf
    usual = min(MOST_SECONDS, max(LEAST_SECONDS, SHARE_OF_RUN * expected))
    return min(usual, FIRST_SECONDS) if took is None else max(usual, TIMES_WRITING * took)
