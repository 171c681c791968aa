"""`embudget evaluate`: a trained model against its untrained base and other baselines, on pairs or on benchmarks."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    model: Annotated[
        str, typer.Argument(help="A sentence-transformers folder, such as `embudget train` writes, or its URL.")
    ],
    pairs: Annotated[
        str | None,
        typer.Option(help="Folder made by `embudget pairs build`, or its URL; `pairs` by default.", show_default=False),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            help="Benchmarks instead of pairs: retrieval=DIR, sts=FILE, classification=FILE, clustering=FILE, "
            "mteb:NAME, paper, offline; several by commas, or repeated."
        ),
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Another model folder, or URL, to score beside it; may be repeated.")
    ] = None,
    base: Annotated[
        bool, typer.Option(help="Also score the model that training began from, where embudget trained it.")
    ] = True,
    baselines: Annotated[bool, typer.Option(help="With --tasks, also score all-MiniLM-L6-v2, BM25 and TF-IDF.")] = True,
    max_hours: Annotated[
        float | None, typer.Option(help="With --tasks, leave out the largest tasks that do not fit into so many hours.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="With --tasks, where scores are kept; ~/.cache/embudget/benchmarks by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="With --tasks, folder for mteb's own result files.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Score a model on held-out pairs, or on benchmarks as mteb defines them.

    On pairs: for each query of the test pairs the model ranks all their positives, beside BM25 and TF-IDF. Test pairs
    share no group (product, package, ...) with those that were trained on. Printed are nDCG@10, MRR@10 and recall@10.

    With --tasks: one score for each task and system, beside parameters and texts per second. It needs the package mteb,
    and goes on where it stopped when it is given again.

    \b
    Example: embudget evaluate model/ --pairs pairs/
             embudget evaluate model/ --tasks retrieval=faq/,sts=rated.csv,mteb:Banking77Classification
    """  # noqa: D301
    from embudget.errors import ConfigError

    if tasks is None:
        named = {
            "--max-hours": max_hours,
            "--cache": cache,
            "--out": out,
            "--no-baselines": None if baselines else True,
        }
        if given := [option for option, value in named.items() if value is not None]:
            raise ConfigError(f"{given[0]} belongs to --tasks: leave it out, or name tasks")
        _on_pairs(model, "pairs" if pairs is None else pairs, against or [], base, json)
        return
    if pairs is not None:
        raise ConfigError("--pairs and --tasks exclude each other; text pairs are a task too: --tasks retrieval=DIR")
    from embudget.evaluation import benchmark

    result = benchmark(
        model,
        tasks,
        against=_names(against or []),
        base=base,
        baselines=baselines,
        cache=cache,
        out=out,
        max_hours=max_hours,
        on_score=_tell if sys.stderr is not None and sys.stderr.isatty() else None,
    )
    typer.echo(result.model_dump_json(indent=2) if json else str(result))


def _tell(system: str, task: str, score: float | None, cached: bool) -> None:
    """Say on a terminal how far a benchmark is."""
    value = "no score" if score is None else f"{score:.4f}"
    typer.echo(f"{task}: {system} {value}{' (kept)' if cached else ''}", err=True)


def _names(folders: list[str]) -> dict[str, str]:
    """The folders by the names to print, which have no slash at their ends.

    Raises:
        ConfigError: one is there twice.
    """
    from embudget.errors import ConfigError
    from embudget.evaluation.contenders import RESERVED
    from embudget.remote import folder_or_url

    names: dict[str, str] = {}
    for folder in folders:
        path = str(folder_or_url(folder))
        # a folder may be called as another system is
        name = f"{path}/" if path in RESERVED else path
        if name in names:
            raise ConfigError(f"--against must name each folder once, got {path} twice")
        names[name] = path
    return names


def _on_pairs(model: str, pairs: str, against: list[str], base: bool, json: bool) -> None:
    """Score retrieval on the test split of pairs."""
    from embudget.evaluation import evaluate, load_model
    from embudget.evaluation.contenders import BASE
    from embudget.exports.folder import record_at
    from embudget.pairs import load_pairs
    from embudget.training.start import load_base

    names = _names(against)
    data = load_pairs(pairs)
    loaded = load_model(model)
    others = {name: load_model(path) for name, path in names.items()}
    if base and (record := record_at(model)) is not None:
        others = {BASE: load_base(record.config)} | others
    result = evaluate(loaded, data, against=others)
    typer.echo(result.model_dump_json(indent=2) if json else str(result))
