"""What the commands print: results on stdout, progress on stderr."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from embudget.training.interrupt import SIGNALS, forget, on_signal, raise_pending

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


_SILENT_SECONDS = 2.0


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out in columns, the first left-aligned, the others right-aligned."""
    columns = []
    for number, column in enumerate(zip(headers, *rows, strict=True)):
        width = max(map(len, column))
        columns.append([text.rjust(width) if number else text.ljust(width) for text in column])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def mind_ctrl_c() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP end the program in order; who started it may have chosen to ignore the others."""
    forget()
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, on_signal)


def still_wanted() -> None:
    """Raise an interruption that Python has swallowed, as it does in a destructor."""
    raise_pending()


def note(text: str) -> None:
    """Tell what is going on, on stderr."""
    typer.echo(text, err=True)


def _progress(columns: "Sequence[ProgressColumn]", *, speaks: bool = True) -> "Progress":
    """A display on stderr that leaves nothing behind; it is silent where nobody watches, or if it is not to speak."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not (speaks and console.is_terminal))


@contextmanager
def budget_bar(title: str) -> Iterator[Callable[[float, float], None]]:
    """A progress bar in shares of a budget, with the training loss and the time left."""
    from rich import progress as rich

    columns = [
        rich.TextColumn("{task.description}"), rich.BarColumn(), rich.TaskProgressColumn(),
        rich.TextColumn("{task.fields[loss]}"), rich.TimeElapsedColumn(), rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
    ]  # fmt: skip
    with _progress(columns, speaks=os.environ.get("RANK", "0") == "0") as progress:  # the first of several processes
        task = progress.add_task(title, total=1.0, loss="")

        def update(share: float, loss: float) -> None:
            still_wanted()
            progress.update(task, completed=min(1.0, share), loss=f"loss {loss:.3f}")

        yield update


@contextmanager
def counter(title: str) -> Iterator[Callable[[str, int], None]]:
    """A spinner with what is being read and how much of it there is so far.

    Where nobody watches, such as in a log, what takes longer than 2 s says a line for each stage instead.
    """
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    started, told = time.monotonic(), ""
    with _progress([SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]) as progress:
        task = progress.add_task(title)

        def update(what: str, count: int) -> None:
            nonlocal told
            still_wanted()
            progress.update(task, description=f"{title}: {what} {count:,}")
            if progress.disable and what != told and time.monotonic() - started > _SILENT_SECONDS:
                told = what
                note(f"{title}: {what}")

        yield update
