"""The progress of a sweep on a terminal."""

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from embudget.cli.console import still_wanted
from embudget.records import RunConfig, RunRecord
from embudget.report.formats import duration
from embudget.study import Plan, SweepListener


def label(config: RunConfig) -> str:
    """A run in a few words."""
    return (
        f"{config.model} {config.method} {config.train_flops:.3g} FLOP rate {config.learning_rate:g} seed {config.seed}"
    )


class SweepBar(SweepListener):
    """A bar over the FLOP of a study, with the run under way and the time left."""

    def __init__(self) -> None:
        columns: list[Any] = [BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=None)
        self._total = self._done = 0.0
        self._left = 0
        self.runs = 0
        """Of the study, those that have records included."""
        self._started = 0.0
        self._shares: dict[str, float] = {}

    def __enter__(self) -> "SweepBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def planned(self, plan: Plan, done: Sequence[RunRecord]) -> None:
        """Set the bar's length to the FLOP of the runs that are missing."""
        self.runs = len(plan.runs)
        ids = {record.id for record in done}
        missing = [run for run in plan.runs if run.config.id not in ids]
        self._total, self._left = sum(run.config.train_flops for run in missing), len(missing)
        self._started = time.perf_counter()
        self._bar.update(self._task, total=self._total or 1, completed=0)
        self._bar.console.print(
            f"{len(plan.runs)} runs: {len(done)} have records, {len(missing)} to do; {len(plan.left_out)} left out"
        )

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        """Move the bar by a step of a run."""
        still_wanted()
        self._shares[config.id] = min(1.0, share) * config.train_flops
        spent = self._done + sum(self._shares.values())
        elapsed = time.perf_counter() - self._started
        left = duration(elapsed * (self._total - spent) / spent) if spent else "?"
        run = f"{config.model} {config.method} {config.train_flops:.3g} FLOP loss {loss:.2f}"
        text = f"{run}  {self._left} to do, {left} left"
        self._bar.update(self._task, completed=spent, description=text)

    def finished(self, record: RunRecord) -> None:
        """Print a finished run."""
        self._left -= 1
        self._shares.pop(record.id, None)
        self._done += record.config.train_flops
        outcome = f"loss {record.loss:.3f}" if record.loss is not None else f"failed: {record.error}"
        self._bar.console.print(f"{label(record.config)}: {outcome}", highlight=False)

    def lost(self, config: RunConfig, reason: str, attempt: int) -> None:
        """Print a lost process."""
        self._bar.console.print(f"{label(config)}: {reason} in attempt {attempt}", highlight=False)

    def held(self, config: RunConfig) -> None:
        """Print a run that is left to another sweep."""
        self._left -= 1
        self._total -= config.train_flops
        self._bar.console.print(f"{label(config)}: another sweep has it", highlight=False)
