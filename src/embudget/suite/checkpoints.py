"""Checkpoints of a model in pre-training: weights, moments of the optimizer, step and seconds."""

from pathlib import Path
from typing import TYPE_CHECKING

from embudget.training.state import newest_checkpoint, write_checkpoint

if TYPE_CHECKING:
    import torch
    from transformers import GPTNeoXForCausalLM


def save(
    model: "GPTNeoXForCausalLM", optimizer: "torch.optim.Optimizer", checkpoints: Path, step: int, seconds: float
) -> None:
    """Write a checkpoint and keep the one before."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
    write_checkpoint(checkpoints, step, tensors, {"step": step, "seconds": seconds})


def restore(model: "GPTNeoXForCausalLM", optimizer: "torch.optim.Optimizer", checkpoints: Path) -> tuple[int, float]:
    """Load the newest whole checkpoint; the step that comes next and the seconds so far, or zeros."""
    found = newest_checkpoint(checkpoints)
    if found is None:
        return 0, 0.0
    moments: dict[int, dict[str, torch.Tensor]] = {}
    weights: dict[str, torch.Tensor] = {}
    for key, tensor in found.tensors.items():
        owner, _, name = key.partition(".")
        if owner == "model":
            weights[name] = tensor
        else:
            index, _, moment = name.partition(".")
            moments.setdefault(int(index), {})[moment] = tensor
    if {name: tensor.shape for name, tensor in weights.items()} != {
        name: tensor.shape for name, tensor in model.state_dict().items()
    }:
        return 0, 0.0
    model.load_state_dict(weights)
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(found.numbers["step"]), float(found.numbers["seconds"])
