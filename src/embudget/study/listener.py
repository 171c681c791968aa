"""What a sweep tells while it goes on."""

from collections.abc import Sequence

from embudget.records import RunConfig, RunRecord
from embudget.study.planning import Plan


class SweepListener:
    """Is told how a sweep goes on; this base class ignores it."""

    def planned(self, plan: Plan, done: Sequence[RunRecord]) -> None:
        """The grid is sized; these of its runs have records already."""

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        """A step of a run: the share of its budget spent, its training loss in nats.

        A run that branches off a trunk starts with the share that the trunk has spent.
        """

    def finished(self, record: RunRecord) -> None:
        """A run has its record."""

    def lost(self, config: RunConfig, reason: str, attempt: int) -> None:
        """The process of a run was lost; it is done again while attempts are left."""

    def too_large(self, config: RunConfig, reason: str, device_bytes: float) -> None:
        """A worker has not enough memory for a run, which is left to those with more."""

    def held(self, config: RunConfig) -> None:
        """Another sweep on the same store has this run or its trunk; its record is left to that one."""

    def watching(self, count: int, seconds: float) -> None:
        """Nothing is left but runs of other sweeps, which may have ended: they are watched for up to this time."""

    def waiting(self) -> None:
        """A worker has no run: it waits for those of others that may have ended, or that a driver has promised."""
