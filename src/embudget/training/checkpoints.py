"""Checkpoints on disk: whole or not there at all.

A checkpoint is a folder `step-NUMBER` of tensors and numbers (JSON). It gets its name only once all of it is on the
disk, and its numbers carry the hashes of its tensors. So one that is torn all the same, by a disk that lost what it had
confirmed, is recognised, and the one before it is used: the last two are kept, and a new one displaces the oldest only
after it has its name.

    state.safetensors                      tensors of a run that is not sharded, written by its first process
    __RANK_*.distcp and .metadata          those of a sharded run: each process writes its own part, by
                                           torch.distributed.checkpoint (`embudget.training.sharded_checkpoints`)

Either kind can be read by any number of processes, sharded or not.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from embudget.files import flush

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TENSORS, NUMBERS = "state.safetensors", "state.json"
KEPT = 2

Empty = Callable[[str, "torch.Size", "torch.dtype"], "Tensor"]
"""Makes room for a tensor of a checkpoint: given its name, its whole size and its kind, a sharded or a plain one."""


class State(NamedTuple):
    """What a checkpoint holds: tensors on the CPU, or sharded ones on the devices."""

    tensors: "dict[str, Tensor]"
    numbers: dict[str, Any]


def write_checkpoint(folder: Path, step: int, tensors: "Mapping[str, Tensor]", numbers: Mapping[str, Any]) -> None:
    """Write a checkpoint under a temporary name, rename it once it is on the disk, and keep the one before.

    The folder is that of one run, and is made where it is missing; the numbers are whatever JSON can hold.

    Raises:
        OSError: the folder cannot be written or is full; older checkpoints are then untouched.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part = begin(folder)
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part / TENSORS)
        flush(part / TENSORS)
        finish(folder, step, digest(part / TENSORS), numbers)
    except (OSError, SafetensorError) as error:  # safetensors has its own name for a full disk
        shutil.rmtree(part, ignore_errors=True)  # half a checkpoint would keep the disk full
        raise error if isinstance(error, OSError) else OSError(str(error)) from None


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
    part, final = folder / "part", folder / f"step-{step:09d}"
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


def newest_checkpoint(
    folder: Path, of_use: Callable[[dict[str, Any]], bool] = lambda numbers: True, empty: Empty | None = None
) -> State | None:
    """Read the newest checkpoint that is whole and whose numbers are ``of_use``; None where there is none.

    Args:
        folder: of the run.
        of_use: says so by the numbers.
        empty: makes room for the tensors of a checkpoint that was sharded; by default each is read whole to the CPU.
    """
    for path in sorted(folder.glob("step-*"), reverse=True):
        found = _read(path, of_use, empty)
        if found is not None:
            return found
    return None


def _read(path: Path, of_use: Callable[[dict[str, Any]], bool], empty: Empty | None) -> State | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        said = json.loads((path / NUMBERS).read_text())
        digests, numbers = said["tensors"], said["numbers"]
        files = {TENSORS: digests} if isinstance(digests, str) else digests
        if any(digest(path / name) != expected for name, expected in files.items()) or not of_use(numbers):
            return None
        if isinstance(digests, str):
            return State(load_file(path / TENSORS), numbers)
        from embudget.training.sharded_checkpoints import read_sharded

        return State(read_sharded(path, empty), numbers)
    except (OSError, ValueError, LookupError, TypeError, SafetensorError):
        return None


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
