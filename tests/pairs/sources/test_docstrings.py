"""A docstring of any style becomes a summary and prose; tests and generated code are left out."""

import inspect
from collections import Counter
from email.message import Message
from pathlib import Path
from typing import ClassVar

import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair
from embudget.pairs.cleaning import clean
from embudget.pairs.sources.docstring_text import summary_and_rest
from embudget.pairs.sources.docstrings import Docstrings, _is_wanted, pairs_of_module, parse

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
    tree = parse(source)
    assert tree is not None
    assert list(pairs_of_module(tree, "p", set())) == [
        RawPair(f"{start} has a summary.", rest, "p") for start in ("The module", "A box", "To open")
    ]


class Installed:
    """A distribution of some files; without any, one whose RECORD is missing."""

    version = "1.0"
    metadata: ClassVar[Message] = Message()

    def __init__(self, folder: Path, files: list[str] | None) -> None:
        self.folder = folder
        self.files = files

    def locate_file(self, name: str) -> Path:
        return self.folder / name


def installed(monkeypatch: pytest.MonkeyPatch, package: Installed) -> None:
    monkeypatch.setattr("embudget.pairs.sources.docstrings.Docstrings.packages", ("tiny",))
    monkeypatch.setattr("embudget.pairs.sources.docstrings.distribution", lambda name, extra: package)


def test_a_module_of_another_python_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("print 'hello'")
    (tmp_path / "new.py").write_text('"""The module has one summary. And there are more words behind it."""')
    installed(monkeypatch, Installed(tmp_path, ["old.py", "new.py"]))
    source = Docstrings()
    for _ in range(2):  # and not twice when it is read again
        result = clean([source], None, 0, lambda stage, count: None)
        assert result.dropped == {"docstrings": Counter({"not parsed": 1})}
        assert result.read == Counter(docstrings=2)
        assert len(result.rows) == 1


def test_a_package_without_the_list_of_its_files_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(monkeypatch, Installed(tmp_path, None))
    with pytest.raises(PairsError, match=r"^package tiny has no list of its files \(RECORD\); install it again"):
        list(Docstrings().read())


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
