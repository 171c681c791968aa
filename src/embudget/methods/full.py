"""Full fine-tuning: every parameter trains, the input embedding included."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from embudget.methods.base import Method, pretraining_rate
from embudget.suite.shapes import ModelShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@final
@dataclass(frozen=True)
class Full(Method):
    """Train everything: 6N FLOP per token."""

    name: ClassVar[str] = "full"
    trains_embedding: ClassVar[bool] = True

    def __str__(self) -> str:
        return self.name

    def trained_params(self, shape: ModelShape) -> int:
        """T = N."""
        return shape.model_params

    def forward_flops_per_token(self, shape: ModelShape) -> int:
        """2N."""
        return 2 * shape.model_params

    def backward_flops_per_token(self, shape: ModelShape) -> int:
        """4N."""
        return 4 * shape.model_params

    @property
    def flops_per_param(self) -> float:
        """6."""
        return 6.0

    def default_learning_rate(self, shape: ModelShape) -> float:
        """A tenth of the pre-training rate, the default of the paper's code."""
        return pretraining_rate(shape) / 10

    def apply(self, model: "PreTrainedModel") -> "PreTrainedModel":
        """Make every parameter trainable."""
        return model.requires_grad_(True)
