"""Sharding: each process keeps a share of every block, so that a model may be larger than one device's memory.

FSDP2 (`torch.distributed.fsdp.fully_shard`; Zhao et al. 2023, arXiv 2304.11277) cuts each parameter of the blocks, its
gradient and its moments along their first dimension. A block is put together where it computes, forward and backward,
and the next one is fetched meanwhile. Gradients are *summed*, not averaged, since each process has the gradient of the
whole batch's loss with respect to its own texts (see `embudget.training.device`).

    sharded       parameters, gradients and moments of the blocks
    replicated    what lies around the blocks: input embedding with its moments, positions, norms, `Dense` modules

Putting a block together takes all processes at once, so that each must go through the blocks equally often:
`agreement.agreed_most` settles how often, and a process with fewer chunks goes through them with one of no weight.

In bf16 the blocks are sent and multiplied in bf16, the weights of their norms as well, which without sharding stay
float32; a sharded run in bf16 is therefore the same as an unsharded one to bf16's precision only, in float32 to
rounding.

A measurement is in float32, whatever the training multiplies in, and a model is written as a whole: for both the blocks
are computed by, or turned into, copies without sharding (`ShardedBlocks.whole`, `ShardedBlocks.assemble`).
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from embudget.errors import ConfigError
from embudget.training.agreement import whole
from embudget.training.device import start_processes


class ShardedBlocks:
    """The blocks of a transformer, cut over all processes, which must make it together.

    Args:
        decoder: the transformer without PEFT's wrapper, on the CPU, with what trains already free; its blocks go to the
            device one after the other, so that it need not fit there whole.
        path: where its list of blocks is.
        bf16: whether blocks are sent and multiplied in bf16.

    Raises:
        ConfigError: torch is older than 2.8, with which gloo cannot sum gradients.
    """

    def __init__(self, decoder: nn.Module, path: str, bf16: bool) -> None:
        if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):
            raise ConfigError(f"shard needs torch 2.8 or newer, got {torch.__version__}: pip install -U torch")
        place = start_processes()
        mesh = init_device_mesh(place.device.type, (place.num_processes,))
        policy = MixedPrecisionPolicy()
        if bf16:
            policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
        self._list: Any = decoder.get_submodule(path)
        self._blocks: list[Any] = list(self._list.children())
        self._plain: list[nn.Module] = []
        for block in self._blocks:
            self._plain.append(copy.deepcopy(block).to("meta"))
            fully_shard(block, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
            block.set_gradient_divide_factor(1.0)
            block.set_force_sum_reduction_for_comms(True)  # gloo has no other way to sum
        for block, above in zip(self._blocks, self._blocks[1:], strict=False):
            block.set_modules_to_forward_prefetch([above])
        self._root = cast("Any", fully_shard(_Root(self._blocks), mesh=mesh))
        self._root()  # before any block runs: they learn of one another

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Let the model compute in float32 and without gradients; all processes must, and equally often."""
        for place, (block, plain) in enumerate(zip(self._blocks, self._plain, strict=True)):
            self._list[place] = _Gathered(block, plain)
        try:
            yield
        finally:
            for place, block in enumerate(self._blocks):
                self._list[place] = block

    def assemble(self) -> None:
        """Put unsharded blocks, on the CPU, in the places of the sharded ones: for whoever gets the model.

        All processes must, and each has the whole model then.
        """
        for place, (block, plain) in enumerate(zip(self._blocks, self._plain, strict=True)):
            plain.to_empty(device="cpu")
            found = {name: whole(value.detach()).cpu() for name, value in _state(block).items()}
            with torch.no_grad():
                for name, value in _state(plain).items():
                    value.copy_(found[name])
            self._list[place] = plain.train(block.training)


class _Root(nn.Module):
    """Stands for the blocks together, whose names it leaves alone."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self) -> None:
        """Nothing is computed: FSDP sets up what the blocks share when a root is called."""


class _Gathered(nn.Module):
    """A block that computes with parameters which are put together for the length of a call."""

    def __init__(self, block: nn.Module, plain: nn.Module) -> None:
        super().__init__()
        self._pair = block, plain  # outside the tree of modules

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - models ask a block for its type of attention
        return getattr(self.__dict__["_pair"][0], name)

    def forward(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - what blocks take and give differs
        block, plain = self._pair
        values = {name: whole(value.detach()) for name, value in _state(block).items()}
        plain.train(self.training)
        return torch.func.functional_call(plain, values, given, named)


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, those that are not saved as well."""
    return dict(module.named_parameters()) | dict(module.named_buffers())
