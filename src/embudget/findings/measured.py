"""What a study measured of each kind of method.

Findings are about the measured budgets: a candidate is considered at budgets at which it was measured, and at most one
step of the budgets beyond (`embudget.choices.measured_candidates`).
"""

from collections.abc import Iterable, Sequence

from embudget.choices import Candidate, Choices, considered, evenly, with_sizes_between
from embudget.laws import Laws
from embudget.methods import kind_of

KINDS = {"full": "full fine-tuning", "freeze": "block freezing", "bias": "bias-only tuning", "lora": "LoRA"}
"""Kinds of method, as text."""
MAX_BUDGETS = 12
"""Most budgets that are compared. If more were measured, this many are taken evenly, with both ends."""

Candidates = Sequence[Candidate]


def of_kind(candidates: Candidates, kind: str) -> list[Candidate]:
    """The candidates whose method is of this kind."""
    return [one for one in candidates if one.kind == kind]


def fine(laws: Laws, candidates: Candidates, budgets: Iterable[float]) -> Choices:
    """The same methods on sizes between the measured ones too, at those of the budgets where one is considered."""
    between = with_sizes_between(candidates)
    return Choices.of(laws.on_study, between, considered(between, budgets))


def shared_budgets(laws: Laws, methods: Iterable[str]) -> list[float]:
    """The measured budgets at which each of these methods, or of these kinds, has a cell, rising; not too many."""
    common = set(laws.table.budgets)
    for name in methods:
        common &= {cell.budget for cell in laws.cells if name in (cell.method, kind_of(cell.method))}
    return evenly(common, MAX_BUDGETS)


def measured_kinds(laws: Laws) -> list[str]:
    """The kinds of method that have a law, in the order of `KINDS`."""
    return [kind for kind in KINDS if kind in {kind_of(method) for method in laws.methods}]


def lacking(laws: Laws, kinds: Iterable[str]) -> str | None:
    """What the study lacks of these kinds of method, as text; None where it has a law of each."""
    missing = [kind for kind in kinds if kind not in measured_kinds(laws)]
    few = [kind for kind in missing if kind in {kind_of(method) for method in laws.table.methods}]
    if not missing:
        return None
    names = " and ".join(KINDS[kind] for kind in missing)
    return f"the study has too few cells of {names}" if few == missing else f"the study has no runs of {names}"
