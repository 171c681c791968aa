"""The progress of a sweep on a terminal."""

import time
from collections.abc import Sequence

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from embudget.cli.console import still_wanted
from embudget.cli.store_view import StoreBars, StoreView
from embudget.duration import duration
from embudget.records import RunConfig, RunRecord
from embudget.study import Plan, SweepListener
from embudget.yardstick import loss_text


def label(config: RunConfig) -> str:
    """A run in a few words."""
    schedule = "" if config.schedule == "cosine" else f" {config.schedule}"
    return (
        f"{config.model} {config.method} {config.train_flops:.3g} FLOP rate {config.learning_rate:g} seed {config.seed}"
        f"{config.unusual}{schedule}"
    )


def outcome(record: RunRecord) -> str:
    """What came of a run in a few words: its loss beside that by chance, or why it does not count."""
    if record.status == "done":
        assert record.loss is not None
        return f"loss {loss_text(record.loss, record.groups)} (chance {record.by_chance:.3f})"
    return f"{record.status.replace('_', ' ')}: {record.error}"


MOST_DOUBTS = 8
"""Runs whose remarks are listed; a study at one rate that is too high has the same for all."""


def doubts(records: Sequence[RunRecord], count: int | None = None) -> list[str]:
    """Lines on runs that ended no better than they began, the first few of them; ``count`` is of how many in all."""
    doubted = [record for record in records if record.remarks]
    lines = [
        f"warning: {record.id[:8]} {label(record.config)}: {remark}"
        for record in doubted[:MOST_DOUBTS]
        for remark in record.remarks
    ]
    more = (len(doubted) if count is None else count) - MOST_DOUBTS
    return lines + ([f"warning: and {more} more runs that did not help their starts"] if more > 0 else [])


class SweepBar(SweepListener):
    """A bar over a study's FLOP, with the run under way and the time left, above a table of the store's runs.

    What several runs share counts once.

    Args:
        view: looks at the store for the table; without one there is none.
    """

    def __init__(self, view: StoreView | None = None) -> None:
        columns = BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        self._bar = StoreBars(*columns, view=view)
        self._task = self._bar.add_task("", total=None)
        self._total = self._done = 0.0
        self._left = 0
        self.runs = 0
        """Runs of the study, those that have records included."""
        self.refused: dict[str, str] = {}
        """The members that cannot be trained, and why."""
        self._started = 0.0
        self._own: dict[str, float] = {}
        """The id of each missing run -> the FLOP that it adds."""
        self._spent: dict[str, float] = {}
        """The id of each run under way -> how much of its own FLOP is spent."""

    def __enter__(self) -> "SweepBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def planned(self, plan: Plan, done: Sequence[RunRecord]) -> None:
        """Set the bar's length to the FLOP of the runs that are missing."""
        self.runs, self.refused = len(plan.runs), plan.refused
        missing = plan.without({record.id for record in done})
        self._own = {run.config.id: run.own_flops for run in missing.runs}
        self._total, self._left = missing.train_flops, len(missing.runs)
        self._started = time.perf_counter()
        self._bar.update(self._task, total=self._total or 1, completed=0)
        self._say(f"{len(plan.runs)} runs: {len(done)} have records, {self._left} to do; {len(plan.left_out)} left out")

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        """Move the bar by a step of a run."""
        still_wanted()
        own = self._own[config.id]
        self._spent[config.id] = max(0.0, own - max(0.0, 1.0 - share) * config.train_flops)
        spent = self._done + sum(self._spent.values())
        elapsed = time.perf_counter() - self._started
        left = "?" if not spent else duration(elapsed * (self._total - spent) / spent)
        if (known := self._bar.seconds_left) is not None:
            left = duration(known)
        run = f"{config.model} {config.method} {config.train_flops:.3g} FLOP loss {loss:.2f}"
        text = f"{run}  {self._left} to do, {left} left"
        self._bar.update(self._task, completed=spent, description=text)

    def finished(self, record: RunRecord) -> None:
        """Print a finished run."""
        self._left -= 1
        self._spent.pop(record.id, None)
        self._done += self._own[record.id]
        self._say(f"{label(record.config)}: {outcome(record)}")
        for remark in record.remarks:
            self._say(f"  warning: {remark}")

    def lost(self, config: RunConfig, reason: str, attempt: int) -> None:
        """Print a lost process."""
        self._say(f"{label(config)}: {reason} in attempt {attempt}")

    def held(self, config: RunConfig) -> None:
        """Print a run that is left to another sweep."""
        self._left -= 1
        self._total -= self._own[config.id]
        self._say(f"{label(config)}: another sweep has it")

    def watching(self, count: int, seconds: float) -> None:
        """Say why nothing happens for a while."""
        runs = "1 run is" if count == 1 else f"{count} runs are"
        self._say(f"{runs} held by another sweep: watching for up to {duration(seconds)} whether it is still at work")

    def _say(self, line: str) -> None:
        """Print one line as it is, however long: in a file it stays one."""
        self._bar.console.print(line, soft_wrap=True, markup=False, emoji=False, highlight=False)
