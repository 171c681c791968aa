"""What every engine has in common: an executor trains the runs that are waiting in a store until none is left.

Two kinds of them. `local` trains in this process or in processes that it starts itself, and writes the records for
them. A `Crew` hires workers elsewhere, each of which is `embudget.study.work.work` on the store: it takes runs from the
queue, trains them and writes their records by itself, exactly as `embudget worker STORE` does. So the driver of a crew
only hires, watches the store and tells. One that decides in rounds promises the next one's runs by a lease in the store
(`embudget.study.leases`), and idle workers wait as long as that is held. It may be killed and started again, or be
there twice, and workers started by hand on any other machine may join.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from embudget.study.store import Store


class Gone(NamedTuple):
    """A worker that has ended, and how."""

    name: str
    reason: str
    """Why it failed, in a few words; empty where it ended because no run was left."""


class Crew(ABC):
    """Workers on other machines, which take runs from a store by themselves.

    The address of the store may hold a password: it is handed over in the environment, as ``EMBUDGET_STORE``, and never
    written to a file or a log.
    """

    @abstractmethod
    def hire(self, count: int) -> None:
        """Ask for so many more workers; they may start now, later, or whenever a machine is free.

        Raises:
            ConfigError: the engine cannot be reached, or refuses what was asked for.
        """

    @abstractmethod
    def waiting_or_working(self) -> int:
        """How many hired workers have not ended yet, those that wait for a machine included."""

    @abstractmethod
    def gone(self) -> list[Gone]:
        """Workers that ended since this was last asked."""

    @abstractmethod
    def dismiss(self) -> None:
        """End all workers: they write checkpoints and let go of their runs, as at a signal."""


CrewOf = Callable[["Store"], Crew]
"""Makes the crew whose workers take runs from an open store."""
