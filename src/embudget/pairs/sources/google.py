"""Documentation of Google's APIs: the first sentence is the query, the rest its positive.

The package google-api-python-client carries discovery documents, which describe schemas, their properties, methods and
parameters. A group is an API with all its versions, since these repeat each other. Licence: Apache-2.0
(google-api-python-client).
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from embudget.errors import PairsError
from embudget.pairs.sources.base import PackagedSource, RawPair, package_folder
from embudget.pairs.text import first_sentence, join_lines, without_html, without_labels, without_markdown

_PACKAGE = "google-api-python-client"
_HTML = re.compile(r"</?(?:a|b|br|code|em|i|li|ol|p|pre|strong|table|td|tr|ul)\b[^>]*>", re.IGNORECASE)


class GoogleDocs(PackagedSource):
    """Descriptions from every discovery document in the installed google-api-python-client."""

    name = "google-docs"
    packages = (_PACKAGE,)

    def read(self) -> Iterator[RawPair]:
        """Documents in alphabetical order; a text that occurs several times in a document is read once."""
        folder = package_folder(_PACKAGE, "googleapiclient/discovery_cache/documents")
        for path in sorted(folder.glob("*.json")):
            try:
                document = json.loads(path.read_bytes())
            except (OSError, ValueError) as error:
                raise PairsError(f"cannot read {path.name} of {_PACKAGE}: {error}") from None
            if "name" in document:  # index.json, which only lists the others, has none
                yield from pairs_of_api(document, document["name"])


def pairs_of_api(document: dict[str, Any], group: str) -> Iterator[RawPair]:
    """Make the pairs of one API from the contents of its discovery document."""
    for description in dict.fromkeys(_descriptions(document)):
        text = without_html(description) if _HTML.search(description) else join_lines(without_markdown(description))
        query, positive = first_sentence(without_labels(text))
        if positive:
            yield RawPair(query, positive, group)


def _descriptions(part: dict[str, Any]) -> Iterator[str]:
    """Descriptions in the order of the document: its own, then those of schemas, resources, methods, parameters."""
    description = part.get("description")
    if isinstance(description, str):
        yield description
    for name in ("schemas", "properties", "parameters", "methods", "resources"):
        for child in (part.get(name) or {}).values():
            yield from _descriptions(child)
    for name in ("items", "additionalProperties"):
        child = part.get(name)
        if isinstance(child, dict):
            yield from _descriptions(child)
