"""`embudget spend`: one budget for the search and the final run."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.crew_options import Ray, RayResources, Slurm, crew_of
from embudget.cli.live_page import Report, check_page, kept_up_to_date
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
from embudget.cli.spend_options import (
    BatchSize,
    DeviceMemory,
    Keep,
    Laws,
    MaxRuns,
    Methods,
    Negatives,
    SearchShare,
    Seed,
    Suite,
    Workers,
    counted,
    searched,
)


def command(
    pairs: PairsFolder = "pairs",
    out: Annotated[
        str,
        typer.Option(
            metavar="FOLDER|URL",
            help="Where model/, ledger.json, decisions.jsonl and runs.db lie. It goes on there, from a URL anywhere.",
        ),
    ] = "spent",
    budget: Budget = None,
    hours: Hours = None,
    devices: Devices = None,
    gpu_hours: GpuHours = None,
    dollars: Dollars = None,
    device: Device = None,
    mfu: Mfu = None,
    dollars_per_hour: DollarsPerHour = None,
    suite: Suite = "smollm2,minilm",
    methods: Methods = None,
    search_share: SearchShare = None,
    max_runs: MaxRuns = None,
    keep: Keep = 1,
    workers: Workers = 1,
    slurm: Slurm = None,
    ray: Ray = None,
    ray_options: RayResources = None,
    laws: Laws = None,
    batch_size: BatchSize = None,
    negatives: Negatives = None,
    device_memory: DeviceMemory = None,
    store: Annotated[
        str | None,
        typer.Option(help="Where records are kept; by default OUT/runs.db. Runs that it holds are used, and free."),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Where the states that runs go on from are kept; by default beside the store or at OUT.",
        ),
    ] = None,
    seed: Seed = 0,
    report: Report = None,
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
              embudget spend --hours 8 --devices 4 --workers 4 --pairs pairs/ --out out/ --report out/report.html
              embudget spend --dollars 50 --device h100 --suite qwen3 --methods full,lora:32
              embudget spend --budget 2e13 --laws smollm2 --dry-run
    """  # noqa: D301
    from embudget.cli.console import counter, note
    from embudget.cli.spend_screen import SpendScreen
    from embudget.cli.spend_text import describe_first
    from embudget.cli.store_view import StoreView
    from embudget.means import find_means
    from embudget.outputs import store_places
    from embudget.remote import is_url
    from embudget.spending.folder import CANDIDATES, CONTENTS, START, STORE
    from embudget.spending.home import check_home, folder_for
    from embudget.spending.outlook import outlook
    from embudget.spending.prepare import Caps, prepare
    from embudget.spending.spend import carry_out

    means = find_means(
        budget, hours=hours, devices=devices, gpu_hours=gpu_hours, dollars=dollars, device=device, mfu=mfu,
        dollars_per_hour=dollars_per_hour,
    )  # fmt: skip
    check_home(out, (pairs, *(laws or ())))
    folder = folder_for(out)
    logs = (folder.parent if is_url(out) else folder) / "slurm"
    kept = store or str(folder / STORE)
    made = *store_places(kept), *(() if checkpoints is None or is_url(checkpoints) else (Path(checkpoints),))
    own = (*made, logs, *(folder / name for name in (*CONTENTS, START, CANDIDATES)))
    check_page(report, (pairs, *(laws or ()), *made), own, folder)
    executor = crew_of(slurm, ray, ray_options, logs)
    study = searched(suite, pairs, methods, batch_size, negatives)
    caps = Caps(search_share, max_runs, keep, workers, seed)
    with counter("timing this machine") as update:
        prepared = prepare(study, means, caps, laws or (), device_memory=device_memory, progress=counted(update))
    if dry_run:
        with counter("playing the search through") as update:
            found = outlook(prepared, progress=lambda done, of: update(f"search of {of}:", done))
        typer.echo(f"{describe_first(prepared)}\nplayed through with {found}")
        return
    with SpendScreen(StoreView(kept, workers)) as screen, kept_up_to_date(report, kept):
        spending = carry_out(prepared, out, store=store, listener=screen, executor=executor, checkpoints=checkpoints)
    if is_url(out):
        typer.echo(f"{out.rstrip('/')}/model: written whole; a copy is in {spending.folder / 'model'}")
    else:
        typer.echo(f"{folder / 'model'}: load it with SentenceTransformer({str(folder / 'model')!r})")
    if spending.record.status != "done" and spending.untrained is None:
        note(f"embudget: the final run is of no use, {spending.record.status}: {spending.record.error}")
        raise typer.Exit(1)
