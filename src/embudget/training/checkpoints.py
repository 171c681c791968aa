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

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from embudget.files import flush
from embudget.training.checkpoint_folder import NUMBERS, Empty, begin, digest, finish

if TYPE_CHECKING:
    from torch import Tensor

TENSORS = "state.safetensors"


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
