"""Which lineage is each run of? A *lineage* is a family and kind of start: smollm2, or `minilm retriever`.

Members of one lineage share laws; those of another have laws of their own (`embudget.laws.lineages`), since an existing
retriever is good before any training, and a base language model is not.

    said        the record says it, or the table has a column `lineage` (or `family`, the kind of start then unknown)
    known       else it is that of the model's shape, for a built-in member or a folder here
    neither     `unknown` where a column says the lineage of other rows; where none does, all runs are of one lineage

A table whose runs are all of one lineage keeps it as it is said, and is otherwise treated as one that knows of none,
unless its models are known as retrievers: the law of these begins elsewhere.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat, PositiveInt

from embudget.frozen import Frozen
from embudget.limits import Length
from embudget.suite import known_shape

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "unknown"
"""Lineage of the runs that do not say theirs where others do."""


def is_of_retrievers(lineage: str) -> bool:
    """Whether a lineage is one of existing retrievers, as its name says: `minilm retriever`.

    That of a base language model has the family's name alone. Its loss before any training says little of the law: it
    is that of embeddings which nobody trained, near chance.
    """
    return lineage.endswith("retriever")


class Lineage(Frozen):
    """What the runs of one lineage say of themselves, in a table of several."""

    name: str = Field(min_length=1, description="such as smollm2 or `minilm retriever`")
    run_count: PositiveInt = Field(description="its runs that count")
    max_length: Length | None = Field(default=None, description="tokens at which texts are cut; None where it differs")
    tokens_per_pair: PositiveFloat | None = Field(default=None, description="mean non-pad tokens, by its own tokenizer")


def with_lineages(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Put the lineage of each run in the column `lineage`; without that column all are of one that nobody names."""
    given = next((name for name in ("lineage", "family") if name in runs), None)
    said = runs[given].fillna("") if given else None
    runs = runs.drop(columns=[name for name in ("lineage", "family") if name in runs])
    if said is not None and (said != "").all():
        return runs.assign(lineage=said)
    known = runs["model"].map({name: _of_shape(name) for name in set(runs["model"])}) if "model" in runs else None
    if said is not None and (said != "").any():
        filled = said if known is None else said.where(said != "", known)
        return runs.assign(lineage=filled.where(filled != "", UNKNOWN))
    if known is None or (known == "").any():
        return runs
    if known.nunique() < 2 and not known.map(is_of_retrievers).any():
        return runs
    return runs.assign(lineage=known)


def _of_shape(name: str) -> str:
    shape = known_shape(name) if isinstance(name, str) and name else None
    return "" if shape is None else shape.lineage


def lineages_of(
    runs: "pd.DataFrame",
    cells: "pd.DataFrame",
    length: "Callable[[pd.DataFrame], float | None]",
    tokens_per_pair: "Callable[[pd.DataFrame], float | None]",
) -> list[dict[str, Any]]:
    """The fields of each `Lineage`, the one of most cells first; none where there is only one."""
    counts = Counter(cells["lineage"].tolist()) if "lineage" in cells else Counter[str]()
    if len(counts) < 2:
        return []
    by_name = {name: runs[runs["lineage"] == name] for name in sorted(counts, key=lambda one: (-counts[one], one))}
    return [
        {
            "name": name,
            "run_count": len(mine),
            "max_length": length(mine),
            "tokens_per_pair": tokens_per_pair(mine),
        }
        for name, mine in by_name.items()
    ]
