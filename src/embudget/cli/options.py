"""Options that several commands share, and what they mean."""

from pathlib import Path
from typing import Annotated

import typer

Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show the libraries' messages, and the traceback of an error.")
]
PairsFolder = Annotated[Path, typer.Option("--pairs", help="Folder made by `embudget pairs build`.")]
Budget = Annotated[str | None, typer.Option("--budget", help="Training compute in FLOP, e.g. 1e13.")]
GpuHours = Annotated[float | None, typer.Option("--gpu-hours", help="Budget as hours of one device.")]
Dollars = Annotated[float | None, typer.Option("--dollars", help="Budget as money spent on a device.")]
Device = Annotated[str | None, typer.Option("--device", help="Device of --gpu-hours and --dollars, e.g. h100.")]
Mfu = Annotated[
    float | None,
    typer.Option("--mfu", help="Share of the device's peak that training reaches; 0.4 by default."),
]
DollarsPerHour = Annotated[
    float | None, typer.Option("--dollars-per-hour", help="Price of the device; a rough built-in one by default.")
]
