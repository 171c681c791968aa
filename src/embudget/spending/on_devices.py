"""The final run on all devices of this machine, where that pays: a process a device, as `embudget train --devices`.

Runs of the search train on one device each, several at a time. The final one is alone, and would leave the other
devices idle, which a budget of hours pays for all the same. Whether N processes are faster is timed, by some steps of
the run in one process and in N. The seconds that are left then buy so many times the FLOP as a step is shorter.
Where it is not shorter, as on a few cores that one process keeps busy, one process trains.

The processes get their order by a file, and answer by files beside it: steps, and a record at the end.
"""

import json
import logging
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from embudget.errors import RunError
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig, RunRecord
from embudget.spending.probe import Timing, timing
from embudget.study.execution import Orders, OutOfMemory, execute
from embudget.training.interrupt import Interrupted, end_with, interruptible, tell, told
from embudget.training.job import lengths_of
from embudget.training.launch import STOPPED_BY, devices_there, launch
from embudget.training.run import OnProgress

LOG = logging.getLogger(__name__)

_ORDER, _STEPS, _ANSWER, _SAID = "order", "steps", "answer", "said"


class DevicePace(NamedTuple):
    """How many devices train a run, and what that is worth."""

    devices: int = 1
    speedup: float = 1.0
    """How many times as fast as one device."""


class DevicesHere:
    """The devices of this machine that a final run may have.

    Args:
        count: that the budget pays for; those that this machine lacks are not looked for.
        pairs: the text pairs, for the length of texts.
    """

    def __init__(self, count: int, pairs: Pairs) -> None:
        self._count = count if count == 1 else min(count, devices_there())
        self._pairs = pairs
        self._timed: dict[tuple[object, ...], DevicePace] = {}

    def pace(self, config: RunConfig) -> DevicePace:
        """Time a run's steps on one device and on all; the faster way."""
        if self._count == 1:
            return DevicePace()
        key = config.model, config.method, config.batch_size, config.negatives
        if key not in self._timed:
            self._timed[key] = self._time(config)
        return self._timed[key]

    def _time(self, config: RunConfig) -> DevicePace:
        alone = timing(config, self._pairs, lengths_of(config, self._pairs)).seconds
        with TemporaryDirectory() as folder:
            code = _start(self._count, Path(folder), (config, self._pairs.folder))
            answer = Path(folder, _ANSWER)
            if code or not answer.exists():
                LOG.warning("the final run is trained on one device: timing it on %d ended badly", self._count)
                return DevicePace()
            speedup = alone / Timing.model_validate_json(answer.read_text()).seconds
        return DevicePace(self._count, speedup) if speedup > 1 else DevicePace()


def train_together(count: int, config: RunConfig, orders: Orders, on_progress: OnProgress) -> RunRecord:
    """Train a run in several processes of this machine.

    Args:
        count: processes, each with its device.
        config: the run.
        orders: where its pairs, its model and its checkpoints are.
        on_progress: told of each step.

    Returns:
        Its record; the model is in the folder of the orders.

    Raises:
        RunError: a process ended without a word.
        Interrupted: a signal asked to end; all of them stopped behind the same step.
    """
    with TemporaryDirectory() as name:
        folder, read = Path(name), 0

        def look() -> None:
            nonlocal read
            steps = folder / _STEPS
            lines = steps.read_text().splitlines(keepends=True)[read:] if steps.exists() else []
            for line in lines:
                if line.endswith("\n"):
                    read += 1
                    on_progress(*json.loads(line))

        code = _start(count, folder, (config, orders), look)
        look()
        if (answer := folder / _ANSWER).exists():
            return RunRecord.model_validate_json(answer.read_text())
        if code > STOPPED_BY:
            error = Interrupted(code - STOPPED_BY)
            if (said := folder / _SAID).exists():
                tell(error, said.read_text())
            raise error
    raise RunError(f"the final run on {count} devices ended with exit code {code}; started again, it goes on")


def _start(count: int, folder: Path, order: tuple[Any, ...], look: Callable[[], None] = lambda: None) -> int:
    (folder / _ORDER).write_bytes(pickle.dumps((os.getpid(), *order)))
    return launch(count, [str(folder)], module=__name__, look=look)


def _main(folder: Path) -> int:
    """Do what the order says, as one of several processes; the first one answers, or one that failed."""
    first = os.environ["RANK"] == "0"
    parent, config, order = pickle.loads((folder / _ORDER).read_bytes())
    with interruptible():
        try:
            end_with(parent)
            if not isinstance(order, Orders):
                pairs = load_pairs(order)
                answer = timing(config, pairs, lengths_of(config, pairs)).model_dump_json()
                return _answered(folder, answer) if first else 0
            with (folder / _STEPS).open("a", buffering=1) as steps:

                def after_step(_: RunConfig, share: float, loss: float) -> None:
                    if first:
                        steps.write(json.dumps((share, loss)) + "\n")

                (outcome,) = execute((config,), order, after_step)
        except Interrupted as error:
            if first:
                (folder / _SAID).write_text(told() or "")
            return STOPPED_BY + error.signal
    record = outcome.records()[0] if isinstance(outcome, OutOfMemory) else outcome
    if first or record.status == "failed":
        _answered(folder, record.model_dump_json())
    return int(record.status == "failed")


def _answered(folder: Path, answer: str) -> int:
    (folder / _ANSWER).write_text(answer)
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
