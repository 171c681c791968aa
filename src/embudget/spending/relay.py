"""What a sweep tells of the runs that a search gave it, for whoever listens to the search."""

from embudget.records import RunConfig, RunRecord
from embudget.spending.listener import SpendListener
from embudget.spending.search import Search
from embudget.study import SweepListener


class Relay(SweepListener):
    """Hands on what a sweep tells of the runs of a search."""

    def __init__(self, search: Search, listener: SpendListener) -> None:
        self._search, self._listener = search, listener

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        """A step of a run."""
        self._listener.progress(config, share, loss)

    def lost(self, config: RunConfig, reason: str, attempt: int) -> None:
        """The process of a run was lost."""
        self._listener.lost(config, reason, attempt)

    def finished(self, record: RunRecord) -> None:
        """A run has its record."""
        self._search.put()
        self._search.finished(record)
