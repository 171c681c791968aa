"""Options that several commands share, and what they mean."""

from typing import Annotated

import typer

Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show what the libraries say, and the traceback of an error.")
]
PairsFolder = Annotated[
    str, typer.Option("--pairs", metavar="FOLDER|URL", help="Made by `embudget pairs build`; or as s3://bucket/pairs.")
]
Budget = Annotated[str | None, typer.Option("--budget", help="The budget in FLOP, e.g. 1e13.")]
Hours = Annotated[
    float | None,
    typer.Option("--hours", help="The budget as hours of this machine, by measured speeds, e.g. 8 or 0.5."),
]
Devices = Annotated[
    int | None, typer.Option("--devices", help="With --hours: devices that compute at the same time; 1 by default.")
]
GpuHours = Annotated[float | None, typer.Option("--gpu-hours", help="The budget as hours of one --device, e.g. 8.")]
Dollars = Annotated[float | None, typer.Option("--dollars", help="The budget as money spent on a --device, e.g. 50.")]
Device = Annotated[
    str | None, typer.Option("--device", help="What --gpu-hours and --dollars are spent on, e.g. h100, a100, l4.")
]
Mfu = Annotated[
    float | None,
    typer.Option(
        "--mfu", help="Share of the device's peak FLOP/s that training reaches; 0.4 by default, an assumption."
    ),
]
DollarsPerHour = Annotated[
    float | None,
    typer.Option("--dollars-per-hour", help="Price of the device; by default a rough built-in one, with --hours none."),
]


def options_given(context: typer.Context) -> list[str]:
    """The options that were typed, as --search-share, whatever their values; arguments are left out."""
    typed = []
    for one in context.command.params:
        source = None if one.name is None else context.get_parameter_source(one.name)
        if source is not None and source.name == "COMMANDLINE" and one.opts[0].startswith("-"):
            typed.append(max(one.opts, key=len))
    return typed
