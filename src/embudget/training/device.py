"""Where and how a run computes: its processes, its attention kernel, and whether a batch fits.

Several processes, started by torchrun, train one model. Every process makes the same batch; its texts, sorted by
length, are dealt out in turn, so that all have about the same work. The embeddings of all are gathered, every process
takes the loss of the whole batch and the gradient with respect to its own texts' embeddings, and the parameters'
gradients are summed: the same update as one process makes, up to the order of summation. accelerate sets up gloo on
CPUs, NCCL on CUDA devices and what other accelerators have.

A run in bf16 trains under autocast and, on CUDA devices where the kernel is installed, by flash attention over texts
laid end to end. A measurement runs in float32 with the kernel that every model has, whatever a run trains in.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import accelerate.utils
import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch.nn import functional

from embudget.memory import BF16_BYTES, activation_bytes, state_bytes
from embudget.methods import Method
from embudget.suite.shapes import ModelShape
from embudget.training.bf16 import to_bf16, to_float32
from embudget.training.encoder import base_decoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SHARE_OF_FREE_MEMORY = 0.5
"""assumption: activations and states together may take this share of what is free; the rest is a margin."""

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""File in which a container's own limit stands, in bytes or as `max`."""

_FLASH = "flash_attention_2"


def use_flash_attention(model: "SentenceTransformer") -> bool:
    """Switch to variable-length flash attention, for bf16, where CUDA and an installed kernel allow it; whether so."""
    from transformers.utils import is_flash_attn_2_available

    if not (torch.cuda.is_available() and is_flash_attn_2_available()):
        return False
    model[0].model.set_attn_implementation(_FLASH)
    model[0].unpad_inputs = None  # look again whether inputs can be flattened
    return bool(model[0].can_flatten_inputs)


def use_float32(model: "SentenceTransformer") -> list[nn.Parameter]:
    """Make a model one that computes in float32, for whoever measures or gets it; return what was kept in bf16.

    Frozen weights become float32 again, and flash attention, which takes no float32, gives way to the kernel that every
    model has.
    """
    decoder = base_decoder(model[0].model)
    if decoder.config._attn_implementation == _FLASH:
        decoder.set_attn_implementation("sdpa")
        model[0].unpad_inputs = None
    return to_float32(model)


@contextmanager
def in_float32(model: "SentenceTransformer") -> Iterator[None]:
    """Let a model be measured in float32 in the middle of its training."""
    flash = base_decoder(model[0].model).config._attn_implementation == _FLASH
    kept = use_float32(model)
    try:
        yield
    finally:
        to_bf16(kept)
        if flash:
            use_flash_attention(model)


def needs_cache(
    method: Method, shape: ModelShape, tokens_per_batch: float, sharing: int, bf16: bool, shards: int = 1
) -> bool:
    """Whether gradients must be cached because a direct pass over a batch would take too much of the free memory.

    A direct pass keeps the activations of the whole batch and, in bf16, one copy of the weights for all chunks. Sizes
    are estimated as `embudget.memory` does. The tokens are those that this process embeds, ``sharing`` is the number of
    processes that share the memory, and ``shards`` that of the processes over which the blocks are cut.
    """
    copies = 2 * method.total_params(shape) / shards if bf16 else 0
    activations = activation_bytes(method, shape, tokens_per_batch, BF16_BYTES if bf16 else 4)
    needed = activations + state_bytes(method, shape, shards) + copies
    return needed > SHARE_OF_FREE_MEMORY * free_bytes() / sharing


def free_bytes() -> float:
    """Free memory of the device that trains, in bytes: its own, else the machine's or container's."""
    import psutil

    if (of := _own_memory()) is not None:
        return float(of.mem_get_info()[0] + of.memory_reserved() - of.memory_allocated())
    free = float(psutil.virtual_memory().available)
    limit = _container_limit()
    return free if limit is None else min(free, limit - psutil.Process().memory_info().rss)


def device_bytes() -> float:
    """All memory of the device that trains, in bytes: its own, else the machine's or container's."""
    import psutil

    if (of := _own_memory()) is not None:
        return float(of.mem_get_info()[1])
    return min(float(psutil.virtual_memory().total), _container_limit() or math.inf)


def processes_here() -> int:
    """Processes of this run on this machine, as torchrun says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", start_processes().num_processes))


def sharing(neighbours: int) -> int:
    """How many runs and processes of this run share one device's memory; on a CPU that of the machine."""
    return neighbours * (1 if start_processes().device.type != "cpu" else processes_here())


def _own_memory() -> Any | None:  # noqa: ANN401 - a module: torch.cuda, torch.xpu or a plug-in's
    """What tells of the memory of the accelerator that computes, if it is apart from the machine's; Apple's is not.

    `torch.accelerator` tells of memory from torch 2.10 on only; the module of each kind of device has for longer.
    """
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return None if found is None or found.type == "mps" else torch.get_device_module(found)


def _container_limit() -> float | None:
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.is_file() else "max"
    return None if limit == "max" else float(limit)


def start_processes() -> PartialState:
    """Find this process's place among those that torchrun started, and its device; without torchrun it is alone."""
    # accelerate takes a process on a CPU to be alone unless it is told that several are meant
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=several and not torch.accelerator.is_available())


def random_state() -> dict[str, Tensor]:
    """The state from which this process draws, on the CPU and on its device, by names for a checkpoint."""
    found, device = {"random": torch.get_rng_state()}, start_processes().device
    if device.type != "cpu":
        found[f"random.{device.type}"] = torch.get_device_module(device).get_rng_state()
    return found


def set_random_state(tensors: Mapping[str, Tensor]) -> None:
    """Draw from here on as from a state that `random_state` gave, as far as it is of this kind of device."""
    torch.set_rng_state(tensors["random"].cpu())
    device = start_processes().device
    if (key := f"random.{device.type}") in tensors:
        torch.get_device_module(device).set_rng_state(tensors[key].cpu())


def share(lengths: Sequence[int], rank: int, count: int) -> list[int]:
    """Positions of the texts that a process embeds, longest first."""
    return sorted(range(len(lengths)), key=lambda text: -lengths[text])[rank::count]


def gather(own_TE: Tensor, lengths: Sequence[int]) -> Tensor:
    """The embeddings of all texts in the batch's order, from what each process has in the order of its `share`."""
    count = start_processes().num_processes
    most = -(-len(lengths) // count)  # the shares differ by one text, and all must give tensors of one size
    parts_TE: Tensor = accelerate.utils.gather(functional.pad(own_TE, (0, 0, 0, most - len(own_TE))))
    dealt = torch.arange(len(lengths), device=own_TE.device)
    order = torch.tensor(share(lengths, 0, 1), device=own_TE.device).argsort()
    return parts_TE[(dealt % count * most + dealt // count)[order]]


def add_up(gradients: Sequence[Tensor]) -> None:
    """Sum gradients over the processes, in place, in one exchange."""
    if start_processes().num_processes == 1 or not gradients:  # as where all that trains is sharded
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    for gradient, total in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(total.view_as(gradient))
