"""Experiment trackers, through accelerate: what a run tells TensorBoard, Weights & Biases, MLflow or Trackio.

Each step is logged with its training loss, learning rate, tokens, FLOP, share of the budget and tokens per second; the
configuration of the run comes first. The step number is the optimiser's, so that a run that was interrupted goes on
in the same chart where the tracker allows it. A tracker that fails, at whatever it is asked, is named in one warning
and left out from then on: the training is worth more.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from embudget.errors import ConfigError
from embudget.records import RunConfig

if TYPE_CHECKING:
    from embudget.training.loop import Training

LOG = logging.getLogger(__name__)

TrackerName = Literal["tensorboard", "wandb", "mlflow", "trackio"]


@contextmanager
def tracked(
    config: RunConfig, names: Sequence[str], folder: Path | None
) -> "Iterator[Callable[[Training], None] | None]":
    """Open trackers for the length of a with block, and give the function to call after each step; None without any.

    Trackers that write files, as TensorBoard does, write them to ``{folder}.logs``, or to ``logs`` where the model has
    no folder.

    Raises:
        ConfigError: names the tracker that is unknown, or that is not installed and the package it needs.
    """
    for name in names:
        if name not in get_args(TrackerName):
            raise ConfigError(f"report_to must be among {', '.join(get_args(TrackerName))}, got {name!r}")
        if find_spec(name) is None:
            raise ConfigError(f"report_to {name} needs the package {name}: pip install {name}")
    if not names:
        yield None
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    logs = Path("logs") if folder is None else folder.with_name(f"{folder.name}.logs")
    trackers: dict[str, Any] = {}

    def log(training: "Training") -> None:
        meter = training.meter
        values = {
            "train/loss": training.losses[-1][1],
            "train/learning_rate": training.rate,
            "train/tokens": meter.tokens,
            "train/flops": meter.train_flops,
            "train/share_of_budget": meter.share(config.train_flops),
            "train/tokens_per_second": training.step_tokens / training.step_seconds,
        }
        for name in list(trackers):
            with _left_out_if_it_fails(name, trackers):
                trackers[name].log(values, step=meter.steps)

    try:
        for name in names:
            with _left_out_if_it_fails(name, trackers):
                kind = LOGGER_TYPE_TO_CLASS[name]
                tracker = kind("embudget", logging_dir=logs) if kind.requires_logging_directory else kind("embudget")
                tracker.start()
                trackers[name] = tracker
                tracker.store_init_configuration(_as_texts(config))
        yield log
    finally:
        for name in list(trackers):
            with _left_out_if_it_fails(name, trackers):
                trackers[name].finish()


def _as_texts(config: RunConfig) -> dict[str, Any]:
    """The configuration as every tracker takes it: numbers and texts; TensorBoard refuses lists and None."""
    values = config.model_dump(mode="json").items()
    return {name: value if isinstance(value, int | float | str) else str(value) for name, value in values}


@contextmanager
def _left_out_if_it_fails(name: str, trackers: dict[str, Any]) -> Iterator[None]:
    """Warn of a tracker's failure and go on without it; what it holds open is closed if it can be."""
    try:
        yield
    except (Exception, SystemExit) as error:  # some trackers end the program on a bad key
        said = " ".join(str(error).split())[:200]
        LOG.warning("%s fails and is left out: %s: %s", name, type(error).__name__, said)
        tracker = trackers.pop(name, None)
        with suppress(Exception, SystemExit):
            if tracker is not None:
                tracker.finish()
