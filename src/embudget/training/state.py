"""The state of a run on disk: checkpoints, and going on from the newest of them to the same result.

What a checkpoint is on disk: `embudget.training.checkpoints`.

The checkpoints of a run lie in `{checkpoints}/{id}`, those of a trunk in the folder of its `trunk_name`. They are
removed when the run has its record or has diverged; in a study only when that record is in the store. The first process
writes them, of a sharded run all together, and every process reads them, so that the number of processes may change in
between, and whether they shard.
"""

import json
import logging
import math
import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from embudget.errors import DivergedError, RunError
from embudget.records import Provenance, RunConfig
from embudget.training.checkpoint_folder import NUMBERS, step_name
from embudget.training.checkpoints import State, newest_checkpoint, write_checkpoint
from embudget.training.interrupt import deferred, heed, pending, tell
from embudget.training.interval import interval
from embudget.training.uploads import AT_END, AT_STOP, Uploads

if TYPE_CHECKING:
    from embudget.training.loop import Training
    from embudget.training.resources import Resources

LOG = logging.getLogger(__name__)

SHARED = "shared"
"""Note of a trunk's checkpoints: the budget of each run that has branched off, with the FLOP spent by then."""


class Resuming:
    """Keeps a run on disk for the length of a with block, at whose start it goes on from its newest whole checkpoint.

    Args:
        training: the run; restored from its checkpoint, where there is one.
        run: names the run, and its folder.
        made: provenance of a run that starts now.
        resources: where and how often to write; without a folder nothing is written. A run that an exception ends is
            written before it ends; what is kept is said where that is a KeyboardInterrupt.
        budget: FLOP of the run, for how far it is.
        end: checkpoints are of use up to this number of tokens, at which the middle of their last step must lie.
        trunk: name of the run's trunk, and up to how many tokens its checkpoints are of use: where the run has none of
            its own, it goes on from the newest of these.

    Raises:
        RunError: the checkpoint is that of another model, or processes found checkpoints of different steps.
    """

    def __init__(
        self,
        training: "Training",
        run: str,
        made: Provenance,
        resources: "Resources",
        budget: float,
        end: float = math.inf,
        trunk: tuple[str, float] | None = None,
    ) -> None:
        self.training = training
        self.provenance = made
        """The provenance of the run's first start, before any interruption."""
        self.notes: dict[str, Any] = {}
        """Kept along with the training's state, as JSON."""
        self.aside = False
        """Whether the training's state is no longer this run's, and must not be written."""
        self.budget = budget
        self._run, self._root, self._mirror = run, resources.checkpoints, resources.mirror
        self._folder = None if self._root is None else self._root / run
        self._places = [(run, end), *([] if trunk is None else [trunk])]
        self._uploads = None if self._mirror is None else Uploads(self._mirror, run)
        self._keep = resources.keep_checkpoints
        self._every = resources.checkpoint_seconds
        self._ended = time.monotonic()
        self._took: float | None = None
        self._there: object = None
        self._failure: str | None = None

    def __enter__(self) -> "Resuming":
        found = next((state for place in self._places if (state := self._newest(*place)) is not None), None)
        if found is not None:
            before = Provenance.model_validate(found.numbers.pop("provenance"))
            if before.model_revision != self.provenance.model_revision:
                raise RunError(
                    f"{self._folder} is a checkpoint of {before.model_revision}, and the model is now "
                    f"{self.provenance.model_revision}: remove the folder to start anew"
                )
            self.provenance, self.notes = before, found.numbers.pop("notes")
            with deferred():
                self.training.restore(*found)
                self._there = self._state_now()
        self._check_the_others()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and isinstance(error, KeyboardInterrupt):
            with deferred():
                self._save_at_last(error)
                heed()  # a second signal while this was written asked for the same
        ended = kind is None or issubclass(kind, DivergedError)  # a run that diverged would do so again
        whole = self.training.meter.steps and not self.aside and not self.training.torn
        alone = self.training.sharded is None  # else all must write, and others may be gone
        if not ended and whole and alone and not isinstance(error, KeyboardInterrupt):  # as the loss of another process
            self.save()
        if self._uploads is not None:
            # that of a run alone is of no use when it has its record
            self._uploads.end(AT_STOP if not ended else AT_END if SHARED in self.notes else 0.0)
        if ended and not self._keep:
            self.forget()

    def forget(self) -> None:
        """Remove the checkpoints: the run has its record."""
        if self._folder is not None and self.training.place.is_main_process:
            shutil.rmtree(self._folder, ignore_errors=True)
            if self._mirror is not None:
                self._mirror.remove(self._run)

    def _newest(self, run: str, end: float) -> State | None:
        """The newest checkpoint of this run or its trunk that is of use, fetched where it is elsewhere."""
        if self._root is None:
            return None
        if self._mirror is not None:
            self._mirror.fetch_newer(run, NUMBERS, partial(_is_before, end))
        return newest_checkpoint(self._root / run, partial(_is_before, end), self.training.empty)

    def save_if_due(self) -> None:
        """Write a checkpoint where the last one is long enough ago."""
        if self._folder is None:
            return
        every = self._every
        if every is None:
            every = interval(self.training.seconds, self.training.meter.share(self.budget), self._took)
        due = time.monotonic() - self._ended >= every
        if self.training.sharded is not None:  # their clocks differ
            from embudget.training.agreement import agreed_most

            due = agreed_most(due) > 0
        if due:
            self.save()

    def save(self) -> None:
        """Write a checkpoint, where the run is kept at all; if that fails, warn and let the training go on."""
        one_writes = self.training.sharded is None and not self.training.place.is_main_process
        if self._folder is None or one_writes or self._there == self._state_now():
            return
        with deferred():
            started = time.monotonic()
            self._write(self._folder)
            if self._failure is not None and not pending():
                LOG.warning("cannot write a checkpoint to %s: %s; training goes on", self._folder, self._failure)
            self._ended = time.monotonic()
            self._took = self._ended - started

    def _write(self, folder: Path) -> None:
        made = self.provenance.model_dump(mode="json")
        numbers = self.training.numbers() | {"provenance": made, "notes": self.notes}
        try:
            if self.training.sharded is None:
                write_checkpoint(folder, self.training.meter.steps, self.training.tensors(), numbers)
            else:
                from embudget.training.sharded_checkpoints import write_sharded

                write_sharded(folder, self.training.meter.steps, self.training.tensors(), numbers)
        except OSError as error:  # a full disk may pass; until then the older ones serve
            self._failure = str(error.strerror or error)
        else:
            self._failure, self._there = None, self._state_now()
            if self._uploads is not None:
                self._uploads.add(folder / step_name(self.training.meter.steps))

    def _state_now(self) -> object:
        return self.training.changes, json.dumps(self.notes)

    def _save_at_last(self, error: BaseException) -> None:
        """Write what an interrupted run has reached, and say whether that is kept."""
        training, steps = self.training, self.training.meter.steps
        if self._folder is None:
            return tell(error, "nothing was saved: the run has no folder for checkpoints")
        if training.sharded is not None and not getattr(error, "together", False):
            return tell(error, f"only older checkpoints in {self._folder} are of use: processes were not at one step")
        if training.sharded is None and not training.place.is_main_process:
            return None
        if self.aside:
            if self._there is not None:
                tell(error, f"the trained state is in a checkpoint in {self._folder.parent}: start it again to go on")
            return None
        if not steps:
            return tell(error, "nothing was saved: training had not begun")
        if training.torn:
            return tell(error, f"the step under way was torn; only older checkpoints in {self._folder} are of use")
        self.save()
        if self._failure is not None:
            return tell(error, f"no checkpoint could be written to {self._folder}: {self._failure}")
        share = min(1.0, training.meter.share(self.budget))
        return tell(
            error,
            f"a checkpoint was written at {100 * share:.3g} % of the budget, in {self._folder.parent}: "
            "start it again to go on from there",
        )

    def _check_the_others(self) -> None:
        """Refuse to go on from different steps, as happens where every machine has a disk of its own."""
        from accelerate.utils import gather_object

        steps = gather_object([self.training.meter.steps])
        if len(set(steps)) > 1:
            each = ", ".join(map(str, steps))
            raise RunError(
                f"all processes must find the same checkpoints, got steps {each} in {self._folder}: put the folder "
                "where all machines see it"
            )


def paid_before(notes: Mapping[str, Any], budget: float) -> float | None:
    """FLOP that cheaper runs of a trunk had paid for, by the notes of its checkpoint; None without a trunk."""
    shared = notes.get(SHARED)
    return None if shared is None else max((flops for other, flops in shared if other < budget), default=0.0)


def trunk_name(config: RunConfig) -> str:
    """A name that all runs of a trunk share: the id of the run whose budget is ten times their common warm-up."""
    warmup_flops = float(f"{config.warmup * config.train_flops:.6g}") or config.train_flops
    return "trunk-" + config.model_copy(update={"train_flops": 10 * warmup_flops, "warmup": 0.1}).id


def _is_before(end: float, numbers: dict[str, Any]) -> bool:
    """Whether the middle of a checkpoint's last step lies before so many tokens."""
    tokens = [0, 0, *(tokens for tokens, _ in numbers["losses"])]
    middle: float = (tokens[-1] + tokens[-2]) / 2
    return middle < end
