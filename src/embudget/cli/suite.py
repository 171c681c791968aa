"""`embudget suite`: which models there are, their sizes, and what a token costs with each method."""

from typing import Annotated

import typer

from embudget.cli.options import Verbose

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Suites of language models: list them, show one.")


@app.command("list")
def list_suites(verbose: Verbose = False) -> None:
    """List the built-in suites and the sizes of their members.

    N counts the parameters without the embeddings.

    \b
    Example: embudget suite list
    """  # noqa: D301
    from embudget.cli.console import table
    from embudget.suite import DEFAULT_SUITE, SUITES, find_suite

    labels = {DEFAULT_SUITE: f"{DEFAULT_SUITE} (default)"}
    rows = [
        [
            labels.get(suite, suite) if index == 0 else "",
            shape.name,
            f"{shape.model_params / 1e6:,.1f}",
            f"{shape.embedding_params / 1e6:,.1f}",
            str(shape.layers),
            str(shape.hidden),
            "yes" if shape.has_biases else "no",
        ]
        for suite in SUITES
        for index, shape in enumerate(find_suite(suite))
    ]
    typer.echo(table(["suite", "member", "N / 1e6", "embedding / 1e6", "blocks", "hidden", "biases"], rows))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A member, NAME or NAME:DEPTH, or a model folder.")],
    verbose: Verbose = False,
) -> None:
    """Show one member: its sizes and what a token costs with each method.

    \b
    Example: embudget suite show smollm2-135m:8
    """  # noqa: D301
    from embudget.cli.console import table
    from embudget.errors import MethodError
    from embudget.methods import parse_method
    from embudget.suite import find_shape

    shape = find_shape(name)
    counts = {"model_params (N)": f"{shape.model_params:,}", "embedding_params": f"{shape.embedding_params:,}"}
    for field, value in {**shape.model_dump(exclude_none=True), **counts, "has_biases": shape.has_biases}.items():
        typer.echo(f"{field:26} {value}")
    typer.echo()
    rows = []
    for text in ("full", "freeze:0.5", "bias", "lora:32"):
        method = parse_method(text)
        try:
            method.check(shape)
        except MethodError:
            continue
        costs = f"{method.flops_per_token(shape):.3g}", f"{method.default_learning_rate(shape):g}"
        rows.append([text, f"{method.trained_params(shape):,}", *costs])
    typer.echo(table(["method", "trained (T)", "FLOP per token", "default rate"], rows))
