"""Which parameters decay: all that train but biases and norms, as transformers' trainer has it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_NOT_DECAYED = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]


def parameter_groups(
    model: "SentenceTransformer", named: Sequence[tuple[str, torch.nn.Parameter]], weight_decay: float
) -> list[dict[str, Any]]:
    """Sort trained parameters, given with their names in the model, into AdamW's groups: decayed, and not decayed."""
    from transformers.trainer_pt_utils import get_parameter_names

    decayed = set(get_parameter_names(model, [torch.nn.LayerNorm], _NOT_DECAYED))
    return [
        {"params": [value for name, value in named if name in decayed], "weight_decay": weight_decay, "lr": 0.0},
        {"params": [value for name, value in named if name not in decayed], "weight_decay": 0.0, "lr": 0.0},
    ]
