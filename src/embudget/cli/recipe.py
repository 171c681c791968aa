"""`embudget recipe`: the answer for one budget."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Budget, Device, Dollars, DollarsPerHour, GpuHours, Mfu, Verbose
from embudget.flops import DEFAULT_MFU


def command(
    laws: Annotated[Path, typer.Argument(help="File written by `embudget fit`.")],
    budget: Budget = None,
    gpu_hours: GpuHours = None,
    dollars: Dollars = None,
    device: Device = None,
    mfu: Mfu = DEFAULT_MFU,
    dollars_per_hour: DollarsPerHour = None,
    suite: Annotated[
        str | None,
        typer.Option(help="Suite to choose from, built-in or a folder; by default that of the measured members."),
    ] = None,
    pairs_available: Annotated[int | None, typer.Option(min=1, help="Reject choices that need more pairs.")] = None,
    min_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Reject choices with fewer optimiser steps; by default the fewest of a fitted cell."),
    ] = None,
    allow_unmeasured_sizes: Annotated[
        bool, typer.Option("--allow-unmeasured-sizes", help="Consider models far from the measured sizes too.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the recipe as YAML for `embudget train`.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the recipe as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Recommend model, method, data and hyperparameters for a budget.

    \b
    Examples: embudget recipe laws.json --budget 4e13 --out recipe.yaml
              embudget recipe laws.json --gpu-hours 8 --device h100
    """  # noqa: D301
    from embudget.laws import Laws
    from embudget.recipe import recommend

    recipe = recommend(
        Laws.load(laws),
        budget,
        suite=suite,
        gpu_hours=gpu_hours,
        dollars=dollars,
        device=device,
        mfu=mfu,
        dollars_per_hour=dollars_per_hour,
        pairs_available=pairs_available,
        min_steps=min_steps,
        allow_unmeasured_sizes=allow_unmeasured_sizes,
    )
    if out is not None:
        recipe.save(out)
    typer.echo(recipe.model_dump_json(indent=2) if json else str(recipe))
    if out is not None and not json:
        typer.echo(f"{out}: next: embudget train {out} --pairs DIR --out model/")
