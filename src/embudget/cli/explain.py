"""`embudget explain`: what the paper found, looked for in one's own runs."""

from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    laws: Annotated[str, typer.Argument(help="File written by `embudget fit`, or the name of built-in laws.")],
    json: Annotated[bool, typer.Option("--json", help="Print the findings as a JSON list.")] = False,
    verbose: Verbose = False,
) -> None:
    """Say which of the paper's findings these runs reproduce.

    The paper behind embudget (arXiv 2406.04165) has seven that a study can check, from "full fine-tuning is best at
    low budgets, LoRA at high ones" to "the best loss falls along a straight line". Each is cut into one or
    more claims, and printed with the numbers that decide it and one of three verdicts:

    \b
      reproduced       in at least 90 % of the draws of the laws all its claims hold
      not reproduced   one of its claims fails in nearly all draws: in at least 90 %
                       if it is the only one, 95 % if one of two, 97.5 % if of four
      undetermined     neither; the reason follows

    Only measured budgets count. The second finding is judged by 4,000 draws of a regression on the measured losses.

    \b
    Example: embudget explain laws.json
    """  # noqa: D301
    from embudget.findings import explain
    from embudget.laws import describe_origin, find_laws

    read = find_laws(laws)
    by_lineage = {one.lineage: explain(one) for one in read.every}
    if json:
        from json import dumps

        found = {name: [one.model_dump(mode="json") for one in findings] for name, findings in by_lineage.items()}
        (first, *others) = found.values()
        typer.echo(dumps(found if others else first, indent=2, ensure_ascii=False))
    else:
        for place, (name, findings) in enumerate(by_lineage.items()):
            if read.others:
                typer.echo("\n" * bool(place) + f"== lineage {name} ==")
            typer.echo("\n\n".join(map(str, findings)))
        if origin := describe_origin(laws, read):
            typer.echo(f"\nlaws: {origin}")
