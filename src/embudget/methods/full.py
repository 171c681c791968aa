"""Full fine-tuning: every parameter trains, the input embedding, positions and norms before the blocks included."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from embudget.methods.base import Method, freeze_unused
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

    def apply(self, model: "PreTrainedModel", shape: ModelShape) -> "PreTrainedModel":
        """Make every parameter trainable that an embedding depends on."""
        model.requires_grad_(True)
        freeze_unused(model, shape)
        return model
