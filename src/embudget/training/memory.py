"""The choice between a direct pass and gradient caching, by an estimate of what a training step needs.

`embudget.memory` estimates from sizes; here it is set against what the device has. A direct pass keeps the activations
of the whole batch and, under bf16 autocast, a bf16 copy of the weights for each chunk.
"""

from pathlib import Path

import torch

from embudget.memory import BF16_BYTES, CHUNK_TOKENS, activation_bytes, state_bytes
from embudget.methods import Method
from embudget.suite.shapes import ModelShape

SHARE_OF_FREE_MEMORY = 0.5
"""assumption: activations and states together may take this share of what is free; the rest is a margin."""

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Where a container's own limit stands, in bytes, or `max`."""


def needs_cache(method: Method, shape: ModelShape, tokens_per_batch: float, processes: int = 1) -> bool:
    """Whether a direct pass over a batch would take more than its share of the free memory.

    Args:
        method: the fine-tuning method.
        shape: the model's sizes.
        tokens_per_batch: of queries and positives.
        processes: that share the memory.
    """
    bf16 = uses_bf16()
    copies = 2 * shape.model_params * (tokens_per_batch / CHUNK_TOKENS) if bf16 else 0
    activations = activation_bytes(method, shape, tokens_per_batch, BF16_BYTES if bf16 else 4)
    needed = activations + state_bytes(method, shape) + copies
    return needed > SHARE_OF_FREE_MEMORY * free_bytes() / processes


def uses_bf16() -> bool:
    """Whether training runs under bf16 autocast: on CUDA devices that compute in it, not on those that emulate it."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def free_bytes() -> float:
    """Memory that is free on the device that trains: CUDA's where there is one, else the machine's or container's."""
    if torch.cuda.is_available():
        reusable = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return float(torch.cuda.mem_get_info()[0] + reusable)
    import psutil

    free = float(psutil.virtual_memory().available)
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.is_file() else "max"
    return free if limit == "max" else min(free, float(limit) - psutil.Process().memory_info().rss)
