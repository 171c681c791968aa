"""One trunk at a constant rate that serves all budgets of a cell."""

from collections.abc import Callable, Iterator, Sequence

from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord

OnTrunkProgress = Callable[[RunConfig, float, float], None]
"""Called with the run that is served, the share of its own budget spent and the training loss in nats."""


def train_trunk(
    configs: Sequence[RunConfig], pairs: Pairs, on_progress: OnTrunkProgress | None = None, processes: int = 1
) -> Iterator[RunRecord]:
    """Train the runs of one trunk, and yield the record of each as its branch ends, cheapest budget first."""
    raise NotImplementedError
