"""AdamW over all that trains but the input embedding, whose rows `embudget.training.rows` updates; and clipping.

Parameters are numbered in one order, whether they are sharded or not: those that decay first. By that number their
moments stand in checkpoints, so that a sharded run can go on from an unsharded one's and the other way round. torch
updates many parameters at once, but not sharded and plain ones together, so each kind has groups of its own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from embudget.training.agreement import clip_together, cut_like, is_sharded
from embudget.training.weight_decay import parameter_groups

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MAX_GRADIENT_NORM = 1.0


class TrainedParameters:
    """The trained parameters of a model, with the moments of AdamW (b1 = 0.9, b2 = 0.999).

    Args:
        model: the model.
        named: what of it trains, with its names.
        weight_decay: decoupled; biases and norms have none.
    """

    def __init__(
        self, model: "SentenceTransformer", named: Sequence[tuple[str, nn.Parameter]], weight_decay: float
    ) -> None:
        self.named = list(named)
        groups = parameter_groups(model, self.named, weight_decay)
        self._numbered: list[nn.Parameter] = [value for group in groups for value in group["params"]]
        self._sharded = any(is_sharded(value) for value in self._numbered)
        if self._sharded:
            groups = [
                {**group, "params": [value for value in group["params"] if is_sharded(value) is kind]}
                for group in groups
                for kind in (False, True)
            ]
        self._adamw = torch.optim.AdamW(groups, fused=True)
        numbers = {id(value): number for number, value in enumerate(self._numbered)}
        self._number_of = [numbers[id(value)] for group in groups for value in group["params"]]
        """The number of each parameter in the optimiser's own order."""

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in self._adamw.param_groups:
            group["lr"] = rate

    def clip(self, more: Sequence[Tensor] = ()) -> None:
        """Clip the gradients, with those of ``more``, to a common norm of 1."""
        values = [*(value for _, value in self.named), *more]
        if self._sharded:
            clip_together(values, MAX_GRADIENT_NORM)
        else:
            torch.nn.utils.clip_grad_norm_(values, MAX_GRADIENT_NORM)

    def step(self) -> None:
        """Update by the gradients, and forget them."""
        self._adamw.step()
        self.forget_gradients()

    def forget_gradients(self) -> None:
        """Drop the gradients."""
        self._adamw.zero_grad()

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and moments by name, not copied."""
        found = {f"model.{name}": value.detach() for name, value in self.named}
        for index, moments in self._adamw.state_dict()["state"].items():
            found |= {f"optimizer.{self._number_of[index]}.{name}": value for name, value in moments.items()}
        return found

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` gave, here or in as many processes as there were."""
        with torch.no_grad():
            for name, parameter in self.named:
                parameter.copy_(cut_like(tensors[f"model.{name}"], parameter))
        moments: dict[int, dict[str, Tensor]] = {}
        places = {number: index for index, number in enumerate(self._number_of)}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, number, name = key.split(".")
                own = cut_like(value, self._numbered[int(number)]) if value.ndim else value
                moments.setdefault(places[int(number)], {})[name] = own.clone()
        groups = self._adamw.state_dict()["param_groups"]
        self._adamw.load_state_dict({"state": moments, "param_groups": groups})

    def empty(self, key: str, size: torch.Size, kind: torch.dtype) -> Tensor:
        """Room for a tensor of a checkpoint, cut as the parameter is that it belongs to."""
        like: Tensor | None = None
        if key.startswith("model."):
            like = dict(self.named).get(key.removeprefix("model."))
        elif key.startswith("optimizer.") and len(size):
            like = self._numbered[int(key.split(".")[1])]
        if like is None or not is_sharded(like):
            return torch.empty(size, dtype=kind)
        return torch.empty_like(like.detach())
