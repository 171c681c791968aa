"""`embudget evaluate`: a trained model against its untrained base and lexical baselines."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import PairsFolder, Verbose

_BASE = "untrained base"


def command(
    model: Annotated[Path, typer.Argument(help="A sentence-transformers folder, such as `embudget train` writes.")],
    pairs: PairsFolder = Path("pairs"),
    against: Annotated[
        list[Path] | None, typer.Option(help="Another model folder to score beside it; may be repeated.")
    ] = None,
    base: Annotated[
        bool, typer.Option(help="Also score the model that training began from, where embudget trained it.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Score retrieval on held-out pairs, beside BM25 and TF-IDF.

    For each query of the test pairs the model ranks all their positives. Test pairs share no group (product, package,
    ...) with those that were trained on. Printed are nDCG@10, MRR@10 and recall@10: 1 is perfect.

    \b
    Example: embudget evaluate model/ --pairs pairs/
    """  # noqa: D301
    from embudget.errors import ConfigError
    from embudget.evaluation import evaluate, load_model
    from embudget.evaluation.systems import BASELINES
    from embudget.pairs import load_pairs
    from embudget.training.export import RECORD_FILE, read_record

    names: dict[str, Path] = {}
    for path in against or []:
        # a folder may be called as another system is
        name = f"{path}/" if str(path) in ("model", _BASE, *BASELINES) else str(path)
        if name in names:
            raise ConfigError(f"--against must name each folder once, got {path} twice")
        names[name] = path
    data = load_pairs(pairs)
    loaded = load_model(model)
    others = {name: load_model(path) for name, path in names.items()}
    if base and (model / RECORD_FILE).is_file():
        from embudget.suite.loading import load_embedder

        config = read_record(model).config
        others = {_BASE: load_embedder(config.model, config.max_length, config.pooling, config.end_token)} | others
    result = evaluate(loaded, data, against=others)
    typer.echo(result.model_dump_json(indent=2) if json else str(result))
