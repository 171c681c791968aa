"""Checkpoints of a model in training: weights, moments of the optimizer, step and seconds, the last two of them.

A checkpoint is a folder that gets its name, step-NUMBER, only when all of it is on the disk.
"""

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import GPTNeoXForCausalLM


def save(
    model: "GPTNeoXForCausalLM", optimizer: "torch.optim.Optimizer", checkpoints: Path, step: int, seconds: float
) -> None:
    """Write a checkpoint under a temporary name, rename it once it is on the disk, and keep the one before."""
    from safetensors.torch import save_file

    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
    part = checkpoints / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    save_file(tensors, part / "state.safetensors")
    (part / "state.json").write_text(json.dumps({"step": step, "seconds": seconds}))
    for path in (part / "state.safetensors", part / "state.json", part):
        _flush(path)
    older = sorted(checkpoints.glob("step-*"))
    folder = checkpoints / f"step-{step:09d}"
    shutil.rmtree(folder, ignore_errors=True)  # one that could not be read
    part.rename(folder)
    _flush(checkpoints)
    for old in older[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk: a rename may overtake what it renames."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def restore(model: "GPTNeoXForCausalLM", optimizer: "torch.optim.Optimizer", checkpoints: Path) -> tuple[int, float]:
    """Load the newest checkpoint that can be read; the step that comes next and the seconds so far, or zeros."""
    from safetensors import SafetensorError

    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for folder in sorted(checkpoints.glob("step-*"), reverse=True):
        try:
            weights, moments, step, seconds = _read(folder)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            continue  # damaged: an older one, or the beginning, gives the same result some minutes later
        if {name: tensor.shape for name, tensor in weights.items()} == shapes:
            model.load_state_dict(weights)
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
            return step, seconds
    return 0, 0.0


def _read(folder: Path) -> "tuple[dict[str, torch.Tensor], dict[int, dict[str, torch.Tensor]], int, float]":
    """Weights, moments of the optimizer, step and seconds of a checkpoint."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "state.safetensors")
    moments: dict[int, dict[str, torch.Tensor]] = {}
    weights: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        owner, _, name = key.partition(".")
        if owner == "model":
            weights[name] = tensor
        else:
            index, _, moment = name.partition(".")
            moments.setdefault(int(index), {})[moment] = tensor
    state = json.loads((folder / "state.json").read_text())
    return weights, moments, int(state["step"]), float(state["seconds"])
