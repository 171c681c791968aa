"""`embudget records`: look at a store, or take its records elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    store: Annotated[str, typer.Argument(help="SQLite file or SQLAlchemy URL.")],
    csv: Annotated[
        Path | None, typer.Option(help="Write all records to this file, which `embudget fit` reads too.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """List the runs of a study, or write them as CSV.

    \b
    Examples: embudget records study.db
              embudget records study.db --csv records.csv
    """  # noqa: D301
    from embudget.cli.console import table
    from embudget.study import Store

    with Store(store, create=False) as opened:
        records = opened.records()
    if csv is not None:
        from embudget.records import write_records_csv

        write_records_csv(records, csv)
        typer.echo(f"{csv}: {len(records)} records")
        return
    schedules = {record.config.schedule for record in records} - {"cosine"}
    rows = [
        [
            record.config.model,
            record.config.method,
            f"{record.config.train_flops:.3g}",
            f"{record.config.learning_rate:g}",
            str(record.config.seed),
            f"{record.steps:,}" if record.steps is not None else "",
            f"{record.tokens:,}" if record.tokens is not None else "",
            f"{record.seconds:.0f}" if record.seconds is not None else "",
            f"{record.loss:.4f}" if record.loss is not None else "",
            f"{record.accuracy:.3f}" if record.accuracy is not None else "",
            record.status,
            *([record.config.schedule] if schedules else []),
        ]
        for record in records
    ]
    headers = ["member", "method", "FLOP", "rate", "seed", "steps", "tokens", "seconds", "loss", "accuracy", "status"]
    typer.echo(table([*headers, "schedule"] if schedules else headers, rows))
