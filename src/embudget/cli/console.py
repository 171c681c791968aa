"""What the commands print: results on stdout, progress on stderr."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out in columns, the first left-aligned, the others right-aligned."""
    widths = [max(len(row[column]) for row in [headers, *rows]) for column in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        first, rest = f"{cells[0]:{widths[0]}}", (f"{c:>{w}}" for c, w in zip(cells[1:], widths[1:], strict=True))
        return "  ".join([first, *rest]).rstrip()

    return "\n".join(line(row) for row in [headers, *rows])


_pressed = False


def mind_ctrl_c() -> None:
    """Remember Ctrl-C, which Python swallows where it falls into a destructor, for `still_wanted` to raise again."""

    def press(number: int, frame: object) -> None:
        global _pressed
        _pressed = True
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, press)


def still_wanted() -> None:
    """Raise the Ctrl-C that has been pressed and not been heeded.

    Raises:
        KeyboardInterrupt: there was one.
    """
    global _pressed
    if _pressed:
        _pressed = False
        raise KeyboardInterrupt


def note(text: str) -> None:
    """Tell what is going on, on stderr."""
    typer.echo(text, err=True)


@contextmanager
def budget_bar(title: str) -> Iterator[Callable[[float, float], None]]:
    """A progress bar in shares of a budget, with the training loss and the time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    ]  # fmt: skip
    console = Console(stderr=True)
    silent = not console.is_terminal or os.environ.get("RANK", "0") != "0"  # of several processes, the first speaks
    with Progress(*columns, console=console, transient=True, disable=silent) as progress:
        task = progress.add_task(title, total=1.0, loss="")

        def update(share: float, loss: float) -> None:
            still_wanted()
            progress.update(task, completed=min(1.0, share), loss=f"loss {loss:.3f}")

        yield update


@contextmanager
def counter(title: str) -> Iterator[Callable[[str, int], None]]:
    """A spinner with what is being read and how much of it there is so far."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title)

        def update(what: str, count: int) -> None:
            still_wanted()
            progress.update(task, description=f"{title}: {what} {count:,}")

        yield update
