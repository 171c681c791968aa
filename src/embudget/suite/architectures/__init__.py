"""The built-in descriptions of architectures, by the `model_type` of their configurations."""

from collections.abc import Callable

from embudget.suite.architecture import Architecture
from embudget.suite.architectures import decoders, encoders
from embudget.suite.architectures.decoders import Config

ARCHITECTURES: dict[str, Architecture] = {**decoders.DECODERS, **encoders.ENCODERS}
"""Every built-in description. To add one, write it in its group's file; docs/howto/models.md shows how."""

PREPARE: dict[str, Callable[[Config], Config]] = {**decoders.PREPARE, **encoders.PREPARE}
"""Functions that make a family's config.json readable by its description."""
