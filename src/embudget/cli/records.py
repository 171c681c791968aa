"""`embudget records`: look at a store, or take its records elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    store: Annotated[str, typer.Argument(help="SQLite file or SQLAlchemy URL.")],
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Write all records to this file, which `embudget fit` reads too; losses by group stay in the store."
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """List the runs of a study, or write them as CSV.

    A loss has its standard error by held-out groups, where it was measured by group. Runs that differ in their batch,
    texts, negatives or yardstick have a column for it. The last column is the beginning of a run's id, by which
    `embudget compare` takes it.

    \b
    Examples: embudget records study.db
              embudget records study.db --csv records.csv
    """  # noqa: D301
    from embudget.cli.console import table
    from embudget.cli.sweep_bar import doubts
    from embudget.contents import TABLE
    from embudget.outputs import check_file_output, store_places
    from embudget.records import differing, record_row, write_records_csv
    from embudget.study import Store
    from embudget.yardstick import loss_text

    if csv is not None:
        check_file_output(csv, TABLE, store_places(store))
    with Store(store, create=False) as opened:
        records = opened.records()
    if csv is not None:
        write_records_csv(records, csv)
        typer.echo(f"{csv}: {len(records)} records")
        return
    configured = {"model": "", "method": "", "train_flops": ".3g", "learning_rate": "g", "seed": ""}
    measured = {
        "steps": ",",
        "tokens": ",",
        "seconds": ".0f",
        "loss": ".4f",
        "chance": ".4g",
        "accuracy": ".3f",
        "status": "",
    }
    also = differing(record.config for record in records)
    other_schedules = any(record.config.schedule != "cosine" for record in records)
    headers = ["member", "method", "FLOP", "rate", "seed", *also, *measured]
    rows = []
    for record in records:
        row = record_row(record)
        cells = [format(getattr(record.config, field), form) for field, form in configured.items()]
        cells += [str(getattr(record.config, field)) for field in also]
        for field, form in measured.items():
            value = row[field]
            if field == "loss" and value is not None and record.groups:
                cells.append(loss_text(value, record.groups))
            else:
                cells.append("" if value is None else format(value, form))
        rows.append([*cells, *([record.config.schedule] if other_schedules else []), record.id[:8]])
    typer.echo(table([*headers, *(["schedule"] if other_schedules else []), "id"], rows))
    for line in doubts(records):
        typer.echo(line)
