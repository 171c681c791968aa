"""`embudget figures`: a study's figures for print, a file each."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from embudget.cli.options import Verbose


def command(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STORE|LAWS",
            help="A store, the file written by `embudget fit`, or the name of built-in laws. Figures of single runs "
            "need a store.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the figures to; other files in it stay.")] = Path(
        "figures"
    ),
    format: Annotated[
        Literal["pdf", "svg", "png"],
        typer.Option(help="pdf and svg keep text as text; png is for web pages."),
    ] = "pdf",
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Figure to write, repeatable; all by default.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Write a study's figures, in the sizes of a paper's columns.

    Each is a file NAME.pdf. A study of several lineages has most of them for each: NAME-LINEAGE.pdf. What the study
    cannot show is left out, and said.

    \b
    Examples: embudget figures study.db --out figures --format svg
              embudget figures smollm2 --only frontier --only ranks
    """  # noqa: D301
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        from embudget.errors import ConfigError

        raise ConfigError("figures need the package matplotlib: pip install 'embudget[plot]'") from None
    mpl.use("Agg")  # files need no window

    from embudget.figures import read_sources, write_figures
    from embudget.outputs import check_added_to, store_places

    check_added_to(out, tuple(store_places(study)))
    sources = read_sources(study)
    if sources.why:
        typer.echo(f"without laws: {sources.why}", err=True)
    done = write_figures(sources.laws, sources.records, out, format, only or (), sources.decisions)
    for path in done.files:
        typer.echo(path)
    for name, reason in done.left_out.items():
        typer.echo(f"left out {name}: {reason}", err=True)
