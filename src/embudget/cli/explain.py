"""`embudget explain`: what the paper found, looked for in one's own runs."""

from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    laws: Annotated[str, typer.Argument(help="File written by `embudget fit`, or the name of built-in laws.")],
    json: Annotated[bool, typer.Option("--json", help="Print the findings as a JSON list.")] = False,
    verbose: Verbose = False,
) -> None:
    """Say which findings of the paper these runs reproduce, with the numbers that decide it.

    Seven statements, from "full fine-tuning is best at low budgets, LoRA at high ones" to "the best loss falls along a
    straight line": each is reproduced (it holds in at least 90 % of the draws), not reproduced (of its k parts, one
    fails in at least 1 - 10 % / k of them), or undetermined, then with the reason. Draws are those of the laws; of the
    second statement, 4,000 of a regression on the measured losses. Only measured budgets count.

    \b
    Example: embudget explain laws.json
    """  # noqa: D301
    from embudget.findings import explain
    from embudget.laws import describe_origin, find_laws

    read = find_laws(laws)
    findings = explain(read)
    if json:
        from json import dumps

        typer.echo(dumps([finding.model_dump(mode="json") for finding in findings], indent=2, ensure_ascii=False))
    else:
        typer.echo("\n\n".join(map(str, findings)))
        if origin := describe_origin(laws, read):
            typer.echo(f"\nlaws: {origin}")
