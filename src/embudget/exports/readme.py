"""The README of an export: how to use it, and how far it is from torch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embudget.exports.base import Format
    from embudget.exports.check import Check, Precision
    from embudget.exports.exportable import Exportable


def readme(chosen: "Format", source: "Exportable", precision: "Precision", found: "Check | None") -> str:
    """A title, the lines of Python that use it, and what was measured."""
    record = source.record
    name = source.name.rstrip("/").rpartition("/")[2] if record is None else record.config.model
    trained = "" if record is None else f" fine-tuned with {record.config.method}"
    return f"""---
library_name: {chosen.name}
pipeline_tag: feature-extraction
tags: [feature-extraction, sentence-similarity, embudget]
---

# {name}{trained}, for {chosen.name}

A text-embedding model. Compare embeddings with the cosine.

{chosen.usage(source)}{_measured(precision, found)}"""


def _measured(precision: "Precision", found: "Check | None") -> str:
    if found is None:
        return ""
    return f"""
Compared with torch on 200 texts when it was written:

| | |
|---|---|
| precision | {precision} |
| largest difference of any number of an embedding | {found.difference:.2g} |
| texts per second, on a CPU with {found.threads} thread(s) | {found.texts_per_second:.3g} |
| the same by torch | {found.torch_texts_per_second:.3g} |
"""
