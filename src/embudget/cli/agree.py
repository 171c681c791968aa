"""`embudget agree`: whether held-out loss and scores put the models of a study into the same order."""

from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    store: Annotated[str, typer.Argument(help="SQLite file or SQLAlchemy URL.")],
    json: Annotated[bool, typer.Option("--json", help="Print the agreement as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Say how held-out loss ranks the models of a study against each task's score.

    For the held-out nDCG, each task that the study evaluated, and the mean of these: rank correlations with the loss,
    -1 where the score always falls as the loss rises, and what choosing by the lowest loss costs in points of score.
    In brackets are 90 % intervals by bootstrap over the models. The last lines are the verdict on the eighth finding
    of the paper behind embudget (arXiv 2406.04165), by the correlations within budgets.

    \b
    Example: embudget agree study.db
    """  # noqa: D301
    from embudget.findings import agree
    from embudget.study import Store

    with Store(store, create=False) as opened:
        found = agree(opened.records())
    typer.echo(found.model_dump_json(indent=2) if json else str(found))
