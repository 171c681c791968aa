"""`embudget store`: what concerns a store as a whole."""

from typing import Annotated

import typer

from embudget.cli.options import Verbose

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
    """Copy records, queued runs and losses of workers into another database, such as from SQLite to PostgreSQL.

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
            copied = old.copy_to(new)
            typer.echo(
                f"{new.location}: {copied.records} records, {copied.queued} queued runs and the losses of "
                f"{copied.losses} runs copied"
            )
