"""Keeping a run in training on disk, so that whatever ends it, it goes on from there to the same result.

Checkpoints of a run lie in a folder named by the run, `{checkpoints}/{id}`, and disappear when it has its record or has
diverged; in a sweep only when that is in the store. The first process writes them, every process reads them: their
number may change in between.
"""

import logging
import math
import shutil
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from embudget.checkpoints import newest_checkpoint, write_checkpoint
from embudget.errors import DivergedError, RunError
from embudget.records import Provenance, RunConfig

if TYPE_CHECKING:
    from embudget.training.loop import Training
    from embudget.training.resources import Resources

LOG = logging.getLogger(__name__)


class Resuming:
    """A run in training that is kept on disk, for the length of a with block.

    Args:
        training: continued from its newest whole checkpoint, where there is one.
        run: names the run.
        made: provenance of a run that starts now.
        resources: where and how often to write; without a folder nothing is written.
        end: tokens by whose number the last step's middle must lie for a checkpoint to be of use.

    Raises:
        RunError: the checkpoint is that of another model, or processes found checkpoints of different steps.
    """

    def __init__(
        self, training: "Training", run: str, made: Provenance, resources: "Resources", end: float = math.inf
    ) -> None:
        self.training = training
        self.provenance = made
        """Of the run's first start."""
        self.notes: dict[str, Any] = {}
        """For JSON, kept along with the training's state."""
        self._folder = None if resources.checkpoints is None else resources.checkpoints / run
        self._end = end
        self._keep = resources.keep_checkpoints
        self._every = resources.checkpoint_seconds
        self._written = time.monotonic()

    def __enter__(self) -> "Resuming":
        found = newest_checkpoint(self._folder, self._is_of_use) if self._folder is not None else None
        if found is not None:
            before = Provenance.model_validate(found.numbers.pop("provenance"))
            if before.model_revision != self.provenance.model_revision:
                raise RunError(
                    f"{self._folder} is a checkpoint of {before.model_revision}, and the model is now "
                    f"{self.provenance.model_revision}: remove the folder to start anew"
                )
            self.provenance, self.notes = before, found.numbers.pop("notes")
            self.training.restore(*found)
        self._check_the_others()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        ended = kind is None or issubclass(kind, DivergedError)  # which it would do again
        if ended and not self._keep and self._folder is not None and self.training.place.is_main_process:
            shutil.rmtree(self._folder, ignore_errors=True)

    def save_if_due(self) -> None:
        """Write a checkpoint where the last one is long enough ago."""
        if self._folder is not None and time.monotonic() - self._written >= self._every:
            self.save()

    def save(self) -> None:
        """Write a checkpoint, where the run is kept at all; one that cannot be written is told of and done without."""
        if self._folder is None or not self.training.place.is_main_process:
            return
        made = self.provenance.model_dump(mode="json")
        numbers = self.training.numbers() | {"provenance": made, "notes": self.notes}
        try:
            write_checkpoint(self._folder, self.training.meter.steps, self.training.tensors(), numbers)
        except OSError as error:  # a full disk may pass; until then the older ones serve
            reason = error.strerror or error
            LOG.warning("cannot write a checkpoint to %s: %s; training goes on", self._folder, reason)
        self._written = time.monotonic()

    def _check_the_others(self) -> None:
        """Refuse to go on from different steps, as where every machine has a disk of its own."""
        from embudget.training.processes import collect

        place = self.training.place
        steps = collect(self.training.meter.steps, place.device, place.num_processes)
        if len(set(steps)) > 1:
            each = ", ".join(map(str, steps))
            raise RunError(
                f"all processes must find the same checkpoints, got steps {each} in {self._folder}: put the folder "
                "where all machines see it"
            )

    def _is_of_use(self, numbers: dict[str, Any]) -> bool:
        return _middle(numbers["losses"]) < self._end


def trunk_name(config: RunConfig) -> str:
    """The same for all runs of a trunk: the id that the run would have whose budget is its warm-up's tenfold."""
    warmup_flops = float(f"{config.warmup * config.train_flops:.6g}") or config.train_flops
    return "trunk-" + config.model_copy(update={"train_flops": 10 * warmup_flops, "warmup": 0.1}).id


def _middle(losses: list[tuple[int, float]]) -> float:
    """Tokens at the middle of the last step."""
    ends = [0, 0, *(tokens for tokens, _ in losses)]
    return (ends[-1] + ends[-2]) / 2
