"""`embudget quickstart`: the whole path, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for everything; quickstart/ by default. The same command again goes on there."),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A tiny version that checks the installation in a minute.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Go the whole path, from text pairs to a report.

    It builds pairs, runs a small study, fits laws, trains the recipe, evaluates it and writes a report. It needs the
    extras train and demo, no network, and about 11 minutes on two cores.

    \b
    Example: embudget quickstart --out quickstart/
    """  # noqa: D301
    from embudget.cli.screen import Terminal
    from embudget.end_to_end import quickstart

    quickstart(out or Path("quickstart-smoke" if smoke else "quickstart"), smoke=smoke, screen=Terminal())
