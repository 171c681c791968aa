"""`embudget fit`: scaling laws from records."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    records: Annotated[str, typer.Argument(help="A store, or a CSV file as `embudget records --csv` writes it.")],
    out: Annotated[Path, typer.Option(help="File for the laws.")] = Path("laws.json"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    draws: Annotated[int, typer.Option(min=20, help="Bootstrap draws behind the intervals.")] = 200,
    verbose: Verbose = False,
) -> None:
    """Fit the scaling laws of a study and print them.

    \b
    Example: embudget fit study.db --out laws.json
    """  # noqa: D301
    from embudget.laws import fit
    from embudget.laws.table import read_records_csv
    from embudget.study import Store

    if records.endswith(".csv"):
        found = read_records_csv(Path(records))
    else:
        with Store(records, create=False) as opened:
            found = opened.records()
    laws = fit(found, seed=seed, draws=draws)
    laws.save(out)
    typer.echo(laws.summary())
    typer.echo(f"{out}: next: embudget recipe {out} --budget FLOP")
