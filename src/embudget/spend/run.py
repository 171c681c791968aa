"""Spending one budget for real: decide, train what was decided, measure, decide again, and train the final run.

known runs -> decide -> train the round's purchases -> ... -> final runs -> model, scores, laws, recipe
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from embudget.laws import Laws
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.spend.allocation import Allocation, Decision, Measurement
from embudget.spend.listener import SpendListener
from embudget.study import Store, Study

if TYPE_CHECKING:
    from embudget.evaluation import Evaluation

Policy = Callable[[Allocation, Sequence[Measurement]], Decision]
"""Decides what to buy next, by nothing but what was measured: alike measurements, alike decisions."""

Outcome = tuple[Measurement, RunRecord | None]
"""What was bought, with its record."""


class SpentBudget(NamedTuple):
    """What a budget was spent on, and what came of it."""

    model: Path
    """The folder of the final model, out/model."""
    record: RunRecord
    """Of the run that made it."""
    decisions: tuple[Decision, ...]
    """All rounds, the last one final."""
    outcomes: tuple[Outcome, ...]
    """All that was bought, in the order in which it was decided, final runs included."""
    known: tuple[Outcome, ...]
    """Runs that the store held before the first decision: used by it, and free."""
    records: tuple[RunRecord, ...]
    """Of both, without those that were not trained."""
    laws: Laws | None
    """Fitted to all of these records; None where they do not suffice."""
    no_laws: str
    """Why there are no laws; empty where there are."""
    recipe: Recipe
    """How the model was trained, as `train` takes it."""
    evaluation: "Evaluation | None"
    """Retrieval scores of the model beside its start, where they were asked for."""


def spend_budget(
    allocation: Allocation,
    study: Study,
    store: str | Path | Store,
    out: str | Path,
    decide: Policy,
    *,
    workers: int = 1,
    listener: SpendListener | None = None,
    checkpoints: str | Path | None = None,
    checkpoint_seconds: float | None = None,
    trunk_bytes: float | None = None,
    max_queries: int | None = 2000,
) -> SpentBudget:
    """Spend a budget: search, train the final model, evaluate it, write all of it to a folder.

    Args:
        allocation: the budget and what it may be spent on, such as `embudget.spend.arms.allocation_of` makes it of
            the study.
        study: what the arms' runs have in common: members, methods, pairs, length, prompts, precision, ...; its
            budgets, rates and seeds are not looked at.
        store: where records are kept. Runs of the same settings that it holds before are known, and free.
        out: folder for model/, decisions.jsonl, spend.json, laws.json, recipe.yaml, evaluation.json.
        decide: the policy.
        workers: local processes that train the purchases of a round.
        listener: told of the progress.
        checkpoints: folder for the states of trunks; by default beside a SQLite file, else in ``out``.
        checkpoint_seconds: time between checkpoints; by default a share of the run.
        trunk_bytes: disk for the states of trunks that the search may still extend; by default half of what is free.
        max_queries: test pairs for the retrieval scores; None for no scores.
    """
    raise NotImplementedError
