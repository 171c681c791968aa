"""`embudget records`: look at a store, or take its records elsewhere."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embudget.cli.options import Verbose

if TYPE_CHECKING:
    from embudget.records.stored import Row
    from embudget.study import Store


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
    from embudget.contents import TABLE
    from embudget.outputs import check_file_output, store_places
    from embudget.records import write_rows_csv
    from embudget.study import Store

    if csv is not None:
        check_file_output(csv, TABLE, store_places(store))
    with Store(store, create=False) as opened:
        if csv is not None:
            typer.echo(f"{csv}: {write_rows_csv(opened.rows(), csv)} records")
            return
        for line in lines_of(opened):
            typer.echo(line)


FIRST = {"model": "member", "method": "method", "budget": "FLOP", "learning_rate": "rate", "seed": "seed"}
"""Columns that a table of runs always shows, with their headings; those of `embudget.records.ALSO_SHOWN` follow."""
MEASURED = {
    "steps": ",", "tokens": ",", "seconds": ".0f", "loss": ".4f", "chance": ".4g", "accuracy": ".3f", "status": "",
}  # fmt: skip


def lines_of(store: "Store") -> Iterator[str]:
    """The table of a store's runs and what to doubt of them, line by line.

    Of very many runs nothing is held but the texts that are printed.
    """
    from embudget.cli.console import table
    from embudget.cli.sweep_bar import MOST_DOUBTS, doubts
    from embudget.records import ALSO_SHOWN, column_of

    also = {name: column_of(name) for name in ALSO_SHOWN}
    seen: dict[str, set[str]] = {name: set() for name in (*also, "schedule")}
    rows: list[list[str]] = []
    doubted: list[str] = []
    count = 0
    for row in store.rows():
        others = {name: _shown(row[column]) for name, column in also.items()} | {"schedule": row["schedule"]}
        for name, text in others.items():
            seen[name].add(text)
        rows.append([*_first(row), *map(sys.intern, others.values()), *_measured(row), row["id"][:8]])
        if row["remarks"]:
            count += 1
            doubted += [row["id"]] * (count <= MOST_DOUBTS)
    shown = [name for name in also if len(seen[name]) > 1]
    places = [*range(len(FIRST)), *(len(FIRST) + list(also).index(name) for name in shown)]
    places += range(len(FIRST) + len(also) + 1, len(FIRST) + len(also) + 1 + len(MEASURED))
    headers = [*FIRST.values(), *shown, *MEASURED]
    if seen["schedule"] - {"cosine"}:
        headers.append("schedule")
        places.append(len(FIRST) + len(also))
    yield table([*headers, "id"], [[*(row[place] for place in places), row[-1]] for row in rows])
    yield from doubts(store.records_of(doubted), count)


def _first(row: "Row") -> Iterator[str]:
    yield sys.intern(row["model"])
    yield sys.intern(row["method"])
    yield sys.intern(f"{row['budget']:.3g}")
    yield sys.intern(f"{row['learning_rate']:g}")
    yield sys.intern(str(row["seed"]))


def _measured(row: "Row") -> Iterator[str]:
    for column, form in MEASURED.items():
        value = row[column]
        if value is None:
            yield ""
        elif column == "loss" and row["loss_error"] is not None:
            yield f"{value:.3f} ± {row['loss_error']:.3f}"
        else:
            yield sys.intern(format(value, form))


def _shown(value: object) -> str:
    return "None" if value is None else str(value)
