"""`embudget suite`: which models there are, their sizes, how they embed texts, and what a token costs to train."""

from typing import TYPE_CHECKING, Annotated

import typer

from embudget.cli.options import Verbose

if TYPE_CHECKING:
    from embudget.suite import ModelShape

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Suites of models: list them, show one.")


@app.command("list")
def list_suites(verbose: Verbose = False) -> None:
    """List the built-in suites, the sizes of their members, and what they start from.

    N counts the parameters without the embeddings. A retriever is an embedding model already, with its own pooling.

    \b
    Example: embudget suite list
    """  # noqa: D301
    from embudget.cli.console import table
    from embudget.suite import DEFAULT_SUITE, SUITES, find_suite, start_of

    labels = {DEFAULT_SUITE: f"{DEFAULT_SUITE} (default)"}
    rows = []
    for suite in SUITES:
        for index, shape in enumerate(find_suite(suite)):
            own = start_of(shape.name)
            rows.append(
                [
                    labels.get(suite, suite) if index == 0 else "",
                    shape.name,
                    f"{shape.model_params / 1e6:,.1f}",
                    f"{shape.embedding_params / 1e6:,.1f}",
                    str(shape.layers),
                    str(shape.hidden),
                    "yes" if shape.has_biases else "no",
                    own.kind,
                    own.pooling if own.kind == "retriever" else "any",
                    "yes" if own.query_prompt or own.document_prompt else "no",
                ]
            )
    header = ["suite", "member", "N / 1e6", "embedding / 1e6", "blocks", "hidden", "biases", "start", "pooling"]
    typer.echo(table([*header, "prompts"], rows))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A member, NAME or NAME:DEPTH, a model folder, or ORG/NAME on the hub.")],
    verbose: Verbose = False,
) -> None:
    """Show one member: its sizes, how it embeds texts, and what a token costs with each method.

    Of a model on the hub, only its small files are fetched, never its weights.

    \b
    Examples:
      embudget suite show smollm2-135m:8
      embudget suite show intfloat/e5-small-v2
    """  # noqa: D301
    from embudget.cli.console import table
    from embudget.errors import MethodError
    from embudget.methods import parse_method
    from embudget.suite import find_shape

    shape = find_shape(name)
    for field, value in _about(shape).items():
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


def _about(shape: "ModelShape") -> dict[str, object]:
    """What is known of a member, by the names of the fields that hold it."""
    from embudget.suite import start_of

    own = start_of(shape.name)
    dense = [f"{layer.outputs} ({layer.activation.lower()}{', biases' * layer.bias})" for layer in shape.dense]
    embeds = {
        "attention": "causal" if shape.causal else "bidirectional",
        "pooling": own.pooling if own.kind == "retriever" else "any, by default mean",
        **({"dense": " -> ".join([str(shape.hidden), *dense])} if dense else {}),
        "normalize": own.normalize,
        "query_prompt": repr(own.query_prompt),
        "document_prompt": repr(own.document_prompt),
        **({"trained_max_length": own.max_length} if own.max_length else {}),
    }
    counts = {"model_params (N)": f"{shape.model_params:,}", "embedding_params": f"{shape.embedding_params:,}"}
    counts |= {"dense_params": f"{shape.dense_params:,}"} if dense else {}
    sizes = shape.model_dump(exclude_none=True)
    return sizes | {"lineage": shape.lineage} | counts | {"has_biases": shape.has_biases} | embeds
