"""Several processes that train one model: what each embeds, and what they exchange.

Every process makes the same batch; its texts, sorted by length, are dealt out in turn, so that all have about the same
work. The embeddings of all are gathered, every process takes the loss of the whole batch and the gradient with respect
to its own texts' embeddings, and the parameters' gradients are summed: the same update as one process makes, up to the
order of summation. Start them with torchrun; accelerate sets up gloo on CPUs and NCCL on CUDA devices.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from accelerate import PartialState


def start_processes() -> "PartialState":
    """This process's place among those that torchrun started, and its device; one process without torchrun."""
    from accelerate import PartialState

    # accelerate leaves processes on CPUs alone with themselves unless it is told that they are meant
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=several and not torch.cuda.is_available())


def share(lengths: Sequence[int], rank: int, count: int) -> list[int]:
    """Positions of the texts that a process embeds, longest first."""
    return sorted(range(len(lengths)), key=lambda text: -lengths[text])[rank::count]


def gather(own_TE: Tensor, lengths: Sequence[int], count: int) -> Tensor:
    """The embeddings of all texts in the batch's order, from what each process has in the order of its `share`."""
    if count == 1:
        order = torch.tensor(share(lengths, 0, 1), device=own_TE.device).argsort()
        return own_TE[order]
    most = -(-len(lengths) // count)
    padded_TE = torch.zeros(most, own_TE.shape[1], device=own_TE.device)
    padded_TE[: len(own_TE)] = own_TE
    parts = [torch.empty_like(padded_TE) for _ in range(count)]
    torch.distributed.all_gather(parts, padded_TE)
    all_TE = torch.empty(len(lengths), own_TE.shape[1], device=own_TE.device)
    for rank, part_TE in enumerate(parts):
        texts = share(lengths, rank, count)
        all_TE[texts] = part_TE[: len(texts)]
    return all_TE


def add_up(gradients: Sequence[Tensor], count: int) -> None:
    """Sum gradients over the processes, in place, in as few exchanges as their types allow."""
    if count == 1 or not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    for gradient, total in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(total.view_as(gradient))


def collect(number: int, device: torch.device, count: int) -> list[int]:
    """The number that each process has, in the order of their ranks."""
    if count == 1:
        return [number]
    parts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(count)]
    torch.distributed.all_gather(parts, torch.tensor([number], device=device))
    return [int(part) for part in parts]


def sum_counts(counts: Sequence[int], device: torch.device, count: int) -> list[int]:
    """The sum over the processes of each of the numbers that every process has."""
    if count == 1:
        return list(counts)
    total = torch.tensor(counts, device=device)
    torch.distributed.all_reduce(total)
    sums: list[int] = total.tolist()
    return sums
