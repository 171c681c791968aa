"""How a run is carried out on this machine, as opposed to what is run.

The command line names these types in its options, so this module imports nothing that takes time.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from embudget.errors import ConfigError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embudget.records import RunRecord
    from embudget.training.mirror import Mirror

CachePolicy = Literal["auto", "always", "never"]
"""When gradients are cached: where a batch is estimated not to fit the memory, always, or never."""

Scorer = Callable[["SentenceTransformer", "RunRecord"], "RunRecord"]
"""Measures more of a run's model than its held-out loss, and puts that into the record."""


def unscored(model: "SentenceTransformer", record: "RunRecord") -> "RunRecord":
    """Measure nothing more."""
    return record


class Resources(NamedTuple):
    """How a run is carried out; results are the same, but for rounding."""

    cache: CachePolicy = "auto"
    compile: bool = False
    """Put the blocks through torch.compile: 1.05 to 1.1 times as fast on two cores, after 10 to 50 s of compiling."""
    shard: bool = False
    """Cut the blocks of the model over the processes of this run, for models that one device cannot hold."""
    neighbours: int = 1
    """Runs that share this machine's memory at the same time."""
    checkpoints: Path | None = None
    """Folder for checkpoints, in which every run or trunk has a folder of its own; None keeps none."""
    mirror: "Mirror | None" = None
    """The same checkpoints at a URL, where other machines go on from them; see `mirror.checkpoints_at`."""
    checkpoint_seconds: float | None = None
    """Time between checkpoints; None: a twentieth of the time that the run takes, see `state.interval`."""
    keep_checkpoints: bool = False
    """Leave the checkpoints of a run that has ended to whoever stores its record."""
    score: Scorer = unscored
    """Scores the model of each run of a study. Workers get it with the data that it has read, by pickle."""


def check_interval(seconds: float | None) -> None:
    """Refuse a time between checkpoints that is none.

    Raises:
        ConfigError: it is negative or NaN, with which no checkpoint would ever be due.
    """
    if seconds is not None and not seconds >= 0:
        raise ConfigError(f"checkpoint_seconds must be >= 0, got {seconds:g}")
