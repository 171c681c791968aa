"""Full fine-tuning: every parameter trains, the input embedding included."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from embudget.methods.base import Method
from embudget.suite.shapes import ModelShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@final
@dataclass(frozen=True)
class Full(Method):
    """Train everything: 6N FLOP per token."""

    name: ClassVar[str] = "full"
    trains_embedding: ClassVar[bool] = True
    flops_per_param = 6.0

    def trained_params(self, shape: ModelShape) -> int:
        """T = N."""
        return shape.model_params

    def apply(self, model: "PreTrainedModel") -> "PreTrainedModel":
        """Make every parameter trainable."""
        return model.requires_grad_(True)
