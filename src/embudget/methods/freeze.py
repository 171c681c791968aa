"""Block freezing: the top blocks train, and all that lies above them; the prefix below, input embedding too, stays."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from embudget.errors import MethodError
from embudget.methods.base import Method
from embudget.suite.shapes import ModelShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@final
@dataclass(frozen=True)
class Freeze(Method):
    """Train the top ``active_fraction`` of the blocks, the final norm and `Dense` modules: 2N + 4T FLOP per token.

    Raises:
        MethodError: the fraction is not in (0, 1].
    """

    active_fraction: float
    name: ClassVar[str] = "freeze"

    def __post_init__(self) -> None:
        if not 0 < self.active_fraction <= 1:
            raise MethodError(f"active fraction of freeze must be in (0, 1], got {self.active_fraction:g}")

    def __str__(self) -> str:
        return f"{self.name}:{repr(float(self.active_fraction)).removesuffix('.0')}"  # exact, so that it reads back

    @property
    def number(self) -> float:
        """The active fraction."""
        return self.active_fraction

    def trained_params(self, shape: ModelShape) -> int:
        """T: the active blocks and the final norm."""
        return shape.params_of_top(self.backward_layers(shape))

    def backward_flops_per_token(self, shape: ModelShape) -> int:
        """4T: the backward pass stops at the first trained block."""
        return 4 * self.trained_params(shape)

    @property
    def flops_per_param(self) -> float:
        """2 + 4f, f the active fraction."""
        return 2 + 4 * self.active_fraction

    def backward_layers(self, shape: ModelShape) -> int:
        """The active blocks."""
        return self._active(shape.layers)

    def apply(self, model: "PreTrainedModel", shape: ModelShape) -> "PreTrainedModel":
        """Freeze everything, then free the top blocks and the final norm."""
        model.requires_grad_(False)
        blocks = list(model.get_submodule(shape.description.blocks).children())
        for block in blocks[-self._active(len(blocks)) :]:
            block.requires_grad_(True)
        for final_norm in shape.final_norm:
            model.get_submodule(final_norm.name).requires_grad_(True)
        return model

    def _active(self, layers: int) -> int:
        """The active fraction of some blocks: rounded, halves upwards, and at least one."""
        return max(1, int(layers * self.active_fraction + 0.5))
