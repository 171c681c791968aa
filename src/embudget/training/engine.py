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

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate.utils import reduce
from torch import Tensor

from embudget.memory import CHUNK_TOKENS
from embudget.training.agreement import agreed_most, is_sharded
from embudget.training.bf16 import Bf16Weights
from embudget.training.chunks import BF16_CHUNK_OVERHEAD, CHUNK_OVERHEAD
from embudget.training.device import (
    add_up,
    gather,
    needs_cache,
    share,
    sharing,
    start_processes,
    use_flash_attention,
)
from embudget.training.encoder import Encoder
from embudget.training.loss import matryoshka_gradient
from embudget.training.meter import BudgetMeter
from embudget.training.passes import BatchPasses

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embudget.training.job import Job


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
    sharded: bool = False
    """Whether the blocks are cut over the processes, which then go through them equally often."""
    weights: Bf16Weights | None = None
    """The copies that a step runs on where it multiplies in bf16; the encoder then runs under autocast."""

    @property
    def chunk_overhead(self) -> int:
        """What a chunk costs beside its tokens, in tokens of this precision."""
        return BF16_CHUNK_OVERHEAD if self.encoder.autocast else CHUNK_OVERHEAD

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
        work = BatchPasses(self, [texts[text] for text in mine], rows_RH)
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
        add_up([gradient for value in work.leaves() if (gradient := value.grad) is not None and not is_sharded(value)])
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
    sharded = resources.shard and place.num_processes > 1
    cached = resources.cache == "always" or (
        resources.cache == "auto"
        and needs_cache(
            job.method, job.shape, a_batch / place.num_processes, sharing(resources.neighbours), bf16,
            *([place.num_processes] if sharded else []),
        )
    )  # fmt: skip
    if sharded:  # what is free may differ, and all must go through the blocks equally often
        cached = agreed_most(cached) > 0
    if resources.compile:
        for block in encoder.blocks:
            block.compile(dynamic=True)
    weights = Bf16Weights(model[0].model) if bf16 and not sharded else None
    return Engine(encoder, config.scale, config.matryoshka, cached, flatten=flatten, sharded=sharded, weights=weights)
