"""Checkpoints: tensors in safetensors and numbers in JSON, whole or not at all, the last two of them.

A checkpoint is a folder that gets its name, step-NUMBER, only when all of it is on the disk; the numbers carry the hash
of the tensors. One that is torn all the same (a disk that lost what it had confirmed) is recognised, and the one before
it is used. A new one displaces the oldest only after it has its name.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

TENSORS, NUMBERS = "state.safetensors", "state.json"
KEPT = 2


class Checkpoint(NamedTuple):
    """What was written, on the CPU."""

    tensors: "dict[str, Tensor]"
    numbers: dict[str, Any]


def write_checkpoint(folder: Path, step: int, tensors: "Mapping[str, Tensor]", numbers: Mapping[str, Any]) -> None:
    """Write a checkpoint under a temporary name, rename it once it is on the disk, and keep the one before.

    Args:
        folder: of the checkpoints of one run; made where it is missing.
        step: number by which checkpoints are ordered.
        tensors: by name.
        numbers: what JSON can hold.

    Raises:
        OSError: the folder cannot be written or is full; older checkpoints are then untouched.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part / TENSORS)
        (part / NUMBERS).write_text(json.dumps({"tensors": _digest(part / TENSORS), "numbers": numbers}))
        for path in (part / TENSORS, part / NUMBERS, part):
            _flush(path)
    except SafetensorError as error:  # its own name for a full disk
        shutil.rmtree(part, ignore_errors=True)
        raise OSError(str(error)) from None
    except OSError:
        shutil.rmtree(part, ignore_errors=True)  # it would fill the disk for good
        raise
    final = folder / f"step-{step:09d}"
    if final.exists():  # one that could not be read, or the same again
        shutil.rmtree(final)
    part.rename(final)
    _flush(folder)
    there = sorted(folder.glob("step-*"))
    now = there.index(final)
    for other in there[: max(0, now + 1 - KEPT)] + there[now + 1 :]:  # what comes later was torn, or of no use
        shutil.rmtree(other, ignore_errors=True)


def newest_checkpoint(folder: Path, of_use: Callable[[dict[str, Any]], bool] | None = None) -> Checkpoint | None:
    """The newest checkpoint that is whole and whose numbers are ``of_use``; None where there is none."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        found = _read(path)
        if found is not None and (of_use is None or of_use(found.numbers)):
            return found
    return None


def _read(path: Path) -> Checkpoint | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        said = json.loads((path / NUMBERS).read_text())
        if said["tensors"] != _digest(path / TENSORS):
            return None
        return Checkpoint(load_file(path / TENSORS), said["numbers"])
    except (OSError, ValueError, LookupError, TypeError, SafetensorError):
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk: a rename may overtake what it renames."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
