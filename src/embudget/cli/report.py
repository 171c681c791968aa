"""`embudget report`: one self-contained page of a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embudget.cli.options import Verbose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embudget.recipe import Recipe
    from embudget.records import RunRecord
    from embudget.report.live import PageWritten


def command(
    store: Annotated[
        str,
        typer.Argument(envvar="EMBUDGET_STORE", help="SQLite file or SQLAlchemy URL; EMBUDGET_STORE hides passwords."),
    ],
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
    watch: Annotated[
        bool, typer.Option("--watch", help="Write the page anew as runs end, until none is left or Ctrl-C.")
    ] = False,
    every: Annotated[
        float | None, typer.Option(min=1, help="Least seconds between two pages; with --watch, 30 by default.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Write a study as one page, which answers for any budget and shows figures and tables.

    It is one HTML file, which opens offline. Its recipes are those of `embudget recipe`, its findings those of
    `embudget explain`. Runs can be filtered and saved as CSV.

    With --watch it follows a study that is trained somewhere else. As long as its runs are too few for laws, the page
    says what is there and what is missing. Ctrl-C ends it and leaves the last page.

    \b
    Examples: embudget report study.db --laws laws.json --out report.html
              embudget report study.db --recipe recipe.yaml --model model/
              embudget report study.db --watch
    """  # noqa: D301
    from embudget.contents import PAGE
    from embudget.errors import ConfigError
    from embudget.exports.folder import read_record
    from embudget.laws import describe_origin, find_laws, fit
    from embudget.outputs import check_file_output, store_places
    from embudget.recipe import Recipe
    from embudget.report import write_report
    from embudget.report.live import live_pages
    from embudget.runs import RunTable
    from embudget.study import Store

    if every is not None and not watch:
        raise ConfigError("--every goes with --watch")
    check_file_output(out, PAGE, (*store_places(store), laws, recipe, model))
    answer = Recipe.load(recipe) if recipe is not None else None
    measured = read_record(model) if model is not None else None
    if answer is not None and measured is not None:
        _check_same(answer, measured, model)
    source = "laws.json" if laws is None else laws
    with Store(store, create=False) as opened:
        fitted = None if laws is None else find_laws(laws)
        if watch:
            _follow(live_pages(out, opened, fitted, answer, measured, source, **_pace(every)), out)
        else:
            fitted = fitted or fit(RunTable.of_rows(opened.rows()))
            write_report(out, opened, fitted, answer, measured, source)
    if laws is not None and fitted is not None and (origin := describe_origin(laws, fitted)):
        typer.echo(f"laws: {origin}")
    typer.echo(f"{out}: open it in a browser")


def _pace(every: float | None) -> "dict[str, Any]":
    """How often a watched page is written, and that waiting ends by nothing but a signal."""
    import time

    from embudget.cli.console import still_wanted
    from embudget.report.live import EVERY_SECONDS, LOOK_SECONDS

    every = EVERY_SECONDS if every is None else every

    def wait(seconds: float) -> bool:
        still_wanted()
        time.sleep(min(seconds, every, LOOK_SECONDS))
        return False

    return {"every": every, "wait": wait}


def _follow(pages: "Iterator[PageWritten]", out: Path) -> None:
    """Say what each page is, and once why one could not be written; that of the last page is an error."""
    from embudget.cli.console import note
    from embudget.cli.progress_table import summary
    from embudget.errors import ConfigError

    failure = ""
    for page in pages:
        if not page.failure:
            typer.echo(f"{out}: {summary(page.progress)}{f'; no laws yet: {page.no_laws}' if page.no_laws else ''}")
        elif page.failure != failure:
            note(f"embudget: {page.failure}; it is tried again")
        failure = page.failure
    if failure:
        raise ConfigError(failure)


def _check_same(recipe: "Recipe", measured: "RunRecord", model: Path | None) -> None:
    """Refuse to set the run of one recipe against the prediction of another."""
    from embudget.errors import ConfigError

    for field in ("model", "method", "train_flops"):
        wanted, found = getattr(recipe, field), getattr(measured.config, field)
        if wanted != found:
            raise ConfigError(f"{model} is not the recipe's run: {field} must be {wanted}, got {found}")
