"""LoRA (Hu et al. 2021) on every linear layer of every block, through PEFT.

The scale of the update is alpha / r. alpha is fixed as a multiple of the rank, so that the scale is the same for every
rank; left at the library's default it would drift with the rank, as it does in the paper's published code.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from embudget.errors import MethodError
from embudget.methods.base import Method
from embudget.suite.shapes import ModelShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ALPHA_PER_RANK = 2
"""alpha / r, the scale of the update; assumption: a usual value, not tuned here."""


@final
@dataclass(frozen=True)
class LoRA(Method):
    """Train adapters of one ``rank`` on all linear layers: 4N + 2T FLOP per token, N with the adapters.

    Raises:
        MethodError: the rank is below 1.
    """

    rank: int
    name: ClassVar[str] = "lora"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise MethodError(f"rank of lora must be >= 1, got {self.rank}")

    def __str__(self) -> str:
        return f"{self.name}:{self.rank}"

    def added_params(self, shape: ModelShape) -> int:
        """Two matrices a layer: rank x inputs and outputs x rank."""
        return shape.layers * sum(self.rank * (linear.inputs + linear.outputs) for linear in shape.linears)

    def trained_params(self, shape: ModelShape) -> int:
        """T: the adapters."""
        return self.added_params(shape)

    def forward_flops_per_token(self, shape: ModelShape) -> int:
        """2N."""
        return 2 * self.total_params(shape)

    def backward_flops_per_token(self, shape: ModelShape) -> int:
        """2N for the activations' gradients, 2T for the weights'."""
        return 2 * self.total_params(shape) + 2 * self.trained_params(shape)

    @property
    def flops_per_param(self) -> float:
        """4."""
        return 4.0

    def default_learning_rate(self, shape: ModelShape) -> float:
        """1e-3, that of the paper's LoRA configuration, independent of the model's size."""
        return 1e-3

    def apply(self, model: "PreTrainedModel") -> "PreTrainedModel":
        """Wrap the model with trainable adapters; everything else is frozen."""
        import warnings

        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=self.rank, lora_alpha=ALPHA_PER_RANK * self.rank, target_modules="all-linear")
        with warnings.catch_warnings():
            # PEFT 0.21 asks transformers 5 for an attribute under its old name
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            return get_peft_model(model, config)

    def merge(self, model: "PreTrainedModel") -> "PreTrainedModel":
        """Add the adapters' product to the weights and drop the adapters."""
        return model.merge_and_unload()
