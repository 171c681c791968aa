"""`embudget spend`: one budget for the search and the final run."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import (
    Budget,
    Device,
    Devices,
    Dollars,
    DollarsPerHour,
    GpuHours,
    Hours,
    Mfu,
    PairsFolder,
    Verbose,
)


def command(
    pairs: PairsFolder = Path("pairs"),
    out: Annotated[
        Path, typer.Option(help="Folder for model/, ledger.json, decisions.jsonl and runs.db. It goes on there.")
    ] = Path("spent"),
    budget: Budget = None,
    hours: Hours = None,
    devices: Devices = None,
    gpu_hours: GpuHours = None,
    dollars: Dollars = None,
    device: Device = None,
    mfu: Mfu = None,
    dollars_per_hour: DollarsPerHour = None,
    suite: Annotated[
        str,
        typer.Option(
            help="Models to choose from: built-in suites, folders of models, or YAML files that list members; several "
            "with commas, as smollm2,minilm."
        ),
    ] = "smollm2,minilm",
    methods: Annotated[
        str | None,
        typer.Option(help="What may train of each: full, freeze:F, bias, lora:R; by default full,freeze:0.5,lora:32."),
    ] = None,
    search_share: Annotated[
        float | None,
        typer.Option(help="Share of the budget for the search, as 0.2; by default as much as it is expected to gain."),
    ] = None,
    max_runs: Annotated[int | None, typer.Option(help="Runs of the search at most.")] = None,
    keep: Annotated[
        int, typer.Option(help="Final runs, which share what the search left; the best of them is the model.")
    ] = 1,
    workers: Annotated[int, typer.Option(help="Local processes that train the runs of a round at the same time.")] = 1,
    laws: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Laws of earlier studies, from which the choice begins; may be given several times.",
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs in a step; by default by the budget.")] = None,
    negatives: Annotated[
        str | None, typer.Option(help="Numbers of hard negatives that may be tried, as 0,4; 0 by default.")
    ] = None,
    device_memory: Annotated[
        str | None, typer.Option(help="Memory of the device, e.g. 24GB: leave out what does not fit.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="Where records are kept; by default OUT/runs.db. Runs that it holds are used, and free."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search's draws and of the runs.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would buy, take and bring; train nothing.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Spend one budget on a model: search what to train, and train it.

    The budget pays for both: short runs of models, methods and rates, then one long run of the best choice. Each round
    says what is bought, why, and what it changed. The search ends when no further run is expected to gain what it
    costs. At the end a ledger says where the budget went, and what rules of thumb would have got.

    Give one budget: --budget, --hours, --gpu-hours or --dollars. Interrupted, the same command goes on to the same
    decisions.

    \b
    Examples: embudget spend --budget 2e13 --suite smollm2,minilm --pairs pairs/ --out out/
              embudget spend --hours 8 --devices 4 --workers 4 --pairs pairs/ --out out/
              embudget spend --dollars 50 --device h100 --suite qwen3 --methods full,lora:32
              embudget spend --budget 2e13 --laws smollm2 --dry-run
    """  # noqa: D301
    from embudget.cli.console import counter, note
    from embudget.cli.spend_screen import SpendScreen
    from embudget.cli.spend_text import describe_first
    from embudget.means import find_means
    from embudget.spend.folder import check_free
    from embudget.spend.outlook import outlook
    from embudget.spend.prepare import METHODS, Caps, prepare, study_of
    from embudget.spend.spending import carry_out

    means = find_means(
        budget, hours=hours, devices=devices, gpu_hours=gpu_hours, dollars=dollars, device=device, mfu=mfu,
        dollars_per_hour=dollars_per_hour,
    )  # fmt: skip
    check_free(out, (pairs, *(laws or ())))
    study = study_of(
        suite,
        pairs,
        METHODS if methods is None else tuple(_parts(methods)),
        batch_size,
        None if negatives is None else _whole(negatives),
    )
    caps = Caps(search_share, max_runs, keep, workers, seed)
    with counter("timing this machine") as update:
        prepared = prepare(
            study, means, caps, laws or (), device_memory=device_memory, progress=lambda model: update(model, 0)
        )
    if dry_run:
        with counter("playing the search through") as update:
            found = outlook(prepared, progress=lambda done, of: update(f"search of {of}:", done))
        typer.echo(f"{describe_first(prepared)}\nplayed through with {found}")
        return
    with SpendScreen() as screen:
        spending = carry_out(prepared, out, store=store, listener=screen)
    typer.echo(f"{out / 'model'}: load it with SentenceTransformer({str(out / 'model')!r})")
    if spending.record.status != "done" and spending.untrained is None:
        note(f"embudget: the final run is of no use, {spending.record.status}: {spending.record.error}")
        raise typer.Exit(1)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _whole(text: str) -> list[int]:
    """Whole numbers between commas.

    Raises:
        ConfigError: one of them is none.
    """
    from embudget.errors import ConfigError

    parts = _parts(text)
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(f"negatives must be whole numbers with commas, as 0,4, got {text!r}")
    return [int(part) for part in parts]
