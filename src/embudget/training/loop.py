"""Training, step by step: a model, its optimiser, the order of its batches and the meter of what it has processed.

One step takes the next batch, sets the rate, fills the gradients (`embudget.training.engine`), clips them to norm 1 and
updates. The input embedding, where it trains, is updated row by row (`embudget.training.rows`). Everything that decides
what comes next can be taken out (`tensors`, `numbers`) and put back, to the last bit: checkpoints and the branches of a
trunk are made of it. A step that is broken off leaves the state before it.

Where the blocks are sharded (`embudget.training.sharding`), all processes must do the same at the same time.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from embudget.errors import DivergedError, RunError
from embudget.pairs.token_batch import TokenBatch
from embudget.training.agreement import agreed_most, own
from embudget.training.device import in_float32, random_state, set_random_state, start_processes
from embudget.training.encoder import base_decoder
from embudget.training.engine import engine_of
from embudget.training.heldout import HeldOut, held_out
from embudget.training.interrupt import breakable, deferred
from embudget.training.job import Job
from embudget.training.meter import BudgetMeter
from embudget.training.optimizer import TrainedParameters
from embudget.training.order import BatchOrder
from embudget.training.rows import RowAdamW

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embudget.training.sharding import ShardedBlocks

LOG = logging.getLogger(__name__)

EXPLODED = 3.0
"""A run ends as diverged once the mean loss of its last ten steps is above this many times chance, or above this many
times its first loss where that was more than chance. assumption: no run that recovers goes there; trained models start
at 0.9 to 2 times chance and fall."""


class Training:
    """One model in training.

    Args:
        job: what to train and how; its budget and schedule are the caller's business.

    Raises:
        ModelError: the model cannot be loaded.
    """

    def __init__(self, job: Job) -> None:
        from transformers import set_seed

        from embudget.training.start import load_base

        config = job.config
        self.job = job
        self.place = start_processes()
        set_seed(config.seed)
        shards = job.resources.shard and self.place.num_processes > 1
        self.model: SentenceTransformer = load_base(config, "cpu" if shards else None)
        job.method.apply_to_embedder(self.model, job.shape)
        self.sharded = self._shard() if shards else None
        self.model.to(self.place.device).train()
        self.meter = BudgetMeter(job.method, job.shape)
        self.losses: list[tuple[int, float]] = []
        """(tokens processed, training loss) after each step."""
        self.seconds = 0.0
        """Time spent in steps."""
        self.rate = 0.0
        """Learning rate of the last step."""
        self.step_tokens, self.step_seconds = 0, 0.0
        self.changes = 0
        """Grows whenever the state becomes another one."""
        self.torn = False
        """Whether an update was broken off, so that the state is of no use."""

        self.order = BatchOrder(job.tokens, config.batch_size, config.seed, config.max_epochs)
        self._before_drawn = self.order.state
        self._drawn: list[int] | None = None

        self.engine = engine_of(job, self.model)
        encoder = self.engine.encoder
        self.rows = RowAdamW(encoder.table, config.weight_decay) if encoder.table is not None else None
        self._trained = TrainedParameters(self.model, encoder.trained(), config.weight_decay)

    def _shard(self) -> "ShardedBlocks":
        from embudget.training.sharding import ShardedBlocks

        blocks = self.job.shape.description.blocks
        return ShardedBlocks(base_decoder(self.model[0].model), blocks, self.job.config.precision == "bf16")

    def next_tokens(self) -> int:
        """Non-pad tokens of the batch that the next step trains on.

        Raises:
            RunError: the pairs have ended.
        """
        return self._batch().tokens

    def step(self, factor: float) -> float:
        """Train on the next batch at ``factor`` times the peak rate; the training loss in nats.

        Raises:
            RunError: the pairs have ended.
            DivergedError: the loss is not finite, or has exploded.
        """
        started = time.perf_counter()
        batch = self._batch()
        drawn, random, meter = self._drawn, random_state(), self.meter.state()
        engine = self.engine.cached, self.engine.chunk_tokens
        try:
            with breakable([value for _, value in self._trained.named]):
                loss, rows = self._gradients(batch, factor * self.job.config.learning_rate)
        except BaseException:  # the state before the step, for whoever writes it down
            self._drawn = drawn
            self.meter.restore(meter)
            self.engine.cached, self.engine.chunk_tokens = engine
            set_random_state(random)
            self._trained.forget_gradients()
            raise
        with self._update():
            self._drawn = None
            if rows is not None and self.rows is not None:
                self.rows.step(*rows, self.rate)
            self._trained.step()
            self.losses.append((self.meter.tokens, loss))
            self.step_seconds = time.perf_counter() - started
            self.seconds += self.step_seconds
            self.changes += 1
        self._check(loss)
        return loss

    def _gradients(self, batch: TokenBatch, rate: float) -> tuple[float, tuple[Tensor, Tensor] | None]:
        """Charge a step and fill the clipped gradients: the loss, and the rows of the table with theirs, if any."""
        self.model.train()
        self.step_tokens = batch.tokens
        self.meter.add_step(batch.pairs, self.step_tokens)
        self.rate = rate
        self._trained.set_rate(rate)
        if self.rows is None:
            loss = self.engine.gradients(batch.texts, self.meter, pairs=batch.pairs, right_P2=batch.right_P2)
            self._clip([])
            return loss, None
        return self._gradients_of_rows(self.rows, batch)

    @contextmanager
    def _update(self) -> Iterator[None]:
        """Change what a checkpoint holds, undisturbed by signals; other people's handlers may break it off."""
        with deferred():
            self.torn = True
            yield
            self.torn = False

    def scored(self) -> HeldOut:
        """Score the model on the held-out pairs as its weights stand, whatever comes out; `measure` after training."""
        config = self.job.config
        with in_float32(self.model), self._whole():
            return held_out(
                self.model,
                self.job.pairs,
                config.eval_pairs,
                config.eval_candidates,
                config.scale if config.eval_scale == "own" else None,
                config.yardstick,
            )

    def _whole(self) -> AbstractContextManager[None]:
        return nullcontext() if self.sharded is None else self.sharded.whole()

    def got_gradient(self) -> bool:
        """Whether any trained parameter has had a gradient other than 0, by the optimisers' moments."""
        moments = [value for name, value in self.tensors().items() if name.endswith((".exp_avg", ".first"))]
        if self.sharded is None:
            return any(bool(value.any()) for value in moments)
        return agreed_most(any(bool(own(value).any()) for value in moments)) > 0

    def measure(self) -> HeldOut:
        """Measure the model as it is now on the held-out pairs.

        Raises:
            DivergedError: the loss is not finite.
        """
        if self.rows is not None:
            with self._update():
                self.rows.catch_up_all()
        measured = self.scored()
        if not math.isfinite(measured.loss):
            text = f"the held-out loss became {measured.loss}: lower the learning rate"
            raise DivergedError(text, self.curve(1.0))
        return measured

    def curve(self, budget: float) -> list[tuple[float, float]]:
        """(share of the budget, training loss) after each step."""
        per_token = self.meter.train_flops / self.meter.tokens if self.meter.tokens else 0.0
        return [(per_token * tokens / budget, loss) for tokens, loss in self.losses]

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that training changes, by name and not copied: parameters, moments, random state."""
        found = self._trained.tensors()
        if self.rows is not None:
            found |= {f"rows.{name}": value for name, value in self.rows.state().items()}
        return found | random_state()

    def empty(self, name: str, size: torch.Size, kind: torch.dtype) -> Tensor:
        """Room for one of the `tensors` of a checkpoint, sharded as it is here."""
        return self._trained.empty(name, size, kind)

    def numbers(self) -> dict[str, Any]:
        """The rest of the state, for JSON: position in the data, totals, losses."""
        order = self.order.state if self._drawn is None else self._before_drawn  # a drawn batch is not trained on yet
        engine = {"cached": self.engine.cached, "chunk_tokens": self.engine.chunk_tokens}
        return {
            "order": order,
            "meter": self.meter.state(),
            "engine": engine | {"threads": torch.get_num_threads()},
            "losses": list(self.losses),
            "seconds": self.seconds,
        }

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Continue from what `tensors` and `numbers` gave, to the last bit if there are as many threads as before."""
        if self.rows is not None:
            kept = {name.removeprefix("rows."): value for name, value in tensors.items() if name[:5] == "rows."}
            self.rows.restore(kept)
        self._trained.restore(tensors)
        set_random_state(tensors)
        self.meter.restore(numbers["meter"])
        self.losses = [(tokens, loss) for tokens, loss in numbers["losses"]]
        self.seconds = numbers["seconds"]
        # a gradient's last bits depend on both, so they stay as they were, whatever memory is free now
        self.engine.cached = numbers["engine"]["cached"]
        self.engine.chunk_tokens = numbers["engine"]["chunk_tokens"]
        now = torch.get_num_threads()
        if (before := numbers["engine"].get("threads", now)) != now:
            LOG.warning("trained with %d threads before and with %d now: the last bits may differ", before, now)
        self.order.restore(numbers["order"])
        self._before_drawn, self._drawn = numbers["order"], None
        self.torn = False
        self.changes += 1

    def _batch(self) -> TokenBatch:
        if self._drawn is None:
            with deferred():
                self._before_drawn = self.order.state
                self._drawn = next(self.order, None)
        if self._drawn is None:
            raise RunError("the pairs ended before the budget: allow more epochs")
        return self.job.tokens.batch(self._drawn)

    def _gradients_of_rows(self, rows: RowAdamW, batch: TokenBatch) -> tuple[float, tuple[Tensor, Tensor]]:
        """Fill and clip the gradients where the input embedding trains; those of the rows that occur are returned."""
        present, places = np.unique(np.concatenate(batch.texts), return_inverse=True)
        at = torch.from_numpy(present.astype(np.int64))
        with self._update():  # a second time it changes nothing, so that a step may be broken off after it
            rows.catch_up(at)
        rows_RH = rows.table_VH.detach()[at.to(self.place.device)].requires_grad_()
        ends = np.cumsum([len(text) for text in batch.texts])[:-1]
        loss = self.engine.gradients(
            np.split(places, ends), self.meter, rows_RH, pairs=batch.pairs, right_P2=batch.right_P2
        )
        assert rows_RH.grad is not None
        if self.engine.encoder.pad_row is not None:
            rows_RH.grad[at == self.engine.encoder.pad_row] = 0.0
        self._clip([rows_RH])
        return loss, (at, rows_RH.grad)

    def _clip(self, more: list[Tensor]) -> None:
        self._trained.clip(more)

    def _check(self, loss: float) -> None:
        config = self.job.config
        chance = math.log(config.batch_size) + math.log1p(config.negatives) / 2  # queries have more to choose from
        late = [value for _, value in self.losses[-10:]]
        exploded = len(late) == 10 and sum(late) / 10 > EXPLODED * max(chance, self.losses[0][1])
        if not math.isfinite(loss) or exploded:
            what = (
                f"became {loss}" if not math.isfinite(loss) else f"rose to {loss:.2f} nats from {self.losses[0][1]:.2f}"
            )
            seen = ", ".join(f"{value:.2f}" for value in late[-5:])
            raise DivergedError(
                f"the loss {what} at step {self.meter.steps} (last losses: {seen}): lower the learning rate",
                self.curve(1.0),
            )
