"""Descriptions of encoder-only architectures, checked in `tests/suite` against what transformers builds."""

from collections.abc import Callable

from embudget.suite.architecture import Architecture
from embudget.suite.architectures.decoders import Config

ENCODERS: dict[str, Architecture] = {}
"""Every built-in encoder by its `model_type`."""

PREPARE: dict[str, Callable[[Config], Config]] = {}
"""For families whose sizes need more than a name: what to read in place of the configuration."""
