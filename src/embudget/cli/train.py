"""`embudget train`: one model within a budget, from a recipe or from options."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from embudget.cli.options import Budget, Device, Dollars, DollarsPerHour, GpuHours, Mfu, PairsFolder, Verbose
from embudget.training.resources import CachePolicy, Resources

if TYPE_CHECKING:
    from embudget.pairs import Pairs
    from embudget.recipe import Recipe
    from embudget.records import RunConfig
    from embudget.training.precision import AskedPrecision


def command(
    recipe: Annotated[Path | None, typer.Argument(help="YAML written by `embudget recipe --out`.")] = None,
    pairs: PairsFolder = "pairs",
    out: Annotated[
        str,
        typer.Option(metavar="FOLDER|URL", help="Where the model is written, in sentence-transformers format."),
    ] = "model",
    model: Annotated[
        str | None, typer.Option(help="A member such as smollm2-135m:8, a model folder, or a hub id.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="What trains: full, freeze:0.5, bias or lora:32.")] = None,
    budget: Budget = None,
    gpu_hours: GpuHours = None,
    dollars: Dollars = None,
    device: Device = None,
    mfu: Mfu = None,
    dollars_per_hour: DollarsPerHour = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Pairs in a step; by default 16 at 1e12 FLOP, growing as the root of the budget.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak rate; by default the method's: see `embudget suite show`.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens at which texts are cut; 75 by default.")] = None,
    negatives: Annotated[
        int | None,
        typer.Option(min=0, help="Hard negatives of each pair in the loss; 0 by default."),
    ] = None,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Most passes over the pairs; 1 by default.")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(metavar="cosine|wsd", help="Course of the rate: cosine by default; wsd is constant, then decays."),
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option(
            metavar="mean|last|cls|weighted",
            help="How token states become an embedding: by default as the model does, else mean.",
        ),
    ] = None,
    query_prompt: Annotated[
        str | None, typer.Option(help="Text in front of each query; by default the model's own, or none.")
    ] = None,
    document_prompt: Annotated[
        str | None, typer.Option(help="Text in front of each positive; by default the model's own, or none.")
    ] = None,
    attention: Annotated[
        str | None,
        typer.Option(metavar="causal|bidirectional", help="What a token sees; by default as the model has it."),
    ] = None,
    matryoshka: Annotated[
        str | None,
        typer.Option(metavar="SIZES", help="Smaller embedding sizes to train besides the full one: 64,128,256."),
    ] = None,
    scale: Annotated[float | None, typer.Option(help="1 / temperature of the loss; 40 by default.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay of AdamW; 0.1 by default.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="auto|float32|bf16",
            help="Numbers to multiply matrices in; auto times both. By default bf16 on CUDA devices, else float32.",
        ),
    ] = None,
    cache: Annotated[
        CachePolicy,
        typer.Option(help="Gradient caching: auto where the batch does not fit the memory, always or never."),
    ] = "auto",
    devices: Annotated[
        int | None, typer.Option(min=1, help="Devices of this machine that train the model together; 1 by default.")
    ] = None,
    shard: Annotated[
        bool, typer.Option("--shard", help="Cut the model's blocks over the devices: for one that none can hold.")
    ] = False,
    compile: Annotated[bool, typer.Option("--compile", help="Put the blocks through torch.compile.")] = False,
    checkpoint_minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Minutes between checkpoints, in OUT.checkpoints; by default a twentieth of the time that the run "
            "takes, at most 10. Interrupted, the same command goes on from them.",
        ),
    ] = None,
    report_to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="tensorboard|wandb|mlflow|trackio", help="Experiment tracker; may be given several times."
        ),
    ] = None,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="onnx|openvino|gguf|transformers|peft",
            help="Also write the model in this format, to OUT-FORMAT; may be given several times.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the adapters and of the order of the pairs.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Train a recipe that says training does not pay at its budget.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Train one model within a budget and measure its loss.

    Give a recipe, or --model, --method and one budget: --budget, --gpu-hours or --dollars.

    \b
    Examples: embudget train recipe.yaml
              embudget train --model smollm2-135m:8 --method lora:32 --budget 1e13 \\
                --pairs pairs/ --out model/
              embudget train recipe.yaml --devices 8 --shard
    """  # noqa: D301
    from embudget.cli.console import budget_bar
    from embudget.cli.export import write_export
    from embudget.cli.train_text import outcome
    from embudget.errors import ConfigError
    from embudget.exports.run import check_exports, export_beside
    from embudget.flops import resolve_budget
    from embudget.outputs import check_apart
    from embudget.pairs import load_pairs
    from embudget.recipe import Recipe
    from embudget.records import RunConfig
    from embudget.remote import folder_or_url
    from embudget.training.launch import launch, wants_processes
    from embudget.training.run import train
    from embudget.training.yardstick import measured_on

    if wants_processes(devices):
        assert devices is not None
        raise typer.Exit(launch(devices, sys.argv[1:]))
    if shard and os.environ.get("WORLD_SIZE", "1") == "1":
        raise ConfigError("shard cuts a model over several devices: give --devices as well, or start it by torchrun")
    place = folder_or_url(out)
    if isinstance(place, Path):
        check_apart(place, (recipe,))
    elif export:
        raise ConfigError("--export needs --out FOLDER: what lies at a URL is exported from there by `embudget export`")
    data = load_pairs(pairs)
    budget_asked = (budget, gpu_hours, dollars, device, mfu, dollars_per_hour)
    given: dict[str, object] = {
        "batch_size": batch_size, "learning_rate": learning_rate, "max_length": max_length, "negatives": negatives,
        "pooling": pooling, "schedule": schedule, "query_prompt": query_prompt, "document_prompt": document_prompt,
        "attention": attention, "scale": scale, "weight_decay": weight_decay,
        "matryoshka": None if matryoshka is None else matryoshka.split(","),
    }  # fmt: skip
    given = {name: one for name, one in given.items() if one is not None}
    if recipe is not None:
        if given or any(option is not None for option in (*budget_asked, model, method)):
            raise ConfigError("give either a recipe or --model, --method and a budget, not both")
        config = measured_on(_checked(Recipe.load(recipe), recipe, force).run_config(data.hash, seed), data)
        config = config.model_copy(update={"max_epochs": max_epochs or config.max_epochs})
        config = RunConfig.read(dict(config) | {"precision": _precision(precision, config.model)}, "")
    else:
        flops = resolve_budget(
            budget, gpu_hours=gpu_hours, dollars=dollars, device=device, mfu=mfu, dollars_per_hour=dollars_per_hour
        )
        given |= {"seed": seed} | ({} if max_epochs is None else {"max_epochs": max_epochs})
        config = _config(model, method, flops, data, given, precision)
    check_exports(export or (), config.method, Path(out))
    with budget_bar(f"{config.model} {config.method} {config.train_flops:.3g} FLOP") as progress:
        seconds = None if checkpoint_minutes is None else 60 * checkpoint_minutes
        resources = Resources(cache, compile, shard, checkpoint_seconds=seconds)
        _, record = train(
            config, data, place, on_progress=progress, resources=resources, report_to=report_to or (), with_record=True
        )
    if int(os.environ.get("RANK", "0")):  # only the first of several processes speaks
        return
    typer.echo("\n".join([outcome(record), *_attention(config, data)]))
    if isinstance(place, str):
        typer.echo(f"{place}: written whole; start from it by --model {place}")
        return
    typer.echo(f"{place}: load it with SentenceTransformer({str(place)!r}), score it with `embudget evaluate {place}`")
    for name in export or ():
        write_export(place, name, export_beside(place, name))


def _checked(recipe: "Recipe", file: Path, force: bool) -> "Recipe":
    """The recipe, unless it says that training does not pay.

    Raises:
        ConfigError: it says so, and training was not forced: the run would spend the budget on a worse model.
    """
    from embudget.errors import ConfigError

    if recipe.untrained is not None and not force:
        written = f"embudget export {recipe.untrained.model} --to sentence-transformers --out DIR"
        raise ConfigError(
            f"{file}: use {recipe.untrained}. Write it by `{written}`, take a recipe for a larger budget, or train all "
            "the same with --force"
        )
    return recipe


def _precision(asked: str | None, model: str) -> str:
    """The numbers in which the run multiplies on this machine.

    Raises:
        ConfigError: there is no such precision.
    """
    from embudget.suite import find_shape
    from embudget.training.precision import resolve_precision

    return resolve_precision(cast("AskedPrecision | None", asked), find_shape(model))


def _attention(config: "RunConfig", pairs: "Pairs") -> list[str]:
    """A line on what attention adds at the pairs' lengths, if it is much."""
    from embudget.flops import attention_share, say_attention
    from embudget.methods import parse_method
    from embudget.suite import find_shape
    from embudget.training.job import lengths_of

    lengths = lengths_of(config, pairs)
    return say_attention(
        attention_share(parse_method(config.method), find_shape(config.model), [lengths.attention_length])
    )


def _config(
    model: str | None,
    method: str | None,
    flops: float,
    pairs: "Pairs",
    given: dict[str, object],
    precision: str | None,
) -> "RunConfig":
    """The run of a member, a method and a budget, with what else was given."""
    from embudget.errors import ConfigError
    from embudget.methods import parse_method
    from embudget.records import RunConfig
    from embudget.study import BatchRule
    from embudget.suite import find_shape
    from embudget.suite.loading import weights_of
    from embudget.suite.members import pooling_for, start_of
    from embudget.training.yardstick import counts_for

    if model is None or method is None:
        raise ConfigError("give a recipe, or --model, --method and a budget")
    shape, parsed = find_shape(model), parse_method(method)
    parsed.check(shape)
    eval_pairs, eval_candidates = counts_for(pairs)
    start = start_of(model)
    values = {
        "query_prompt": start.query_prompt,
        "document_prompt": start.document_prompt,
        "precision": _precision(precision, model),
        "model": shape.name,
        "weights": weights_of(model),
        "method": method,
        "train_flops": flops,
        "pairs": pairs.hash,
        "batch_size": BatchRule().batch_size(flops),
        "learning_rate": parsed.default_learning_rate(shape),
        "eval_pairs": eval_pairs,
        "eval_candidates": eval_candidates,
        "eval_scale": "own" if start.kind == "base" else "best",  # a retriever was trained at a scale of its own
    }
    config = RunConfig.read(values | given, "")
    asked = config.pooling if "pooling" in given else None
    return RunConfig.read(values | given | {"pooling": pooling_for(model, asked)}, "")
