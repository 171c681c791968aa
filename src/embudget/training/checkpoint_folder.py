"""The folder of a checkpoint: it is written under another name, and gets its own when all of it is on the disk."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embudget.files import flush

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NUMBERS = "state.json"
KEPT = 2
"""Checkpoints of a run that stay, in its local folder and at its URL."""

Empty = Callable[[str, "torch.Size", "torch.dtype"], "Tensor"]
"""Makes room for a tensor of a checkpoint: given its name, its whole size and its kind, a sharded or a plain one."""


def step_name(step: int) -> str:
    """The folder of a checkpoint, within that of its run."""
    return f"step-{step:09d}"


def begin(folder: Path) -> Path:
    """Make the folder in which a checkpoint is written before it has its name."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    return part


def finish(folder: Path, step: int, digests: str | dict[str, str], numbers: Mapping[str, Any]) -> None:
    """Give a checkpoint whose tensors are on the disk its numbers and its name, and remove older ones.

    Args:
        folder: of the run.
        step: its number.
        digests: the hash of the tensors' file, or those of their files by name.
        numbers: the rest of the state.
    """
    part, final = folder / "part", folder / step_name(step)
    (part / NUMBERS).write_text(json.dumps({"tensors": digests, "numbers": numbers}))
    flush(part / NUMBERS)
    flush(part)
    if final.exists():  # it could not be read, or is the same again
        shutil.rmtree(final)
    part.rename(final)
    flush(folder)
    others = sorted(path for path in folder.glob("step-*") if path != final)
    earlier = [path for path in others if path < final]
    for other in {*others} - {*earlier[len(earlier) + 1 - KEPT :]}:  # later ones were torn, or of no use
        shutil.rmtree(other, ignore_errors=True)


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
