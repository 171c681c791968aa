"""Documentation of Microsoft's APIs, Azure and Graph: the first sentence is the query, the rest its positive.

The generated clients describe each property of each model: Azure's packages (azure-mgmt-compute, ...) in a string below
it, msgraph-sdk in a comment above it. Docstrings of methods are passed over, because they repeat the same parameters.
All such packages that are installed are read. A group is a package, or for msgraph-sdk a model. Licences: each
package's own, which is MIT.

The yield is small, since most descriptions are one sentence: cleaning keeps 200 to 300 pairs of a large package of
Azure, 1,700 of msgraph-sdk.
"""

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PurePosixPath

from embudget.errors import PairsError
from embudget.pairs.sources.base import RawPair, Source, licence_of
from embudget.pairs.sources.docstrings import parse
from embudget.pairs.text import first_sentence, without_html, without_labels, without_markdown

_GRAPH = "msgraph-sdk"
_COMMENT = re.compile(r"^ {4}# (.+)$", re.MULTILINE)
_NOT_A_MODEL = re.compile(r"/(?:aio|tests?)/|/_(?:utils|generated/_utils)/")
_ENDING = re.compile(
    r"\s*(?:Required|Read-?only|Nullable|Known values are:? [^.]*|(?:The )?possible values are:? [^.]*|"
    r"Default value is [^.]*|Supports \$[^.]*|Requires \$select to retrieve)\.?\s*$",
    re.IGNORECASE,
)


class AzureDocs(Source):
    """Descriptions in the installed packages azure-* and msgraph-sdk."""

    name = "azure-docs"

    def versions(self) -> dict[str, str]:
        """The version of every package that is read."""
        return {name: package.version for name, package in self._packages.items()}

    def licences(self) -> dict[str, str]:
        """The licence that each package's metadata names."""
        return {name: licence_of(package) for name, package in self._packages.items()}

    def read(self) -> Iterator[RawPair]:
        """Packages and their files in alphabetical order; a text that is in a package twice is read once."""
        for name, package in self._packages.items():
            seen: set[str] = set()
            for file in sorted(str(file) for file in package.files or () if _is_wanted(name, str(file))):
                try:
                    source = Path(str(package.locate_file(file))).read_text(encoding="utf-8")
                except (OSError, UnicodeDecodeError) as error:
                    raise PairsError(f"cannot read {file} of package {name}: {error}; install it again") from None
                texts = _COMMENT.findall(source) if name == _GRAPH else _below_properties(source)
                group = PurePosixPath(file).stem if name == _GRAPH else name
                yield from pairs_of_texts([text for text in texts if text not in seen], group)
                seen.update(texts)

    @cached_property
    def _packages(self) -> dict[str, importlib.metadata.Distribution]:
        # what a broken installation leaves has no name
        found = {package.name: package for package in importlib.metadata.distributions() if package.name}
        wanted = {name: found[name] for name in sorted(found) if name.startswith("azure-") or name == _GRAPH}
        if not wanted:
            raise PairsError(
                "no package of Microsoft's APIs is installed; get some with: pip install msgraph-sdk azure-mgmt-compute"
            )
        return wanted


def pairs_of_texts(texts: list[str], group: str) -> Iterator[RawPair]:
    """Make the pairs of descriptions. Endings that say nothing of the meaning, such as "Required.", are left out."""
    for text in dict.fromkeys(texts):
        plain, before = " ".join(without_html(without_markdown(text)).split()), ""
        while plain != before:
            plain, before = _ENDING.sub("", plain), plain
        query, positive = first_sentence(without_labels(plain))
        if positive:
            yield RawPair(query, positive, group)


def _below_properties(source: str) -> list[str]:
    """Find the strings that stand below the properties of classes."""
    tree = parse(source)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef)] if tree else []
    return [
        below.value.value
        for body in bodies
        for prop, below in pairwise(body)
        if isinstance(prop, ast.AnnAssign | ast.Assign)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    ]


def _is_wanted(package: str, file: str) -> bool:
    if not file.endswith(".py") or _NOT_A_MODEL.search(f"/{file}"):
        return False
    return package != _GRAPH or "/generated/models/" in file
