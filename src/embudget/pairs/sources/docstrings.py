"""Docstrings of installed Python packages: the summary is the query, the rest its positive.

The .py files of a fixed list of packages are parsed, not imported, and nothing else that is installed is read, so that
the pairs depend on the versions of these packages only. A module in a syntax that the running Python does not know is
counted as "not parsed": that count tells pairs made by another Python apart. Tests, vendored and generated code are
skipped, since they repeat what stands elsewhere.

A group is a subpackage, such as scipy.stats, or a module beside the subpackages: of 41 packages too few could be held
out, and numpy alone was a fifth of what was measured on. Licences: each package's own, as its metadata states it; all
are permissive (Apache-2.0, BSD, MIT, PSF, HPND).
"""

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from embudget.errors import PairsError
from embudget.pairs.sources.base import PackagedSource, RawPair, distribution
from embudget.pairs.sources.docstring_text import summary_and_rest

PACKAGES: tuple[str, ...] = (
    "accelerate", "aiohttp", "botocore", "click", "datasets", "fonttools", "formulaic", "fsspec", "google-api-core",
    "google-auth", "huggingface-hub", "imageio", "jinja2", "joblib", "matplotlib", "mpmath", "narwhals", "networkx",
    "numpy", "packaging", "pandas", "patsy", "peft", "pillow", "plotly", "pyarrow", "pydantic", "pygments", "pyparsing",
    "requests", "rich", "scikit-image", "scikit-learn", "scipy", "sentence-transformers", "sqlalchemy", "statsmodels",
    "sympy", "tifffile", "torch", "transformers",
)  # fmt: skip
"""Packages to read. All of them come with the extras `train` and `demo`."""

_LEAST_WORDS = 8  # a docstring of fewer words is too short for two sides, see `Rules`
_GROUP_DEPTH = 2  # torch.nn, whose modules and functions describe each other, is one group
_TEMPLATE = ("%(", "{{")  # marks of a template that its module fills on import, which we do not do

_SKIPPED_FOLDERS = frozenset({"test", "tests", "testing", "_testing", "_vendor", "vendored", "externals", "benchmarks"})
_GENERATED = ("plotly/graph_objs/", "plotly/validators/", "plotly/graph_objects/")
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Docstrings(PackagedSource):
    """Docstrings of the modules, classes, methods and functions of the packages in `PACKAGES`."""

    name = "docstrings"
    packages = PACKAGES
    extra = "train,demo"

    def read(self) -> Iterator[RawPair]:
        """Packages and their files in alphabetical order, objects in the order of their file."""
        self.unparsed = 0
        for package in self.packages:
            installed = distribution(package, self.extra)
            if installed.files is None:
                raise PairsError(f"package {package} has no list of its files (RECORD); install it again with pip")
            seen: set[str] = set()
            for name in sorted(str(file) for file in installed.files if _is_wanted(str(file))):
                path = Path(str(installed.locate_file(name)))
                try:
                    source = path.read_text(encoding="utf-8")
                except (OSError, UnicodeDecodeError) as error:
                    raise PairsError(f"cannot read {name} of package {package}: {error}; install it again") from None
                tree = parse(source)
                if tree is None:
                    self.unparsed += 1
                else:
                    yield from pairs_of_module(tree, subpackage(name), seen)


def subpackage(name: str) -> str:
    """Name the subpackage, or the module beside the subpackages, that a file belongs to.

    Example:
        >>> subpackage("scipy/stats/_distn.py"), subpackage("click/core.py"), subpackage("click/__init__.py")
        ('scipy.stats', 'click.core', 'click')
    """
    parts = PurePosixPath(name).with_suffix("").parts[:_GROUP_DEPTH]
    return ".".join(part for part in parts if part != "__init__")


def parse(source: str) -> ast.Module | None:
    """Parse a module, or return None if the running Python does not know its syntax."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes in other people's strings
            return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def pairs_of_module(tree: ast.Module, group: str, seen: set[str]) -> Iterator[RawPair]:
    """Make the pairs of one module. Docstrings in ``seen`` are passed over; those of this module are added to it."""
    for docstring in _docstrings(tree):
        if docstring in seen or len(docstring.split()) < _LEAST_WORDS or any(mark in docstring for mark in _TEMPLATE):
            continue
        seen.add(docstring)
        query, positive = summary_and_rest(docstring)
        if positive:
            yield RawPair(query, positive, group)


def _docstrings(node: _DOCUMENTED) -> Iterator[str]:
    """Find the docstrings of a module or class and of all it holds, but for functions inside functions."""
    docstring = ast.get_docstring(node)
    if docstring:
        yield docstring
    if isinstance(node, ast.Module | ast.ClassDef):
        for child in node.body:
            if isinstance(child, _DOCUMENTED):
                yield from _docstrings(child)


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    if path.suffix != ".py" or name.startswith(("..", *_GENERATED)) or not _SKIPPED_FOLDERS.isdisjoint(path.parts):
        return False
    # transformers generates each modeling_x.py from a modular_x.py, docstrings included, so one of them is enough
    return not (path.stem.startswith(("test_", "modular_")) or path.stem.endswith("_test") or path.stem == "conftest")
