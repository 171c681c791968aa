"""`embudget evaluate`: a trained model against its untrained base and lexical baselines."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import PairsFolder, Verbose


def command(
    model: Annotated[Path, typer.Argument(help="A sentence-transformers folder, e.g. one that `train` wrote.")],
    pairs: PairsFolder = Path("pairs"),
    against: Annotated[list[Path] | None, typer.Option(help="Another model folder to score; may be repeated.")] = None,
    base: Annotated[bool, typer.Option(help="Score the untrained base of a model of embudget, too.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Score retrieval on the held-out groups of the pairs.

    \b
    Example: embudget evaluate model/ --pairs pairs/
    """  # noqa: D301
    from embudget.evaluation import evaluate, load_model
    from embudget.pairs import load_pairs
    from embudget.training.export import RECORD_FILE, read_record

    data = load_pairs(pairs)
    loaded = load_model(model)
    others = {str(path): load_model(path) for path in against or []}
    if base and (model / RECORD_FILE).is_file():
        from embudget.suite.loading import load_embedder

        config = read_record(model).config
        others = {"untrained base": load_embedder(config.model, config.max_length, config.pooling)} | others
    result = evaluate(loaded, data, against=others)
    typer.echo(result.model_dump_json(indent=2) if json else str(result))
