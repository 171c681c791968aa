"""The quickstart on a terminal: stages with their estimated time, progress bars and results."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from embudget.cli.console import budget_bar, counter, note
from embudget.cli.sweep_bar import SweepBar
from embudget.end_to_end import Screen
from embudget.report.formats import duration
from embudget.study import SweepListener


class Terminal(Screen):
    """Print the stages and bars on stderr, the results on stdout."""

    stages = 6

    def __init__(self) -> None:
        self.number = 0

    def stage(self, title: str, seconds: float | None) -> None:
        """Print the stage's number, its title and about how long it takes."""
        self.number += 1
        about = f", about {duration(seconds)}" if seconds else ""
        note(f"\n[{self.number}/{self.stages}] {title}{about}")

    def say(self, text: str) -> None:
        """Print a result."""
        typer.echo(text)

    bar = staticmethod(budget_bar)
    counter = staticmethod(counter)

    @contextmanager
    def sweep(self) -> Iterator[SweepListener]:
        """Show a bar over a study."""
        with SweepBar() as listener:
            yield listener
