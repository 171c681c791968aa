"""Why can a model not be trained? What its configuration says about it, in one line.

A configuration of an unknown architecture may be described by its owner (`architecture.yaml`); one of a kind that no
description fits is named for what it is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embudget.errors import ConfigError, ModelError, shortened
from embudget.reading import read_yaml
from embudget.suite.architecture import Architecture

DESCRIPTION_FILE = "architecture.yaml"
"""The file beside a model's config.json in which its owner describes its architecture."""

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_IMAGES = ("vision_config", "image_size", "patch_size")


def read_description(folder: Path, config: Mapping[str, Any]) -> Architecture | None:
    """The description that a model's folder holds beside its ``config``; None where it holds none.

    Raises:
        ModelError: it cannot be read, is no description, or is one of another architecture.
    """
    file = folder / DESCRIPTION_FILE
    if not file.is_file():
        return None
    try:
        content = read_yaml(file, "a description (model_type, blocks, attention, mlp, ...)")
    except ConfigError as error:
        raise ModelError(str(error)) from None
    described = Architecture.read(content, str(file), ModelError)
    if described.model_type != config.get("model_type"):
        kind = shortened(repr(config.get("model_type")), 60)
        raise ModelError(
            f"{file}: it describes model_type {described.model_type!r}, but that of its config.json is {kind}"
        )
    return described


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
        f"no description of model_type {kind!r} is built in: if it is one stack of blocks that read text, describe it "
        f"in a file {DESCRIPTION_FILE} beside its config.json (blocks, final_norm, attention, mlp, norms)"
    )
