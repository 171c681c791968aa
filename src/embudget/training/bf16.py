"""The bf16 copies of a model's weights, made once a step instead of once for every chunk.

Under autocast every matrix product casts its float32 weight again. A batch is cut into chunks, often of a few hundred
tokens: where bf16 is fast, casting weights takes a good part of the time that their products take. Here the linear
layers of the transformer run on copies, and autocast, which finds bf16 already, casts only what flows through them:

    trained weight    float32 original, which the optimiser updates; its copy is renewed at the start of each step
    frozen weight     bf16 alone where that holds it exactly, as of a model published in bf16; else a copy beside the
                      float32 original, made once

A weight's gradient arrives in bf16 from each chunk, as under plain autocast, and is added to the original's float32
gradient at once: nothing is summed in bf16 over chunks. That takes a backward pass of its own for each chunk, since
within one pass autograd would add up what reaches a copy in bf16. Norms, embeddings, softmax, pooling and loss stay in
the precision that autocast gives them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from embudget.training.interrupt import deferred


class _Copied(NamedTuple):
    """A parameter of a linear layer, and the copy that stands in for it during a step."""

    layer: nn.Module
    name: str
    original: nn.Parameter
    copy: nn.Parameter


class Bf16Weights:
    """The linear layers of a transformer, in float32 for everybody and in bf16 while a step computes.

    Frozen weights that bf16 holds exactly stay bf16 between the steps as well, until `to_float32` is called.

    Args:
        transformer: its parameters are already frozen or free, and on the device that trains.

    Example:
        >>> weights = Bf16Weights(model[0].model)
        >>> with weights.in_use(), torch.autocast("cpu", torch.bfloat16):
        ...     model[0].model(ids).last_hidden_state.sum().backward()
    """

    def __init__(self, transformer: nn.Module) -> None:
        self._copied: list[_Copied] = []
        for layer in transformer.modules():
            if isinstance(layer, nn.Linear | Conv1D):
                for name, original in layer._parameters.items():
                    if original is not None and original.dtype == torch.float32:
                        self._add(layer, name, original)

    def _add(self, layer: nn.Module, name: str, original: nn.Parameter) -> None:
        low = original.detach().to(torch.bfloat16)
        if not original.requires_grad and torch.equal(low.float(), original):
            original.data = low
            return
        copy = nn.Parameter(low, requires_grad=original.requires_grad)
        if original.requires_grad:
            copy.register_post_accumulate_grad_hook(_Handing(original))
        self._copied.append(_Copied(layer, name, original, copy))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the layers run on bf16 for one step; what they then give to the copies reaches the originals."""
        try:
            with deferred(), torch.no_grad():
                for layer, name, original, copy in self._copied:
                    if copy.requires_grad:
                        copy.copy_(original)
                        copy.grad = None
                    layer._parameters[name] = copy
            yield
        finally:
            with deferred():
                for layer, name, original, _ in self._copied:
                    layer._parameters[name] = original

    def forget_gradients(self) -> None:
        """Drop what a backward pass that was broken off has left on its way to the originals."""
        for copied in self._copied:
            copied.copy.grad = None


class _Handing:
    """Adds a copy's gradient to that of its original and forgets it, as soon as it is there."""

    def __init__(self, original: nn.Parameter) -> None:
        self._original = original

    def __call__(self, copy: Tensor) -> None:
        gradient, copy.grad = copy.grad, None
        assert gradient is not None
        if self._original.grad is None:
            self._original.grad = gradient.float()
        else:
            self._original.grad += gradient


def to_float32(model: nn.Module) -> list[nn.Parameter]:
    """Give the frozen weights that are kept in bf16 back as float32, with the same values; return these parameters."""
    kept = [value for value in model.parameters() if value.dtype == torch.bfloat16]
    for value in kept:
        value.data = value.data.float()
    return kept


def to_bf16(kept: list[nn.Parameter]) -> None:
    """Undo `to_float32`."""
    for value in kept:
        value.data = value.data.to(torch.bfloat16)
