import inspect

import pytest

from embudget.pairs import RawPair
from embudget.pairs.sources.docstring_text import summary_and_rest
from embudget.pairs.sources.docstrings import _is_wanted, pairs_of_module

NUMPY = """
Compute the weighted mean of :class:`~package.Box`.

It uses the algorithm of Smith [1]_, for example:

>>> mean([1])
1

Parameters
----------
x, y : array_like, shape (n,)
    Input values.
unused : bool

Returns
-------
mean : float
    The ``mean`` value.

.. versionadded:: 1.2
   Long ago.

.. note:: Never empty::

       code(1)

Examples
--------
>>> mean([2])

References
----------
.. [1] Smith
"""
GOOGLE = """
Load the [`Model`] from
a folder.

Args:
    path (`str` or `Path`, *optional*, defaults to `None` (nothing)):
        Where it is.
    strict: Whether to fail.

Returns:
    The model.

Example:

    ```python
    load("x")
    ```
"""
SPHINX = """Open one connection.

:param str host: Name of the host.
:type host: str
:returns: A connection to `the host <https://example.com>`_.
:rtype: Connection
"""


@pytest.mark.parametrize(
    ("docstring", "query", "rest"),
    [
        (
            NUMPY,
            "Compute the weighted mean of Box.",
            "It uses the algorithm of Smith, for example: x, y: Input values. mean: The mean value. Never empty:",
        ),
        (GOOGLE, "Load the Model from a folder.", "path: Where it is. strict: Whether to fail. The model."),
        (SPHINX, "Open one connection.", "host: Name of the host. Returns A connection to the host."),
        ("Only one line here.", "Only one line here.", ""),
    ],
)
def test_styles(docstring: str, query: str, rest: str) -> None:
    found_query, found_rest = summary_and_rest(inspect.cleandoc(docstring))
    assert (found_query, " ".join(found_rest.split())) == (query, rest)


def test_modules_classes_and_functions_are_read_once_each() -> None:
    source = '''"""The module has a summary. And more words behind it."""
class Box:
    """A box has a summary. And more words behind it."""
    async def open(self):
        """To open has a summary. And more words behind it."""
        def inner():
            """The inner one has a summary. And more words."""
def template():
    """A %(name)s has a summary. And more words behind it."""
def again():
    """The module has a summary. And more words behind it."""
    return "\\d"
'''
    rest = "And more words behind it."
    assert list(pairs_of_module(source, "p", set())) == [
        RawPair(f"{start} has a summary.", rest, "p") for start in ("The module", "A box", "To open")
    ]


def test_a_module_of_another_python_is_passed_over() -> None:
    assert list(pairs_of_module("print 'hello'", "p", set())) == []


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("numpy/linalg/_linalg.py", True),
        ("numpy/linalg/tests/test_linalg.py", False),
        ("torch/testing/_internal/common.py", False),
        ("aiohttp/test_utils.py", False),
        ("pandas/conftest.py", False),
        ("plotly/graph_objs/_bar.py", False),
        ("plotly/express/_core.py", True),
        ("numpy/core.pyi", False),
        ("../../../bin/f2py.py", False),
    ],
)
def test_tests_and_generated_code_are_left_out(name: str, wanted: bool) -> None:
    assert _is_wanted(name) is wanted
