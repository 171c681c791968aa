"""`embudget quickstart`: the whole path, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    out: Annotated[
        Path | None, typer.Option(help="Folder for everything, by default quickstart/; a second start resumes there.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A tiny version that checks the installation in a minute.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Build pairs, sweep a small study, fit laws, train the recipe, evaluate it, write a report.

    \b
    Example: embudget quickstart --out quickstart/
    """  # noqa: D301
    from embudget.cli.screen import Terminal
    from embudget.end_to_end import quickstart

    quickstart(out or Path("quickstart-smoke" if smoke else "quickstart"), smoke=smoke, screen=Terminal())
