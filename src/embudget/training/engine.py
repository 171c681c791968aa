"""The gradient of one contrastive batch: every text goes through the model once, or twice where memory is short.

    direct    embed the chunks with their graphs, take the loss's gradient with respect to the embeddings, go back
    cached    embed the chunks without graphs, take the same gradient, then embed each chunk again with a graph and go
              back (gradient caching, Gao et al. 2021): memory of one chunk for the price of a second forward pass

Both give the same gradient; dropout is replayed. What is frozen below the first trained block runs once in either. When
memory does not suffice, the engine goes over to caching, then halves its chunks, and repeats what it had begun: nothing
is counted twice, and the result is the same.

Shapes: B pairs, M hard negatives, T = 2B + M texts, L tokens, E embedding size, R rows of the input embedding, P
couples of a query and a negative.
"""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate.utils import reduce
from sentence_transformers.base.losses.gradcache import RandContext
from torch import Tensor
from torch.utils.checkpoint import set_device_states

from embudget.errors import OutOfMemoryError, first_line
from embudget.flops import Passes
from embudget.memory import CHUNK_TOKENS
from embudget.training.bf16 import Bf16Weights
from embudget.training.chunks import BF16_CHUNK_OVERHEAD, CHUNK_OVERHEAD, Chunk, make_chunks
from embudget.training.device import (
    add_up,
    gather,
    needs_cache,
    share,
    start_processes,
    use_flash_attention,
)
from embudget.training.encoder import Encoder
from embudget.training.loss import matryoshka_gradient
from embudget.training.meter import BudgetMeter

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embudget.training.job import Job

LOG = logging.getLogger(__name__)

KEPT_STATES_BYTES = 2**30
"""Up to this size the hidden states above a batch's frozen prefix are kept between the two passes; larger ones are
computed again."""


@dataclass
class Engine:
    """Fills the gradients of a model's trained parameters from a batch of tokenised texts."""

    encoder: Encoder
    scale: float
    """1 / temperature of the loss."""
    sizes: tuple[int, ...] = ()
    """Smaller embedding sizes at which the loss is taken besides the full one."""
    cached: bool = False
    """Whether gradients are cached; from the first time that memory is short they are."""
    chunk_tokens: int = CHUNK_TOKENS
    """Padded tokens a chunk may hold; halved each time that memory is short in spite of caching."""
    flatten: bool = False
    """Whether chunks are laid end to end for variable-length attention."""
    weights: Bf16Weights | None = None
    """The copies that a step runs on where it multiplies in bf16; the encoder then runs under autocast."""

    @property
    def chunk_overhead(self) -> int:
        """What a chunk costs beside its tokens, in tokens of this precision."""
        return CHUNK_OVERHEAD if self.weights is None else BF16_CHUNK_OVERHEAD

    def gradients(
        self,
        texts: Sequence[np.ndarray],
        meter: BudgetMeter | None = None,
        rows_RH: Tensor | None = None,
        *,
        pairs: int | None = None,
        right_P2: np.ndarray | None = None,
    ) -> float:
        """Set the gradient of every trained parameter; return the loss in nats.

        Args:
            texts: token ids of the queries, then of their positives, then of hard negatives; the same in every process.
                Where ``rows_RH`` is given, positions in it.
            meter: counts what is computed, by all processes.
            rows_RH: rows of the input embedding that get a gradient, where it trains.
            pairs: how many of the texts are queries; half of them by default.
            right_P2: couples of a query and a hard negative that is not wrong for it, by their places.

        Raises:
            OutOfMemoryError: memory does not suffice for one text at a time.
        """
        lengths = [len(text) for text in texts]
        place = start_processes()
        mine = share(lengths, place.process_index, place.num_processes)
        work = _Work(self, [texts[text] for text in mine], rows_RH)
        pairs = len(texts) // 2 if pairs is None else pairs
        with nullcontext() if self.weights is None else self.weights.in_use():
            embedded_TE = gather(work.forward(), lengths)
            queries_BE, positives_BE, negatives_ME = embedded_TE.split([pairs, pairs, len(texts) - 2 * pairs])
            loss, *gradients = matryoshka_gradient(
                queries_BE,
                positives_BE,
                self.scale,
                self.sizes,
                negatives_ME=negatives_ME,
                right_P2=None if right_P2 is None else torch.from_numpy(right_P2).to(queries_BE.device),
            )
            work.backward(torch.cat(gradients)[mine])
        add_up([gradient for value in work.leaves() if (gradient := value.grad) is not None])
        if meter is not None:
            mine_P = torch.tensor(work.passes(), device=queries_BE.device).sum(dim=0)
            meter.add_passes(reduce(mine_P, "sum").tolist())
        return loss.item()


def engine_of(job: "Job", model: "SentenceTransformer") -> Engine:
    """The engine of a job, with the kernel, the precision and the caching that suit this machine and its resources."""
    config, resources, place = job.config, job.resources, start_processes()
    bf16 = config.precision == "bf16"
    flatten = bf16 and use_flash_attention(model)  # before the encoder, whose parts take over the kernel
    encoder = Encoder(model, autocast=bf16, description=job.shape.description)
    a_batch = job.tokens_per_pair * config.batch_size
    sharing = resources.neighbours * (1 if place.device.type == "cuda" else place.num_processes)  # one machine's memory
    cached = resources.cache == "always" or (
        resources.cache == "auto" and needs_cache(job.method, job.shape, a_batch / place.num_processes, sharing, bf16)
    )
    if resources.compile:
        for block in encoder.blocks:
            block.compile(dynamic=True)
    weights = Bf16Weights(model[0].model) if bf16 else None
    return Engine(encoder, config.scale, config.matryoshka, cached, flatten=flatten, weights=weights)


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


class _Work:
    """One process's texts of one batch, on their way forward and back."""

    def __init__(self, engine: Engine, texts: list[np.ndarray], rows_RH: Tensor | None) -> None:
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
            Passes(*(n * size for n in (done.prefix_passes, forward, 1) for size in (chunk.tokens, chunk.squares)))
            for chunk, done in zip(self.chunks, self.done, strict=True)
        ]

    def _forward(self) -> Tensor:
        engine = self.engine
        _go_back_to(self.random_state)
        device = self.encoder.model.device
        self.chunks = make_chunks(self.texts, engine.chunk_tokens, device, engine.flatten, engine.chunk_overhead)
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
        gradients = [gradient_TE[chunk.texts] for chunk in self.chunks]
        if not self.engine.cached:
            embedded = [done.embedded_TE for done in self.done if done.embedded_TE is not None]
            if self.engine.weights is None:
                return torch.autograd.backward(embedded, gradients)
            for one_TE, gradient in zip(embedded, gradients, strict=True):  # why so: see `embudget.training.bf16`
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
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _go_back_to(state: RandContext) -> None:
    """Draw again what was drawn since this snapshot, on the CPU and on devices."""
    torch.set_rng_state(state.fwd_cpu_state)
    if state.fwd_mps_state is not None:
        torch.mps.set_rng_state(state.fwd_mps_state)
    set_device_states(state.fwd_gpu_devices, state.fwd_gpu_states)


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether an error is about memory: CUDA's has a type of its own, that of CPUs only a text."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
