"""Training a task in this process, for tests that look at its records."""

from collections.abc import Sequence
from pathlib import Path

from embudget.records import RunConfig, RunRecord
from embudget.study.execution import Orders, execute
from embudget.training.resources import Resources
from embudget.training.run import OnRunProgress


def calm(config: RunConfig, share: float, loss: float) -> None:
    """Do nothing after a step."""


def executed(
    runs: Sequence[RunConfig], pairs: Path, resources: Resources | None = None, on_progress: OnRunProgress = calm
) -> list[RunRecord]:
    """The records of a task's runs, in their order."""
    outcomes = list(execute(tuple(runs), Orders(pairs, resources or Resources()), on_progress))
    records = [outcome for outcome in outcomes if isinstance(outcome, RunRecord)]
    assert records == outcomes, "memory suffices"
    return records
