"""Documentation of Amazon Web Services: the first sentence is the query, the rest its positive.

The package botocore carries data files that describe every service with its operations, shapes and their members in
HTML. A group is a service. Licence: Apache-2.0 (botocore).
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embudget.errors import PairsError
from embudget.pairs.sources.base import PackagedSource, RawPair, package_folder
from embudget.pairs.text import first_sentence, without_html, without_labels, without_markdown


class AwsDocs(PackagedSource):
    """Descriptions from the latest API version of every service in the installed botocore."""

    name = "aws-docs"
    packages = ("botocore",)

    def read(self) -> Iterator[RawPair]:
        """Services in alphabetical order; a text that occurs several times in a service is read once."""
        for service in sorted(package_folder("botocore", "botocore/data").iterdir()):
            models = sorted(service.glob("*/service-2.json*"))
            if models:  # API versions are dates, so the last one is the latest
                yield from pairs_of_service(_load(models[-1]), service.name)


def pairs_of_service(model: dict[str, Any], group: str) -> Iterator[RawPair]:
    """Make the pairs of one service from the contents of its service-2.json."""
    for html in dict.fromkeys(_documentation(model)):
        query, positive = first_sentence(without_labels(without_markdown(without_html(html))))
        if positive:
            yield RawPair(query, positive, group)


def _documentation(model: dict[str, Any]) -> list[str]:
    parts = [model, *model.get("operations", {}).values()]
    for shape in model.get("shapes", {}).values():
        parts += [shape, *shape.get("members", {}).values()]
        parts += [shape.get(name, {}) for name in ("member", "key", "value")]
    return [part.get("documentation") or "" for part in parts]


def _load(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
        model: dict[str, Any] = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (OSError, EOFError, ValueError) as error:
        raise PairsError(f"cannot read {path.name} of botocore's service {path.parts[-3]}: {error}") from None
    return model
