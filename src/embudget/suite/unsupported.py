"""Why can a model not be trained? What its configuration says about it, in one line.

A configuration of an unknown architecture may be described by its owner (`architecture.yaml`); one of a kind that no
description fits is named for what it is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embudget.errors import ModelError, shortened
from embudget.reading import read_yaml
from embudget.suite.architecture import Architecture
from embudget.suite.architectures import ARCHITECTURES

DESCRIPTION_FILE = "architecture.yaml"
"""The file beside a model's config.json in which its owner describes its architecture."""

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_IMAGES = ("vision_config", "image_size", "patch_size")


def read_description(folder: Path) -> Architecture | None:
    """The description that a model's folder holds; None where it holds none.

    Raises:
        ModelError: it cannot be read, or is no description.
    """
    file = folder / DESCRIPTION_FILE
    return Architecture.read(read_yaml(file, "a description"), str(file), ModelError) if file.is_file() else None


def why_unsupported(config: Mapping[str, Any]) -> str:
    """What a model without a description is, and what to do about it."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        return "its config.json names no model_type: it is no model of transformers"
    kind = shortened(kind, 60)
    if config.get("is_encoder_decoder"):
        return f"{kind} has an encoder and a decoder: only models with one stack of blocks are trained"
    if any(field in config for field in _IMAGES):
        return f"{kind} reads images: only models of text are trained"
    if any(isinstance(config.get(field), int) and config[field] > 1 for field in _EXPERTS):
        return f"{kind} is a mixture of experts: only models that use all their parameters for each token are trained"
    return (
        f"model_type must be one of {', '.join(sorted(ARCHITECTURES))}, got {kind!r}: describe it in a file "
        f"{DESCRIPTION_FILE} beside its config.json, with blocks, final_norm, attention, mlp and norms"
    )
