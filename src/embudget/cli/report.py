"""`embudget report`: one self-contained page of a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embudget.cli.options import Verbose

if TYPE_CHECKING:
    from embudget.recipe import Recipe
    from embudget.records import RunRecord


def command(
    store: Annotated[str, typer.Argument(help="SQLite file or SQLAlchemy URL.")],
    laws: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="File written by `embudget fit`, or the name of built-in laws; fitted anew by default.",
        ),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="YAML written by `embudget recipe`, to show beside the study.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder that `embudget train` wrote for that recipe: its measured loss is set against the prediction."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write the page to.")] = Path("report.html"),
    verbose: Verbose = False,
) -> None:
    """Write a study as one page, which answers for any budget and shows figures and tables.

    It is one HTML file, which opens offline. Its recipes are those of `embudget recipe`, its findings those of
    `embudget explain`. Runs can be filtered and saved as CSV.

    \b
    Examples: embudget report study.db --laws laws.json --out report.html
              embudget report study.db --recipe recipe.yaml --model model/
    """  # noqa: D301
    from embudget.contents import PAGE
    from embudget.exports.folder import read_record
    from embudget.laws import describe_origin, find_laws, fit
    from embudget.outputs import check_file_output, store_places
    from embudget.recipe import Recipe
    from embudget.report import write_report
    from embudget.runs import RunTable
    from embudget.study import Store

    check_file_output(out, PAGE, (*store_places(store), laws, recipe, model))
    answer = Recipe.load(recipe) if recipe is not None else None
    measured = read_record(model) if model is not None else None
    if answer is not None and measured is not None:
        _check_same(answer, measured, model)
    with Store(store, create=False) as opened:
        fitted = find_laws(laws) if laws is not None else fit(RunTable.of_rows(opened.rows()))
        write_report(out, opened, fitted, answer, measured, "laws.json" if laws is None else laws)
    if laws is not None and (origin := describe_origin(laws, fitted)):
        typer.echo(f"laws: {origin}")
    typer.echo(f"{out}: open it in a browser")


def _check_same(recipe: "Recipe", measured: "RunRecord", model: Path | None) -> None:
    """Refuse to set the run of one recipe against the prediction of another."""
    from embudget.errors import ConfigError

    for field in ("model", "method", "train_flops"):
        wanted, found = getattr(recipe, field), getattr(measured.config, field)
        if wanted != found:
            raise ConfigError(f"{model} is not the recipe's run: {field} must be {wanted}, got {found}")
