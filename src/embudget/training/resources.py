"""How a run is carried out on this machine, as opposed to what is run."""

from pathlib import Path
from typing import Literal, NamedTuple

CachePolicy = Literal["auto", "always", "never"]
"""Whether gradients are cached: where the estimate of memory asks for it, or by order."""


class Resources(NamedTuple):
    """How a run is carried out. Results are the same, but for rounding."""

    cache: CachePolicy = "auto"
    precompute_prefix: bool = False
    """Whether hidden states below the first trained block are kept on disk in bf16, for later epochs and runs."""
    compile: bool = False
    """Whether blocks go through torch.compile: 1.05 to 1.1 times as fast on two cores, after 10 to 50 s."""
    neighbours: int = 1
    """Runs that share this machine's memory at a time."""
    checkpoints: Path | None = None
    """Folder for the checkpoints of this machine's runs, each in a folder of its own; None keeps none."""
    checkpoint_seconds: float = 600.0
    """Time between checkpoints."""
    keep_checkpoints: bool = False
    """Whether those of a run that has ended stay, for whoever stores its record to remove."""
