"""Which trunks can still be extended, and how much disk may that take? Their saved states, and which of them go first.

A search may extend any setting that it has measured, so each trunk keeps one state: that where its last branch began.
It holds the trained parameters with two moments each in float32, 12 bytes a parameter: 1.6 GB for smollm2-135m trained
in full with its embedding, 117 MB with lora:32. All of them together stay within a bound. Where they exceed it,
those of the arms go first that are least likely to be the best, and of one arm the cheapest. Each run under way needs
the room of up to four states more. At the end of the budget all go. A setting whose state is gone can be bought again,
at its whole price.
"""

import json
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from embudget.records import RunConfig
from embudget.spending.allocation import Decision, Setting
from embudget.training.checkpoint_folder import NUMBERS
from embudget.training.mirror import Mirror
from embudget.training.state import SHARED, trunk_name

MOST_BYTES = 20e9
"""Disk for the states of trunks, unless half of what is free at the start is less."""


class Trunk(NamedTuple):
    """The trunk of a setting, as far as it was trained."""

    config: RunConfig
    """Its last run."""
    warmup_flops: float
    """The same for all its runs."""
    branch_flops: float
    """Spent on it where that run's decay began."""


class TrunkStates:
    """The states of trunks in a folder of checkpoints.

    Args:
        folder: of all checkpoints.
        most_bytes: bound on all of them together; by default the lesser of 20 GB and half of what is free.
        mirror: the same states at a URL, from where one that another machine wrote is fetched.
    """

    def __init__(self, folder: Path, most_bytes: float | None = None, mirror: Mirror | None = None) -> None:
        self._folder, self._mirror = folder, mirror
        self.most_bytes = min(MOST_BYTES, shutil.disk_usage(folder).free / 2) if most_bytes is None else most_bytes

    def has(self, trunk: Trunk) -> bool:
        """Whether the state is there from which a longer run than the trunk's last one goes on.

        Raises:
            RemoteError: it may lie at a URL that cannot be read.
        """
        if self._mirror is not None:
            self._mirror.fetch_newer(trunk_name(trunk.config), NUMBERS)
        for state in sorted(self._of(trunk).glob("step-*"), reverse=True):
            try:
                shared = json.loads((state / NUMBERS).read_text())["numbers"]["notes"][SHARED]
            except (OSError, ValueError, LookupError, TypeError):
                continue
            return any(budget == trunk.config.train_flops for budget, _ in shared)
        return False

    def has_begun(self, run: str) -> bool:
        """Whether a run alone has a checkpoint of its own."""
        here = any((self._folder / run).glob("step-*"))
        return here or (self._mirror is not None and self._mirror.newest_step(run) >= 0)

    def trim(self, trunks: Iterable[Trunk]) -> None:
        """Leave one state of each trunk, the newest, and nothing of its branches, which have their records."""
        for trunk in trunks:
            folder = self._of(trunk)
            others = (path for name in ("branch-*", "part", "uploading-*") for path in folder.glob(name))
            for path in [*sorted(folder.glob("step-*"))[:-1], *others]:
                shutil.rmtree(path, ignore_errors=True)
            if self._mirror is not None:
                self._mirror.leave_newest(trunk_name(trunk.config))

    def drop(self, trunk: Trunk) -> None:
        """Remove the states of a trunk."""
        shutil.rmtree(self._of(trunk), ignore_errors=True)
        if self._mirror is not None:
            self._mirror.remove(trunk_name(trunk.config))

    def bytes_of(self, trunk: Trunk) -> int:
        """Disk that a trunk's states take."""
        return sum(path.stat().st_size for path in self._of(trunk).rglob("*") if path.is_file())

    def too_many(self, trunks: dict[Setting, Trunk], decision: Decision, needed: Collection[Setting]) -> list[Setting]:
        """Those whose states have to go so that the rest is within the bound, the least promising first.

        Args:
            trunks: all of them.
            decision: says how promising arms are.
            needed: settings that are about to be extended, which stay.
        """
        chances = {(model, method): chance for model, method, chance, _ in decision.standings}

        def promise(setting: Setting) -> tuple[float, float, str]:
            chance = chances.get((setting.model, setting.method), 0.0)
            return chance, trunks[setting].config.train_flops, setting.model_dump_json()

        going: list[Setting] = []
        total = sum(map(self.bytes_of, trunks.values()))
        for setting in sorted(set(trunks) - set(needed) - {decision.best}, key=promise):
            if total <= self.most_bytes:
                break
            going.append(setting)
            total -= self.bytes_of(trunks[setting])
        return going

    def _of(self, trunk: Trunk) -> Path:
        return self._folder / trunk_name(trunk.config)
