"""The README of an export: how to use it, and how far it is from torch."""

from typing import TYPE_CHECKING

from embudget.exports.card import licence_lines, model_card, start_metadata

if TYPE_CHECKING:
    from embudget.exports.base import Format
    from embudget.exports.check import Check, Precision
    from embudget.exports.exportable import Exportable
    from embudget.exports.origins import Origins


def readme(
    chosen: "Format",
    source: "Exportable",
    precision: "Precision",
    found: "Check | None",
    origins: "Origins | None" = None,
) -> str:
    """The card of a model that embudget trained, else a title; how to use it, and what was measured."""
    usage = f"{chosen.usage(source)}{_measured(precision, found)}"
    if source.record is not None:
        return model_card(source.record, origins=origins, usage=usage, to=chosen.name)
    licences = "\n".join(f"- {line}" for line in licence_lines(origins))
    return f"""---
{start_metadata(origins, chosen.name)}
---

# {source.name.rstrip("/").rpartition("/")[2]}, for {chosen.name}

A text-embedding model. Compare embeddings with the cosine.

{usage.rstrip()}

## Licences

{licences}
"""


def _measured(precision: "Precision", found: "Check | None") -> str:
    if found is None:
        return ""
    return f"""
Compared with torch on 200 texts when it was written:

| | |
|---|---|
| precision | {precision} |
| largest difference of any number of an embedding | {found.difference:.2g} |
| texts per second, on a CPU with {found.threads} thread{"s" * (found.threads != 1)} | {found.texts_per_second:.3g} |
| the same by torch | {found.torch_texts_per_second:.3g} |
"""
