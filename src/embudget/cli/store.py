"""`embudget store`: what concerns a store as a whole."""

from typing import TYPE_CHECKING, Annotated

import typer

from embudget.cli.options import Verbose
from embudget.plural import plural

if TYPE_CHECKING:
    from embudget.study.copying import Copied

app = typer.Typer(help="Copy a store of records.", no_args_is_help=True)


@app.callback()
def store() -> None:
    """Copy a store of records into another database."""


@app.command()
def copy(
    source: Annotated[str, typer.Argument(help="The store: a SQLite file or a SQLAlchemy URL.")],
    target: Annotated[str, typer.Argument(help="Where to: a file or database that is empty, or holds a copy.")],
    verbose: Verbose = False,
) -> None:
    """Copy records and queued runs into another database, such as from SQLite to PostgreSQL.

    How often each run lost its worker is copied too.

    So a study that was begun on one machine goes on on a cluster. Let its sweep end before, or interrupt it: a run that
    is under way is refused. Checkpoints stay where they are; the copied queue says where. The same command again adds
    what has come since.

    \b
    Example: embudget store copy study.db postgresql://me:secret@host/study
    """  # noqa: D301
    from embudget.study import Store

    with Store(source, create=False) as old:
        old.check_idle()
        with Store(target) as new:
            typer.echo(f"{new.location}: {_told(old.copy_to(new))}")


def _told(copied: "Copied") -> str:
    """What is new in the target, and what was there already."""
    counts = [plural(copied.records, "record"), plural(copied.queued, "queued run")]
    if copied.losses:
        counts.append(f"how often {plural(copied.losses, 'run')} lost the worker")
    there = f"{plural(copied.records_there, 'record')} and {plural(copied.queued_there, 'queued run')}"
    return f"copied {', '.join(counts[:-1])} and {counts[-1]}; {there} were there already"
