"""Training one task in this process, whatever executor asked for it: a record for each of its runs."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from embudget.errors import DivergedError, EmbudgetError, MethodError, ModelError, RunError
from embudget.pairs import load_pairs
from embudget.records import RunConfig, RunRecord
from embudget.study.trunks import Task
from embudget.training.resources import Resources, unscored
from embudget.training.run import OnRunProgress, diverged_record, train


class Lost(NamedTuple):
    """The process of a task was lost."""

    runs: Task
    """Its runs that have no record, cheapest first: the first of them was under way."""
    reason: str


Outcome = RunRecord | Lost


def execute(
    task: Task, pairs_folder: Path, on_progress: OnRunProgress, resources: Resources | None = None
) -> Iterator[RunRecord]:
    """Train a task and yield the record of each of its runs as it ends.

    Where the task itself is at fault, the run under way gets a record of status ``failed`` or ``diverged``, and so do
    those after it, which the trunk did not reach.

    Raises:
        EmbudgetError: trouble that other runs would meet too: the pairs cannot be read.
        OSError: likewise, of the disk.
    """
    left = list(task)
    try:
        pairs, score = load_pairs(pairs_folder), resources.score if resources else unscored
        if task[0].schedule == "wsd":
            from embudget.training.trunk import train_trunk

            records: Iterator[RunRecord] = train_trunk(task, pairs, on_progress, resources, score)
        else:
            records = (
                score(*train(run, pairs, on_progress=partial(on_progress, run), resources=resources, with_record=True))
                for run in task
            )
        for record in records:
            left.remove(record.config)
            yield record
        assert not left, f"{len(left)} runs of a task have no record"
        return
    except DivergedError as error:
        for config in left:
            yield diverged_record(config, error)
        return
    # a model that has changed meanwhile is one task's trouble, and torch says out of memory by a RuntimeError
    except (RunError, MethodError, ModelError, MemoryError, RuntimeError) as error:
        failed = [failed_record(config, error) for config in left]
    yield from failed


def failed_record(config: RunConfig, error: Exception, curve: Sequence[tuple[float, float]] = ()) -> RunRecord:
    """The record of a run that could not be done.

    Args:
        config: the run.
        error: what ended it.
        curve: (share of the budget, training loss) up to the last step that was done, where that is known.
    """
    return RunRecord(config=config, status="failed", error=_reason(error), loss_curve=tuple(curve))


def _reason(error: Exception) -> str:
    if isinstance(error, EmbudgetError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
