"""`embudget compare`: whether one choice is better than another by more than noise."""

from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    store: Annotated[str, typer.Argument(help="SQLite file or SQLAlchemy URL.")],
    first: Annotated[
        str, typer.Argument(metavar="A", help="MEMBER/METHOD, perhaps with @BUDGET, or the beginning of a run's id.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="What A is compared with, named in the same way.")],
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Say whether A is better than B by more than noise.

    Of a member and a method the best rate tried counts, averaged over its seeds, at every budget that both have. The
    losses are compared group by group on the same held-out pairs. The error of the difference has two parts: other
    groups could have been held out, and other seeds drawn. The last line of each budget says whether the difference
    is more than noise, and what it takes to halve its error, or to resolve it.

    \b
    Examples: embudget compare study.db smollm2-135m:2/freeze:0.5 smollm2-135m:2/full
              embudget compare study.db smollm2-135m:2/lora:8@4e12 smollm2-135m:4/full@4e12
              embudget compare study.db 3f0c 91ab --json
    """  # noqa: D301
    from embudget.comparison import compare
    from embudget.study import Store

    with Store(store, create=False) as opened:
        found = compare(opened.records(), first, second)
    typer.echo(found.model_dump_json(indent=2) if json else str(found))
