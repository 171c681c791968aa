"""Suites of decoder-only language models: shapes, built-in families, loading and depth truncation."""

from embudget.suite.families import DEFAULT_SUITE, SHAPES, SUITES
from embudget.suite.members import find_shape, find_suite, known_shape
from embudget.suite.shapes import ModelShape, shape_of_config

__all__ = [
    "DEFAULT_SUITE",
    "SHAPES",
    "SUITES",
    "ModelShape",
    "find_shape",
    "find_suite",
    "known_shape",
    "shape_of_config",
]
