"""Bias-only tuning (BitFit, Ben Zaken et al. 2022): only the bias terms train, those of the layer norms included.

The bias of a norm before the blocks, as encoders have one, trains too; like all that comes before the blocks it counts
neither in N nor in T. So do those of the `Dense` modules behind the pooling.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from embudget.errors import MethodError
from embudget.methods.base import Method, freeze_unused, pretraining_rate
from embudget.suite.shapes import ModelShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@final
@dataclass(frozen=True)
class Bias(Method):
    """Train the bias terms: 4N + 2T FLOP per token. Refused where a model has none (Llama, Qwen3, ...)."""

    name: ClassVar[str] = "bias"
    trains_dense = "biases"
    flops_per_param = 4.0

    def check(self, shape: ModelShape) -> None:
        """Refuse a model without bias terms.

        Raises:
            MethodError: the architecture has no biases.
        """
        if not shape.has_biases:
            raise MethodError(
                f"bias needs a model with bias terms, got {shape.name} ({shape.architecture}), which has none: "
                "choose a model with them, such as pythia or an encoder, or another method"
            )

    def trained_params(self, shape: ModelShape) -> int:
        """T: the biases of the blocks and of the final norm."""
        lacking = (norm.bias_params for norm in shape.norms if norm.name in shape.description.first_lacks)
        return shape.layers * shape.block_bias_params - sum(lacking) + shape.final_norm_bias_params

    def default_learning_rate(self, shape: ModelShape) -> float:
        """The pre-training rate. assumption: as with adapters, about ten times that of full fine-tuning is right."""
        return pretraining_rate(shape)

    def apply(self, model: "PreTrainedModel", shape: ModelShape) -> "PreTrainedModel":
        """Make the bias terms trainable and nothing else."""
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.endswith(".bias"))
        freeze_unused(model, shape)
        return model
