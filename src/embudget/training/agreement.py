"""What processes that train one model must agree on, and tensors of which each has a part (DTensor)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from embudget.training.device import start_processes


def whole(value: Tensor) -> Tensor:
    """A tensor as one; a sharded one is gathered, in all processes."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def own(value: Tensor) -> Tensor:
    """What this process has of a tensor; of one that is not sharded all of it."""
    return value.to_local() if isinstance(value, DTensor) else value


def cut_like(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, cut as another one is; without exchange, since every process has it."""
    if not isinstance(like, DTensor) or isinstance(value, DTensor):
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def is_sharded(value: Tensor) -> bool:
    """Whether processes have different parts of a tensor."""
    return isinstance(value, DTensor)


def agreed_most(number: float) -> float:
    """The largest of what the processes say; all must ask."""
    place = start_processes()
    if place.num_processes == 1:
        return number
    largest = torch.tensor([number], dtype=torch.float64, device=place.device)
    if place.device.type == "mps":  # which has no float64
        largest = largest.float()
    torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
    return float(largest.item())


@torch.no_grad()
def clip_together(values: Sequence[Tensor], most: float) -> None:
    """Clip gradients, sharded or not, to a common norm, as `torch.nn.utils.clip_grad_norm_` does."""
    parts: list[Tensor] = [value.grad for value in values if value.grad is not None and is_sharded(value)]
    rest = [value.grad for value in values if value.grad is not None and not is_sharded(value)]
    square = torch.nn.utils.get_total_norm([own(part) for part in parts]) ** 2
    square = square.to(start_processes().device)
    torch.distributed.all_reduce(square)
    norm = (square + torch.nn.utils.get_total_norm(rest).to(square) ** 2).sqrt()
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    for gradient in (*parts, *rest):
        own(gradient).mul_(factor)
