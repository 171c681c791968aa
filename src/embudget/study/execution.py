"""Training one task in this process, whatever executor asked for it: a record for each of its runs."""

import errno
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from embudget.errors import (
    DivergedError,
    EmbudgetError,
    InfeasibleError,
    MethodError,
    ModelError,
    OutOfMemoryError,
    RunError,
)
from embudget.exports.folder import record_at
from embudget.pairs import load_pairs
from embudget.records import RunConfig, RunRecord
from embudget.study.trunks import Task
from embudget.training.resources import Resources
from embudget.training.run import OnRunProgress, diverged_record, train


class Lost(NamedTuple):
    """The process of a task was lost."""

    runs: Task
    """Its runs that have no record, cheapest first: the first of them was under way."""
    reason: str


class OutOfMemory(NamedTuple):
    """The memory of this machine's device does not suffice for a task; that of another may."""

    runs: Task
    """Its runs that have no record, cheapest first: the first of them was under way."""
    reason: str
    curve: tuple[tuple[float, float], ...] = ()
    """(share of the budget, training loss) of the last step that the first of them did."""

    def records(self) -> list[RunRecord]:
        """Their records, if they are not left to a larger device."""
        return [
            RunRecord(config=config, status="failed", error=self.reason, loss_curve=() if number else self.curve)
            for number, config in enumerate(self.runs)
        ]


Outcome = RunRecord | Lost | OutOfMemory


class Orders(NamedTuple):
    """How a task is to be carried out on this machine."""

    pairs: Path
    """Folder of the text pairs."""
    resources: Resources
    out: Path | str | None = None
    """Folder or URL for the model of its run; None where only the record counts."""
    keep: bool = False
    """Whether checkpoints stay when a run has its record, for whoever goes on from them."""


def execute(task: Task, orders: Orders, on_progress: OnRunProgress) -> Iterator[RunRecord | OutOfMemory]:
    """Train a task and yield the record of each of its runs as it ends.

    Where the task itself is at fault, the run under way gets a record of status ``failed`` or ``diverged``, and so do
    those after it, which the trunk did not reach. Where memory does not suffice, that is said in place of records.

    Raises:
        EmbudgetError: trouble that other runs would meet too: the pairs cannot be read.
        OSError: likewise, of the disk.
    """
    left, last = list(task), list[tuple[float, float]]()

    def after_step(config: RunConfig, share: float, loss: float) -> None:
        last[:] = [(share, loss)]
        on_progress(config, share, loss)

    try:
        for record in _trained(task, orders, after_step):
            left.remove(record.config)
            last.clear()
            yield record
        assert not left, f"{len(left)} runs of a task have no record"
        return
    except DivergedError as error:
        for config in left:
            yield diverged_record(config, error)
        return
    # a model that has changed meanwhile is one task's trouble, and torch says out of memory by a RuntimeError
    except (RunError, InfeasibleError, MethodError, ModelError, MemoryError, RuntimeError, OSError) as error:
        if is_out_of_memory(error):
            yield OutOfMemory(tuple(left), _reason(error), tuple(last))
            return
        if isinstance(error, OSError):
            raise
        failed = [failed_record(config, error) for config in left]
    yield from failed


def _trained(task: Task, orders: Orders, on_progress: OnRunProgress) -> Iterator[RunRecord]:
    pairs, resources, out = load_pairs(orders.pairs), orders.resources, orders.out
    if out is not None:
        assert len(task) == 1, "a model is that of one run"
        there = record_at(out)
        if there is not None and there.config == task[0]:  # it was written before a kill
            yield there
            return
    if out is None and task[0].schedule == "wsd":
        from embudget.training.trunk import train_trunk

        yield from train_trunk(task, pairs, on_progress, resources, resources.score)
        return
    for run in task:
        progress = partial(on_progress, run)
        yield resources.score(*train(run, pairs, out, on_progress=progress, resources=resources, with_record=True))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory does not suffice: CUDA and the CPU's allocator say so in their texts alone."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = str(error)
    memory = isinstance(error, OutOfMemoryError | InfeasibleError | MemoryError)
    return memory or any(text in said for text in ("out of memory", "allocate memory", "bad_alloc"))


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
