"""Where is kept what was timed on this machine, and when does it no longer hold?

A file for each set of conditions in `speeds/` of `embudget.cache.cache_folder`. Another device, precision, number
of threads, text length, or version of embudget or torch is another file. A file that cannot be read counts for none:
it is written anew.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from embudget.cache import cache_folder
from embudget.errors import EmbudgetError
from embudget.files import write_whole
from embudget.records import RunConfig


class Conditions(NamedTuple):
    """What a timing depends on beside the model, the method and the tokens of a step."""

    device: str
    """The name of the GPU or of the processor."""
    precision: str
    threads: int
    max_length: int
    embudget: str
    torch: str

    @property
    def file(self) -> Path:
        """Where the timings under these conditions are kept."""
        key = hashlib.sha256(json.dumps(list(self)).encode()).hexdigest()[:16]
        return cache_folder() / "speeds" / f"{key}.json"

    def __str__(self) -> str:
        """For a person."""
        threads = "" if self.threads == 0 else f", {self.threads} thread{'s' * (self.threads > 1)}"
        return f"{self.device}, {self.precision}{threads}"


def conditions_of(config: RunConfig) -> Conditions:
    """The conditions of a run in this process."""
    from importlib.metadata import version

    import torch

    from embudget.training.device import start_processes

    device = start_processes().device
    on_gpu = device.type == "cuda"
    return Conditions(
        torch.cuda.get_device_name(device) if on_gpu else _processor(),
        config.precision,
        0 if on_gpu else torch.get_num_threads(),
        config.max_length,
        version("embudget"),
        torch.__version__,
    )


class Kept(NamedTuple):
    """The content of a file."""

    timings: list[Any]
    asked: list[str]
    """Steps that were wanted before, whether there was time for them or not: they are not tried again."""


def kept(conditions: Conditions) -> Kept:
    """What was kept under these conditions; nothing where there is no file, or a damaged one."""
    try:
        data = json.loads(conditions.file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Kept([], [])
    if not isinstance(data, dict) or data.get("conditions") != conditions._asdict():
        return Kept([], [])
    timings, asked = data.get("timings"), data.get("asked")
    return Kept(timings if isinstance(timings, list) else [], asked if isinstance(asked, list) else [])


def keep(conditions: Conditions, content: Kept) -> None:
    """Keep what was timed; where the cache cannot be written they are timed again the next time, which is no error."""
    with suppress(OSError, EmbudgetError):
        conditions.file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(conditions.file, json.dumps({"conditions": conditions._asdict(), **content._asdict()}, indent=1))


def _processor() -> str:
    """The name of the processor, as Linux gives it, else as Python does."""
    import platform

    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
