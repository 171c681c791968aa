"""Checkpoints of sharded runs: each process writes its part, and any number of processes reads what it needs of them.

torch.distributed.checkpoint writes the parts and, at the end, where each lies in the whole. Its metadata is a pickle,
which can run code when it is read: checkpoints are read from the run's own folder, and only if they are whole by the
hashes that stand in `state.json`. Nobody but you should be able to write there.
"""

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from embudget.files import flush
from embudget.training.checkpoint_folder import Empty, begin, digest, finish
from embudget.training.device import start_processes


def write_sharded(folder: Path, step: int, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    """Write a checkpoint of a sharded run, whole or not at all, as `checkpoints.write_checkpoint` does.

    All processes must, at the same step; the folder must be one that all of them see.

    Raises:
        OSError: some process could not write its part; all of them are told so, and older checkpoints are untouched.
    """
    place, part = start_processes(), folder / "part"
    _together(lambda: begin(folder) if place.is_main_process else None)
    try:
        save(dict(tensors), checkpoint_id=part)
    except CheckpointException as error:
        if place.is_main_process:
            shutil.rmtree(part, ignore_errors=True)
        first = next(iter(error.failures.values()))[0]
        raise OSError(str(getattr(first, "strerror", None) or first)) from None
    found = _together(lambda: _own_digests(part, place.process_index))

    def name() -> None:
        if place.is_main_process:
            finish(folder, step, {name: value for one in found for name, value in one.items()}, numbers)

    try:
        _together(name)
    except OSError:
        if place.is_main_process:
            shutil.rmtree(part, ignore_errors=True)
        raise


def read_sharded(path: Path, empty: Empty | None) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint: each process what it has of them, without the others.

    Raises:
        ValueError: they cannot be read.
    """
    reader = FileSystemReader(path)
    tensors: dict[str, Tensor] = {}
    for name, about in reader.read_metadata().state_dict_metadata.items():
        assert isinstance(about, TensorStorageMetadata)
        size, kind = about.size, about.properties.dtype
        tensors[name] = torch.empty(size, dtype=kind) if empty is None else empty(name, size, kind)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")
            load(tensors, storage_reader=reader, no_dist=True)
    except CheckpointException as error:
        raise ValueError(str(error)) from None
    return tensors


def _own_digests(part: Path, rank: int) -> dict[str, str]:
    """The hashes of what this process has written, once that is on the disk; the first one's are the metadata too."""
    files = sorted(part.glob(f"__{rank}_*")) + ([part / ".metadata"] if rank == 0 else [])
    for file in files:
        flush(file)
    return {file.name: digest(file) for file in files}


def _together(work: Any) -> list[Any]:  # noqa: ANN401 - whatever the work gives
    """Do something in every process, and have all of them fail if one does; what each has found.

    Raises:
        OSError: one of them had one.
    """
    try:
        found, trouble = work(), None
    except OSError as error:
        found, trouble = None, str(error.strerror or error)
    every = gather_object([(found, trouble)])
    if first := next((one for _, one in every if one is not None), None):
        raise OSError(first)
    return [one for one, _ in every]
