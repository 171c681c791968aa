"""Who trains the runs of a search and the final ones: this machine, or the workers of a crew."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from embudget.pairs import Pairs
from embudget.spending.home import Home
from embudget.spending.relay import Relay
from embudget.spending.sizing import Sized
from embudget.study import Store, Study
from embudget.study.driver import place_of, train_all
from embudget.study.execution import Orders
from embudget.study.executors.crews import CrewDriver
from embudget.study.own_runs import MoreRuns, OwnRuns
from embudget.training.resources import Resources


class Rounds(ABC):
    """Trains what a search decides."""

    @abstractmethod
    def search(self, more: MoreRuns) -> None:
        """Train runs, asking for those of the next round when all that came before have their records."""

    @abstractmethod
    def finals(self, runs: Sequence[Sized], folders: Sequence[Path], check: Callable[[Sized], None]) -> None:
        """Train final runs into folders, or leave them to the caller, who trains those that lack a record then.

        Args:
            runs: the runs.
            folders: where their models go.
            check: refuses one that has lost the trunk that it goes on from.
        """

    @abstractmethod
    def end(self) -> None:
        """All is trained."""


class RoundsHere(Rounds):
    """Trains on this machine; final runs are left to the caller, one after the other in this process.

    They are not queued: a worker elsewhere would have to pay for trunks again, for which the budget has no room. And a
    queue takes a second process, which trains while this one decides; here one process does both.
    """

    def __init__(self, store: Store, told: Relay, pairs: Pairs, resources: Resources, workers: int) -> None:
        kept = resources._replace(keep_checkpoints=True, neighbours=workers)
        self._store, self._told, self._workers = store, told, workers
        self._orders = Orders(pairs.folder, kept, keep=True)

    def search(self, more: MoreRuns) -> None:
        """Train them in this process or in several."""
        with OwnRuns(self._store, (), self._told, self._orders, more) as runs:
            train_all(runs, self._workers)

    def finals(self, runs: Sequence[Sized], folders: Sequence[Path], check: Callable[[Sized], None]) -> None:
        """Leave them to the caller."""

    def end(self) -> None:
        """Nobody is left."""


class RoundsByCrew(Rounds):
    """Queues each round, and the final runs too, for the workers of a crew, who see the same folders."""

    def __init__(
        self, driver: CrewDriver, store: Store, study: Study, pairs: Pairs, resources: Resources, home: Home
    ) -> None:
        self._driver, self._store, self._home = driver, store, home
        self._place = place_of(study.model_copy(update={"evaluate": ()}), pairs, resources, keep=True)

    def search(self, more: MoreRuns) -> None:
        """Queue a round when all runs of the one before have their records; meanwhile the workers wait for it."""
        while runs := more():
            self._driver.train(runs, self._place, more=True)

    def finals(self, runs: Sequence[Sized], folders: Sequence[Path], check: Callable[[Sized], None]) -> None:
        """Queue those that lack a record, all at once; workers for whom there is none leave."""
        there = self._store.ids()
        missing = [one for one in runs if one.config.id not in there]
        out = {one.config.id: self._home.address(folder) for one, folder in zip(runs, folders, strict=True)}
        for one in missing:
            check(one)
        if missing:
            self._driver.train([one.config for one in missing], self._place, out=out)
        for folder in folders:
            self._home.take(folder)

    def end(self) -> None:
        """Dismiss the workers."""
        self._driver.end()
