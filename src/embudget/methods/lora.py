"""LoRA (Hu et al. 2021) on the linear layers of every block, through PEFT.

    lora:32                                 all linear layers, alpha = 2 r
    lora:32:alpha=32                        another scale
    lora:32:layers=attention                adapters on these layers only: attention, mlp or all

The scale of the update is alpha / r. alpha is a multiple of the rank unless it is given, so that the scale is the same
for every rank; left at the library's default it would drift with the rank, as it does in the paper's published code.

The `Dense` modules behind a retriever's pooling stay frozen, so that the adapters alone, put on the base, are the whole
of what was trained. Plain sentence-transformers differs: its ``model.add_adapter`` freezes the transformer only, and
whatever lies behind it goes on training.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeAlias, cast, final, get_args

from embudget.errors import MethodError
from embudget.methods.base import Method
from embudget.suite.layers import Linear
from embudget.suite.shapes import ModelShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ALPHA_PER_RANK = 2
"""alpha / r, the scale of the update; assumption: a usual value, not tuned here."""

Layers: TypeAlias = Literal["all", "attention", "mlp"]


@final
@dataclass(frozen=True)
class LoRA(Method):
    """Train adapters of one ``rank`` on linear layers: 4N + 2T FLOP per token, N with the adapters.

    Args:
        rank: r.
        alpha: the update is scaled by alpha / r; 2 r where it is None.
        layers: which linear layers of each block get adapters.

    Raises:
        MethodError: the rank is below 1, alpha is not positive, or the layers are unknown.
    """

    rank: int
    alpha: float | None = None
    layers: Layers = "all"
    name: ClassVar[str] = "lora"
    trains_dense = "nothing"
    flops_per_param = 4.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise MethodError(f"rank of lora must be >= 1, got {self.rank}")
        if self.alpha is not None and not 0 < self.alpha < float("inf"):
            raise MethodError(f"alpha of lora must be > 0, got {self.alpha:g}")
        if self.layers not in get_args(Layers):
            raise MethodError(f"layers of lora must be {', '.join(get_args(Layers))}, got {self.layers}")

    @classmethod
    def read(cls, value: str) -> Self:
        """Read the rank and the options, which stand behind ``lora:``.

        Raises:
            MethodError: an option is unknown or out of range.
            ValueError: a number is none.
        """
        rank, *options = value.split(":")
        given = dict(option.partition("=")[::2] for option in options)
        alpha = float(given.pop("alpha")) if "alpha" in given else None
        layers = given.pop("layers", "all")
        if given:
            raise ValueError(f"{min(given)} is no option of lora")
        if alpha == ALPHA_PER_RANK * int(rank):
            alpha = None  # so that one method has one spelling
        return cls(int(rank), alpha, cast("Layers", layers))  # the class refuses what is no Layers

    def __str__(self) -> str:
        text = f"{self.name}:{self.rank}"
        if self.alpha is not None:
            text += f":alpha={repr(float(self.alpha)).removesuffix('.0')}"
        return text if self.layers == "all" else f"{text}:layers={self.layers}"

    @property
    def number(self) -> float:
        """The rank."""
        return float(self.rank)

    def targets(self, shape: ModelShape) -> list[Linear]:
        """The linear layers of a block that get adapters."""
        if self.layers == "all":
            return list(shape.linears)
        return [linear for linear in shape.linears if linear.part == self.layers]

    def added_params(self, shape: ModelShape) -> int:
        """Two matrices a layer: rank x inputs and outputs x rank."""
        return shape.layers * sum(self.rank * (linear.inputs + linear.outputs) for linear in self.targets(shape))

    def trained_params(self, shape: ModelShape) -> int:
        """T: the adapters."""
        return self.added_params(shape)

    def default_learning_rate(self, shape: ModelShape) -> float:
        """1e-3, that of the paper's LoRA configuration, independent of the model's size."""
        return 1e-3

    def apply(self, model: "PreTrainedModel", shape: ModelShape) -> "PreTrainedModel":
        """Wrap the model with trainable adapters; everything else is frozen."""
        import warnings

        from peft import LoraConfig, get_peft_model

        alpha = ALPHA_PER_RANK * self.rank if self.alpha is None else self.alpha
        # an expression, because a list of endings could not tell output.dense from attention.output.dense
        layers = "|".join(re.escape(linear.name) for linear in self.targets(shape))
        blocks = re.escape(shape.description.blocks)
        one = model.get_submodule(f"{shape.description.blocks}.0.{self.targets(shape)[0].name}")
        config = LoraConfig(
            r=self.rank,
            lora_alpha=alpha,
            target_modules=rf"{blocks}\.\d+\.({layers})",
            # GPT-2 keeps its weights transposed, in modules of its own
            fan_in_fan_out=type(one).__name__ == "Conv1D",
        )
        with warnings.catch_warnings():
            # PEFT 0.21 asks transformers 5 for an attribute under its old name
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            return get_peft_model(model, config)

    def merge(self, model: "PreTrainedModel") -> "PreTrainedModel":
        """Add the adapters' product to the weights and drop the adapters."""
        return model.merge_and_unload()
