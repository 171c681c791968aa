"""`embudget plan`: what a budget would take and bring, or what a study would, before anything is trained."""

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
    options_given,
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

OF_DEVICES = ("--count", "--mfu", "--dollars-per-hour")
"""Options that go with a study and a --device."""
OF_THIS_MACHINE = ("--probe", "--no-probe", "--refresh")
OF_A_STUDY = (*OF_DEVICES, *OF_THIS_MACHINE, "--device", "--device-memory", "--json", "--verbose")
"""Options that go with a study; the others would be dropped in silence."""


def command(
    context: typer.Context,
    study: Annotated[
        Path | None, typer.Argument(help="YAML of a study: says what `embudget sweep` of it would take.")
    ] = None,
    pairs: PairsFolder = "pairs",
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
    laws: Laws = None,
    batch_size: BatchSize = None,
    negatives: Negatives = None,
    device_memory: DeviceMemory = None,
    seed: Seed = 0,
    worlds: Annotated[
        int, typer.Option(min=1, max=64, help="Possible truths in which the search is played through.")
    ] = 4,
    count: Annotated[
        int | None,
        typer.Option(help="With a study and a --device: how many of these train at the same time; 1 by default."),
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Time some steps on this machine, about 20 s the first time.")
    ] = True,
    refresh: Annotated[bool, typer.Option("--refresh", help="Time again what was timed before.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Say what a budget would take and bring: hours, money, memory, disk, pairs, and the loss to expect.

    Nothing is trained but a few steps for the clock, which are kept for the next time. The loss comes of searches that
    are played through in possible worlds, with earlier laws by --laws, else with what laws look like in general; so do
    the lines on half and twice the budget and on twice the pairs.

    Of a study it says what `embudget sweep` of it takes: on this machine, which is timed, or, with --device and
    --count, on devices that are not here. For these neither pairs nor weights need be there, where the study says what
    to take the pairs to be (assumed_pairs).

    \b
    Examples: embudget plan --budget 2e13 --suite smollm2,minilm --pairs pairs/
              embudget plan --hours 8 --devices 4 --laws smollm2 --dollars-per-hour 2
              embudget plan study.yaml
              embudget plan studies/paper.yaml --device h100 --count 64 --mfu 0.4
    """  # noqa: D301
    from embudget.cli.console import counter
    from embudget.errors import ConfigError
    from embudget.means import find_means
    from embudget.spending.outlook import outlook
    from embudget.spending.prepare import Caps, prepare

    if study is not None:
        given = {"budget": budget, "hours": hours, "gpu_hours": gpu_hours, "dollars": dollars}
        if named := [name for name, value in given.items() if value is not None]:
            raise ConfigError(f"give either a study or a budget, not both, got {study} and {named[0]}")
        if others := [one for one in options_given(context) if one not in OF_A_STUDY]:
            raise ConfigError(
                f"{others[0]} goes with a budget: the study {study} says its own, and is not played through"
            )
        typed = options_given(context)
        if device is not None:
            if others := [one for one in typed if one in OF_THIS_MACHINE]:
                raise ConfigError(f"{others[0]} is about this machine, and --device {device} is not: leave one out")
            _on_paper(study, device, 1 if count is None else count, mfu, dollars_per_hour, device_memory, json)
            return
        if others := [one for one in typed if one in OF_DEVICES]:
            raise ConfigError(f"{others[0]} with a study goes with --device, such as h100")
        _of_study(study, device_memory, probe, refresh, json)
        return
    if count is not None:
        raise ConfigError(
            "--count goes with a study and a --device; devices of this machine are --devices with --hours"
        )
    means = find_means(
        budget, hours=hours, devices=devices, gpu_hours=gpu_hours, dollars=dollars, device=device, mfu=mfu,
        dollars_per_hour=dollars_per_hour,
    )  # fmt: skip
    if means.unit == "seconds" and not probe:
        raise ConfigError("hours need the speed of this machine: leave --no-probe out, or give a budget in FLOP")
    spec = searched(suite, pairs, methods, batch_size, negatives)
    caps = Caps(search_share, max_runs, keep, workers, seed)
    with counter("timing this machine") as update:
        prepared = prepare(
            spec, means, caps, laws or (), device_memory=device_memory, clock=probe, refresh=refresh,
            progress=counted(update),
        )  # fmt: skip
    with counter("playing the search through") as update:
        found = outlook(prepared, worlds, lambda done, of: update(f"search of {of}:", done))
    typer.echo(found.model_dump_json(indent=2) if json else str(found))


def _of_study(file: Path, device_memory: str | None, probe: bool, refresh: bool, json: bool) -> None:
    """What a study would take, by the speed of this machine instead of an assumed one."""
    from embudget.cli.console import counter
    from embudget.pairs import load_pairs
    from embudget.spending.study_outlook import study_outlook
    from embudget.study import Study

    spec = Study.from_yaml(file)
    with counter("timing this machine") as update:
        found = study_outlook(
            spec, load_pairs(spec.pairs), device_memory=device_memory, clock=probe, refresh=refresh,
            progress=counted(update),
        )  # fmt: skip
    typer.echo(found.model_dump_json(indent=2) if json else str(found))


def _on_paper(
    file: Path, device: str, count: int, mfu: float | None, price: float | None, memory: str | None, json: bool
) -> None:
    """What a study would take on devices that are not here."""
    from embudget.spending.on_paper import paper_outlook
    from embudget.study import Study

    found = paper_outlook(
        Study.from_yaml(file), device, count=count, mfu=mfu, dollars_per_hour=price, device_memory=memory
    )
    typer.echo(found.model_dump_json(indent=2) if json else str(found))
