"""sentence-transformers' trainer, with the budget in charge of the rate and of the end."""

import math
from collections.abc import Callable
from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from embudget.errors import RunError
from embudget.training.meter import BudgetMeter
from embudget.training.schedule import cosine

OnProgress = Callable[[float, float], None]
"""Called after each step with the share of the budget spent and the step's training loss in nats."""


class BudgetTrainer(SentenceTransformerTrainer):  # type: ignore[misc]  # the library is untyped
    """Train until the step that reaches the budget; every rate is a function of the share of the budget spent."""

    def __init__(self, *, meter: BudgetMeter, warmup: float, on_progress: OnProgress | None, **arguments: Any) -> None:  # noqa: ANN401
        super().__init__(**arguments)
        self.meter = meter
        self.warmup = warmup
        self.losses: list[tuple[float, float]] = []
        """(share of the budget spent, training loss) after each step."""
        self.on_progress = on_progress
        self.add_callback(_StopAtBudget(meter))
        self.remove_callback(PrinterCallback)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Nothing: the model card is written at export, from the record."""

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """A schedule that reads the meter instead of counting the trainer's calls."""
        optimizer = optimizer or self.optimizer
        self.lr_scheduler = LambdaLR(optimizer, lambda _: cosine(self.meter.share_mid_step, self.warmup))
        return self.lr_scheduler

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:  # noqa: ANN401
        """Charge the batch to the budget, set the rate of the step, then train on it.

        Raises:
            RunError: the loss is not finite.
        """
        masks = [value for name, value in inputs.items() if name.endswith("attention_mask")]
        self.meter.start_step(pairs=len(masks[0]), tokens=sum(int(mask.sum()) for mask in masks))
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * cosine(self.meter.share_mid_step, self.warmup)
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        value = loss.item()
        if not math.isfinite(value):
            raise RunError(f"the loss became {value} at step {self.meter.steps}: lower the learning rate")
        self.losses.append((self.meter.share, value))
        if self.on_progress is not None:
            self.on_progress(self.meter.share, value)
        return loss


class _StopAtBudget(TrainerCallback):  # type: ignore[misc]  # the library is untyped
    def __init__(self, meter: BudgetMeter) -> None:
        self.meter = meter

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,  # noqa: ANN401
    ) -> TrainerControl:
        control.should_training_stop = control.should_training_stop or self.meter.spent
        return control
