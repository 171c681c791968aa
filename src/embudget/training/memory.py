"""An estimate of the memory that the activations of a batch need, to choose between a direct pass and caching.

A block of hidden size h, inner size i and key-value width k keeps about 14h + 4k + 4i numbers per token for its
backward pass: inputs and outputs of norms and of the linear layers, rotated queries and keys, the gated product.
Attention probabilities are not kept (fused kernels recompute them).
"""

import torch

from embudget.methods import Method
from embudget.suite.shapes import ModelShape

SHARE_OF_FREE_MEMORY = 0.5
"""Activations may take this share of what is free; gradients, optimiser and fragmentation need the rest."""


def activation_bytes(method: Method, shape: ModelShape, tokens: float, bytes_per_number: int = 4) -> float:
    """Bytes of activations that a direct forward pass over ``tokens`` keeps for the backward pass."""
    numbers = 14 * shape.hidden + 4 * shape.kv_heads * shape.head_dim + 4 * shape.intermediate
    return method.backward_layers(shape) * numbers * tokens * bytes_per_number


def free_bytes() -> int:
    """Memory that is free on the device that trains: CUDA's where there is one, else the machine's."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    import psutil

    return int(psutil.virtual_memory().available)


def needs_cache(method: Method, shape: ModelShape, tokens_per_batch: float) -> bool:
    """Whether a direct pass over a batch would take more than its share of the free memory."""
    bytes_per_number = 2 if torch.cuda.is_available() else 4
    return activation_bytes(method, shape, tokens_per_batch, bytes_per_number) > SHARE_OF_FREE_MEMORY * free_bytes()
