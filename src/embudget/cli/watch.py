"""`embudget watch`: look at a store whose runs are trained somewhere else."""

import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from embudget.cli.options import Verbose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embudget.study.progress import StoreProgress


def command(
    store: Annotated[
        str,
        typer.Argument(envvar="EMBUDGET_STORE", help="SQLite file or SQLAlchemy URL; EMBUDGET_STORE hides passwords."),
    ],
    once: Annotated[bool, typer.Option("--once", help="Print how far it is now, and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The same as one JSON object, for scripts.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 3.0,
    verbose: Verbose = False,
) -> None:
    """Show how far the runs of a store are: running, failed and why, the best of each budget, the time left.

    It may run anywhere that reaches the store, and changes nothing there. It ends when no run is left or to come;
    Ctrl-C ends it earlier, and leaves the runs alone. Where nobody watches, as in a file, it prints a line whenever a
    run has ended.

    Exit code 1: a run failed.

    \b
    Examples: embudget watch study.db
              EMBUDGET_STORE=postgresql://me:secret@host/study embudget watch --once
    """  # noqa: D301
    from embudget.study import Store
    from embudget.training.interrupt import Interrupted, forget

    failed = False
    with Store(store, create=False) as opened:
        reader = opened.progress()
        try:
            if json:
                latest = reader.look()
                typer.echo(latest.model_dump_json(indent=2))
                failed = latest.failed > 0
            else:
                failed = _show(_looks(reader.look, every, once), opened.location, once)
        except KeyboardInterrupt as error:
            if isinstance(error, Interrupted) and error.signal != signal.SIGINT:
                raise
            forget()  # to look no more is no failure
    if failed:
        raise typer.Exit(1)


def _looks(look: "object", every: float, once: bool) -> "Iterator[StoreProgress]":
    while True:
        latest = look()  # type: ignore[operator]
        yield latest
        if once or latest.over:
            return
        time.sleep(every)


def _show(looks: "Iterator[StoreProgress]", location: str, once: bool) -> bool:
    """Print each look in the place of the last on a terminal, else what is new of it; whether a run failed."""
    from rich.console import Console
    from rich.live import Live

    from embudget.cli.console import still_wanted
    from embudget.cli.progress_table import progress_table, summary

    console = Console(highlight=False, markup=False, emoji=False)
    latest = None
    if console.is_terminal and not once:
        with Live(console=console, auto_refresh=False) as live:
            for latest in looks:
                still_wanted()
                live.update(progress_table(latest, console.width, console.height - 1), refresh=True)
    else:
        told = -1
        for latest in looks:
            if not once and not latest.over and latest.ended != told:
                told = latest.ended
                typer.echo(f"{location}: {summary(latest)}")
        assert latest is not None, "there is at least one look"
        if not console.is_terminal:
            console = Console(highlight=False, markup=False, emoji=False, width=120)
        console.print(progress_table(latest, console.width))
    assert latest is not None, "there is at least one look"
    return latest.failed > 0
