"""The models to start from: their shapes, the built-in families, finding them by name, loading, cutting to a depth."""

from embudget.suite.families import DEFAULT_SUITE, SHAPES, SUITES
from embudget.suite.members import find_shape, known_shape, start_of
from embudget.suite.shapes import ModelShape, shape_of_config
from embudget.suite.starts import Start
from embudget.suite.suites import find_suite

__all__ = [
    "DEFAULT_SUITE",
    "SHAPES",
    "SUITES",
    "ModelShape",
    "Start",
    "find_shape",
    "find_suite",
    "known_shape",
    "shape_of_config",
    "start_of",
]
