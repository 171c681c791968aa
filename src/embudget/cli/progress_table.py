"""A study's progress as a table: what runs, what failed and why, the best of each budget, the time that is left.

`sweep` and `spend` show it below their bars on a terminal, `embudget watch` anywhere. What does not fit is left out in
this order: the worker, the rate and seed, the ends of long names; and of many running runs all but those that end last.
"""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from embudget.duration import duration
from embudget.plural import plural

if TYPE_CHECKING:
    from embudget.study.progress import Ended, Running, StoreProgress

WIDE, MEDIUM = 110, 80
"""Columns from which workers are shown, and rates and seeds."""
MOST_SHOWN, LEAST_SHOWN = 40, 3
"""Running runs that are listed at most, and where the terminal is low."""
_FAILURES, _BUDGETS = 3, 4
_NUMBERS, _WORKER, _MODEL = 24, 28, 32
"""Columns that three numbers take, a worker's name and a model's at most."""


def summary(progress: "StoreProgress", rounds: bool = False) -> str:
    """How many runs are where, and the time left, in one line.

    Args:
        progress: of a store.
        rounds: whether further runs are decided when these have ended: then nothing is said of the time.
    """
    others = {"no better than chance": progress.no_gain, "diverged": progress.diverged, "failed": progress.failed}
    ended = [f"{progress.done} done", *(f"{count} {how}" for how, count in others.items() if count)]
    if rounds:
        return ", ".join([*ended, f"{len(progress.running)} running"])
    if progress.more and not progress.running and not progress.waiting:
        return ", ".join(ended) + "; the next runs are being decided"
    if progress.over:
        return ", ".join(ended) + "; no run is left"
    ended += [f"{len(progress.running)} running", f"{progress.waiting} waiting"]
    return ", ".join(ended) + "; " + _left(progress) + (", then further runs" if progress.more else "")


def progress_table(
    progress: "StoreProgress", width: int, height: int | None = None, rounds: bool = False
) -> RenderableType:
    """Lay it out for a terminal of this size, without a height for a file; the rest as for `summary`."""
    failures = progress.failures[:_FAILURES]
    best = progress.best[:_BUDGETS]
    parts: list[RenderableType] = [Text(summary(progress, rounds), style="bold")]
    if progress.running:
        taken = 8 + len(best) + (2 + len(failures) if failures else 0)
        most = MOST_SHOWN if height is None else max(LEAST_SHOWN, min(MOST_SHOWN, height - taken))
        parts.append(_running(progress.running, width, most))
    if failures:
        parts.append(_failures(failures, progress.failed, width))
    if best:
        parts.append(_best(progress, len(best), width))
    return Group(*parts)


def _left(progress: "StoreProgress") -> str:
    if not progress.running:
        return "nobody is at work"
    return (
        "the time left is not known yet"
        if progress.seconds_left is None
        else (f"about {duration(progress.seconds_left)} left")
    )


def _running(running: "tuple[Running, ...]", width: int, most: int) -> Table:
    table = _table("running", width - _NUMBERS - (_WORKER + 2 if width >= WIDE else 0))
    if width >= WIDE:
        table.add_column("worker", overflow="ellipsis", no_wrap=True, max_width=_WORKER)
    for name in ("share", "loss", "left"):
        table.add_column(name, justify="right", no_wrap=True, min_width=6)
    for run in running[:most]:
        cells = [Text(_name(run, width))]
        if width >= WIDE:
            cells.append(Text(run.worker))
        cells += [
            Text("begins" if run.share is None else f"{100 * min(run.share, 1):.0f} %"),
            Text("" if run.loss is None else f"{run.loss:.2f}"),
            Text("" if run.seconds_left is None else duration(run.seconds_left)),
        ]
        table.add_row(*cells)
    if (more := len(running) - most) > 0:
        table.add_row(Text(f"and {plural(more, 'run')} more, which end earlier", style="dim"))
    return table


def _failures(failures: "tuple[Ended, ...]", count: int, width: int) -> Table:
    """Each on one line; the whole reason is in its record."""
    names = [_name(run, 0) for run in failures]
    longest = min(max(map(len, names)), width // 2 - 2)
    table = _table("failed" if count <= len(failures) else f"failed, the last of {count}", longest + 2)
    table.add_column("why", overflow="ellipsis", no_wrap=True, max_width=max(8, width - longest - 4))
    for name, run in zip(names, failures, strict=True):
        table.add_row(Text(name), Text(" ".join((run.reason or "").split())))
    return table


def _best(progress: "StoreProgress", most: int, width: int) -> Table:
    table = _table("best so far", width - _NUMBERS)
    for name in ("FLOP", "loss", "runs"):
        table.add_column(name, justify="right", no_wrap=True, min_width=6)
    for one in progress.best[:most]:
        name = f"{_model(one.run.model)} {one.run.method}"
        if width >= MEDIUM:
            name += f" rate {one.run.learning_rate:.3g} seed {one.run.seed}"
        loss = "" if one.run.loss is None else f"{one.run.loss:.3f}"
        table.add_row(Text(name), f"{one.train_flops:.3g}", loss, str(one.runs))
    return table


def _table(title: str, width: int) -> Table:
    """A table whose first column gives way where a line is too long, so that the numbers stay."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=False)
    table.add_column(title, overflow="ellipsis", no_wrap=True, max_width=max(8, width - 2))
    return table


def _model(name: str) -> str:
    """The end of a long name: of a folder it is what tells models apart."""
    return name if len(name) <= _MODEL else f"…{name[1 - _MODEL :]}"


def _name(run: "Running | Ended", width: int) -> str:
    if run.model is None or run.train_flops is None:
        return f"run {run.id[:8]}"
    name = f"{_model(run.model)} {run.method} {run.train_flops:.3g} FLOP"
    return f"{name} rate {run.learning_rate:.3g} seed {run.seed}" if width >= MEDIUM else name
