"""`embudget report`: one self-contained page of a study."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    store: Annotated[str, typer.Argument(help="SQLite file or SQLAlchemy URL.")],
    laws: Annotated[Path | None, typer.Option(help="File written by `embudget fit`; fitted anew by default.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML written by `embudget recipe`, to show beside.")] = None,
    out: Annotated[Path, typer.Option(help="File for the page.")] = Path("report.html"),
    verbose: Verbose = False,
) -> None:
    """Write figures and tables of a study as one HTML file that opens offline.

    \b
    Example: embudget report study.db --laws laws.json --out report.html
    """  # noqa: D301
    from embudget.laws import Laws, fit
    from embudget.recipe import Recipe
    from embudget.report import write_report
    from embudget.study import Store

    with Store(store, create=False) as opened:
        records = opened.records()
    fitted = Laws.load(laws) if laws is not None else fit(records)
    write_report(out, records, fitted, Recipe.load(recipe) if recipe is not None else None)
    typer.echo(f"{out}: open it in a browser")
