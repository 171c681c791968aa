"""`embudget worker`: take runs from a store, on any machine that reaches it."""

from typing import TYPE_CHECKING, Annotated

import typer

from embudget.cli.options import Verbose

if TYPE_CHECKING:
    from embudget.study import SweepListener


def command(
    store: Annotated[
        str,
        typer.Argument(envvar="EMBUDGET_STORE", help="SQLite file or SQLAlchemy URL; EMBUDGET_STORE hides passwords."),
    ],
    workers: Annotated[int, typer.Option(help="Runs at a time, which share the cores or take a GPU each.")] = 1,
    name: Annotated[str | None, typer.Option(help="Name of this worker; by default its host and process.")] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL", help="Pairs as this machine sees them, where that is not as the sweep does."
        ),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL", help="Checkpoints of interrupted runs, where they are not those of the sweep."
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Train the queued runs of a store until none is left.

    A sweep queues its runs in its store. Any number of workers, on any machines that reach the store, share them with
    it. Between the rounds of `embudget spend` they wait for the next. Ctrl-C or SIGTERM has the runs under way write
    checkpoints, and others go on with them at once.

    \b
    Examples: embudget worker study.db
              EMBUDGET_STORE=postgresql://me:secret@host/study embudget worker --pairs /scratch/pairs
    """  # noqa: D301
    from embudget.study import Store
    from embudget.study.work import work

    with Store(store, create=False) as opened:
        trained: list[str] = []
        listener = _listener(trained)
        work(opened, workers=workers, name=name, pairs=pairs, checkpoints=checkpoints, listener=listener)
        left, lacking = opened.queue().count(), opened.queue().lacking()
        waiting = f"{left} runs left to others" if left else "no run is left"
        more = f", {len(lacking)} of them need more memory than some worker had" if lacking else ""
        typer.echo(f"{opened.location}: {len(trained)} runs trained here, {waiting}{more}")


def _listener(trained: list[str]) -> "SweepListener":
    """Prints a line for each run that ends or is lost, and remembers the ids of those that ended."""
    from embudget.cli.console import note
    from embudget.cli.sweep_bar import label, outcome
    from embudget.memory import written
    from embudget.records import RunConfig, RunRecord
    from embudget.study import SweepListener

    class Lines(SweepListener):
        def finished(self, record: RunRecord) -> None:
            trained.append(record.id)
            note(f"{label(record.config)}: {outcome(record)}")

        def lost(self, config: RunConfig, reason: str, attempt: int) -> None:
            note(f"{label(config)}: {reason} in attempt {attempt}")

        def too_large(self, config: RunConfig, reason: str, device_bytes: float) -> None:
            note(f"{label(config)}: more memory is needed than the {written(device_bytes)} here: left to others")

        def waiting(self) -> None:
            note("no run is free: waiting for those that are to come")

    return Lines()
