"""One process's texts of one batch, on their way forward through the model and back.

The texts are cut into chunks; what memory does not suffice for is begun again with less (`embudget.training.engine`).

Shapes: T texts, L tokens, H hidden size, E embedding size, R rows of the input embedding.
"""

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from sentence_transformers.base.losses.gradcache import RandContext
from torch import Tensor
from torch.utils.checkpoint import set_device_states

from embudget.errors import OutOfMemoryError, first_line
from embudget.flops import Passes
from embudget.training.agreement import agreed_most
from embudget.training.bf16 import Bf16Weights
from embudget.training.chunks import Chunk, empty_chunk, make_chunks
from embudget.training.encoder import Encoder

LOG = logging.getLogger(__name__)

KEPT_STATES_BYTES = 2**30
"""Up to this size the hidden states above a batch's frozen prefix are kept between the two passes; larger ones are
computed again."""


class Computing(Protocol):
    """How texts are computed, as an engine says; it is changed where memory turns out to be short."""

    encoder: Encoder
    cached: bool
    """Whether gradients are cached."""
    chunk_tokens: int
    """Padded tokens a chunk may hold."""
    flatten: bool
    """Whether chunks are laid end to end."""
    sharded: bool
    """Whether processes must go through the blocks equally often."""
    weights: Bf16Weights | None
    """The copies that a step runs on."""

    @property
    def chunk_overhead(self) -> int:
        """What a chunk costs beside its tokens, in tokens."""
        ...


@dataclass
class _Done:
    """What the forward pass over a chunk leaves for the way back."""

    of_prefix: RandContext
    of_suffix: RandContext
    """The random states that its frozen prefix and what follows drew from: either may have dropout."""
    hidden_TLH: Tensor | None
    """The hidden states above the frozen prefix, where they are kept for the second pass."""
    embedded_TE: Tensor | None
    """The embeddings with their graph; None where gradients are cached."""
    prefix_passes: int = 1


class BatchPasses:
    """One process's texts of one batch, on their way forward and back."""

    def __init__(self, engine: Computing, texts: list[np.ndarray], rows_RH: Tensor | None) -> None:
        self.engine = engine
        self.encoder = engine.encoder
        self.texts = texts
        self.rows_RH = rows_RH
        self.trained = [value for _, value in self.encoder.trained()]  # once in use, copies are in their places
        self.random_state = RandContext(torch.empty(0, device=self.encoder.model.device))
        self.chunks: list[Chunk] = []
        self.done: list[_Done] = []

    def leaves(self) -> list[Tensor]:
        """All that gets a gradient, which is zero where no text of this process reaches it."""
        leaves = self.trained + ([] if self.rows_RH is None else [self.rows_RH])
        for leaf in leaves:
            if leaf.grad is None:
                leaf.grad = torch.zeros_like(leaf)
        return leaves

    def forward(self) -> Tensor:
        """Embeddings of the texts, detached, (T, E)."""
        while True:
            try:
                return self._forward()
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                self._make_smaller(error)

    def backward(self, gradient_TE: Tensor) -> None:
        """Carry the gradient with respect to the embeddings back to the parameters."""
        while True:
            try:
                return self._backward(gradient_TE)
            except RuntimeError as error:
                self._make_smaller(error)
            for leaf in self.leaves():
                leaf.grad = None
            if self.engine.weights is not None:
                self.engine.weights.forget_gradients()
            self.forward()

    def passes(self) -> list[Passes]:
        """What went through the model, chunk by chunk."""
        forward = 2 if self.engine.cached else 1
        return [
            Passes(
                *(n * size for n in (done.prefix_passes, forward, 1) for size in (chunk.tokens, chunk.squares)),
                *(n * len(chunk.lengths) for n in (forward, 1)),
            )
            for chunk, done in zip(self.chunks, self.done, strict=True)
        ]

    def _forward(self) -> Tensor:
        engine = self.engine
        _go_back_to(self.random_state)
        device = self.encoder.model.device
        self.chunks = make_chunks(self.texts, engine.chunk_tokens, device, engine.flatten, engine.chunk_overhead)
        count = agreed_most(len(self.chunks)) if engine.sharded else max(1, len(self.chunks))
        while len(self.chunks) < count:
            self.chunks.append(empty_chunk(device, engine.flatten))
        self.done = []
        states_bytes = 4 * sum(chunk.tokens for chunk in self.chunks) * self.encoder.hidden_size
        # without frozen blocks the states are only looked up
        keep = engine.cached and self.encoder.prefix_blocks > 0 and states_bytes <= KEPT_STATES_BYTES
        embeddings_TE: Tensor | None = None
        for chunk in self.chunks:
            with torch.no_grad() if engine.cached else nullcontext():
                before = self._randomness(chunk.ids)
                hidden_TLH = self.encoder.hidden(chunk, self.rows_RH)
                between = self._randomness(chunk.ids)
                embedded_TE = self.encoder.embed(chunk, hidden_TLH)
            if embeddings_TE is None:
                embeddings_TE = embedded_TE.new_empty(len(self.texts), embedded_TE.shape[1])
            if chunk.texts:
                embeddings_TE[chunk.texts] = embedded_TE.detach()
            done = _Done(before, between, hidden_TLH if keep else None, None if engine.cached else embedded_TE)
            self.done.append(done)
        assert embeddings_TE is not None
        return embeddings_TE

    def _randomness(self, ids: Tensor) -> RandContext:
        """The random state now; the last chunk's where nothing was drawn since.

        What lives on between the chunks is kept small: pieces left among the large tensors of the chunks would keep
        the allocator from using their memory again.
        """
        now = RandContext(ids)
        last = self.done[-1].of_suffix if self.done else None
        same = last is not None and not now.fwd_gpu_states and torch.equal(now.fwd_cpu_state, last.fwd_cpu_state)
        return last if same else now

    def _backward(self, gradient_TE: Tensor) -> None:
        nothing = gradient_TE.new_zeros(1, gradient_TE.shape[1])
        gradients = [gradient_TE[chunk.texts] if chunk.texts else nothing for chunk in self.chunks]
        if not self.engine.cached:
            embedded = [done.embedded_TE for done in self.done if done.embedded_TE is not None]
            if self.engine.weights is None and not self.engine.sharded:
                return torch.autograd.backward(embedded, gradients)
            # one by one: see `embudget.training.bf16`; and a sharded block then gives its whole gradient away at once
            for one_TE, gradient in zip(embedded, gradients, strict=True):
                one_TE.backward(gradient)
            return
        for chunk, done, gradient in zip(self.chunks, self.done, gradients, strict=True):
            hidden_TLH = done.hidden_TLH
            if hidden_TLH is None:
                with done.of_prefix:
                    hidden_TLH = self.encoder.hidden(chunk, self.rows_RH)
                done.prefix_passes += 1
            with done.of_suffix:
                embedded_TE = self.encoder.embed(chunk, hidden_TLH)
            embedded_TE.backward(gradient)

    def _make_smaller(self, error: RuntimeError) -> None:
        """Prepare another attempt with less memory.

        Raises:
            RuntimeError: it was about something else.
            OutOfMemoryError: there is nothing smaller.
        """
        if not _out_of_memory(error):
            raise error
        engine = self.engine
        if engine.sharded:  # the other processes are in the middle of the blocks, and would wait for this one
            raise OutOfMemoryError(
                f"out of memory in a sharded run, which cannot begin a step again: take more devices, --cache always "
                f"or a lower max_length ({first_line(error)[:200]})"
            ) from None
        largest = max((len(chunk.texts) for chunk in self.chunks), default=0)
        self.done = []
        if not engine.cached:
            engine.cached = True
            LOG.warning("out of memory: gradients are cached from now on")
        elif largest > 1:
            engine.chunk_tokens //= 2
            LOG.warning("out of memory: chunks hold %d tokens from now on", engine.chunk_tokens)
        else:
            raise OutOfMemoryError(f"out of memory with one text at a time: {first_line(error)[:200]}") from None
        if torch.accelerator.is_available():
            torch.get_device_module().empty_cache()  # torch.accelerator has it from 2.9 on


def _go_back_to(state: RandContext) -> None:
    """Draw again what was drawn since this snapshot, on the CPU and on devices."""
    torch.set_rng_state(state.fwd_cpu_state)
    if state.fwd_mps_state is not None:
        torch.mps.set_rng_state(state.fwd_mps_state)
    set_device_states(state.fwd_gpu_devices, state.fwd_gpu_states)


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether an error is about memory: CUDA's has a type of its own, that of CPUs only a text."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
