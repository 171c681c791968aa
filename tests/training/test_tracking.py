import importlib.util
import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from embudget.errors import ConfigError, DivergedError
from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.training import tracking
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.run import train
from embudget.training.schedule import factor_of
from embudget.training.tracking import tracked
from tests.command_line import Run
from tests.training.test_run import config_for


class Recorder(GeneralTracker):  # type: ignore[misc]
    """A tracker that writes down what it is told."""

    name = "tensorboard"
    requires_logging_directory = True
    heard: ClassVar[list[tuple[Any, ...]]] = []

    def __init__(self, run_name: str, logging_dir: Path) -> None:
        super().__init__()
        self.heard.append(("made", run_name, logging_dir))

    @property
    def tracker(self) -> None:
        """Nothing beneath."""

    def start(self) -> None:
        """Before anything else, as accelerate has it."""
        self.heard.append(("start",))

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """The run's configuration."""
        self.heard.append(("configuration", values))

    def log(self, values: dict[str, Any], step: int | None = None, **_: object) -> None:
        """The numbers of a step."""
        self.heard.append(("log", step, values))

    def finish(self) -> None:
        """The end."""
        self.heard.append(("finish",))


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What a tracker heard that stands in for TensorBoard, as if that were installed."""
    found = importlib.util.find_spec
    everywhere: Callable[..., object] = lambda name, *rest: found("json" if name == "tensorboard" else name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", everywhere)
    monkeypatch.setattr(tracking, "find_spec", everywhere)
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "tensorboard", Recorder)
    monkeypatch.setattr(Recorder, "heard", [])
    return Recorder.heard


@pytest.fixture
def config(tiny_neox: Path, tiny_pairs: Pairs) -> RunConfig:
    return config_for(tiny_neox, tiny_pairs)


def test_an_unknown_tracker_is_refused(config: RunConfig) -> None:
    message = "report_to must be among tensorboard, wandb, mlflow, trackio, got 'comet'"
    with pytest.raises(ConfigError, match=message), tracked(config, ["comet"], None):
        pytest.fail("nothing is trained")


def test_a_tracker_that_is_not_installed_is_refused_with_its_package(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    message = "report_to wandb needs the package wandb: pip install wandb"
    with pytest.raises(ConfigError, match=message), tracked(config, ["wandb"], None):
        pytest.fail("nothing is trained")


def test_the_command_refuses_before_it_trains(run: Run, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    done = run(
        "train", "--model", tiny_neox, "--method", "bias", "--budget", "1e9", "--pairs", tiny_pairs.folder,
        "--batch-size", "8", "--max-length", "32", "--out", tmp_path / "model", "--report-to", "comet",
    )  # fmt: skip
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--report-to must be among tensorboard" in done.err
    assert not list(tmp_path.iterdir())


def test_without_trackers_nothing_is_called(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    with tracked(config_for(tiny_neox, tiny_pairs), (), None) as on_step:
        assert on_step is None


def test_every_step_is_logged(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, heard: list[tuple[Any, ...]]) -> None:
    config = config_for(tiny_neox, tiny_pairs)
    _, record = train(config, tiny_pairs, tmp_path / "model", report_to=["tensorboard"], with_record=True)
    first, *logged, last = heard[2:]
    assert heard[:2] == [("made", "embudget", tmp_path / "model.logs"), ("start",)]
    assert first[0] == "configuration"
    assert {name: str(value) for name, value in first[1].items()} == {
        name: str(value) for name, value in config.model_dump(mode="json").items()
    }
    assert all(isinstance(value, int | float | str) for value in first[1].values()), "TensorBoard takes nothing else"
    assert last == ("finish",)
    assert [step for _, step, _ in logged] == list(range(1, (record.steps or 0) + 1))
    values = [of_step for _, _, of_step in logged]
    assert [(round(of["train/share_of_budget"], 6), of["train/loss"]) for of in values] == list(record.loss_curve)
    assert values[-1]["train/tokens"] == record.tokens
    assert values[-1]["train/flops"] == record.train_flops
    rates = [of["train/learning_rate"] for of in values]
    shares = [0.0, *(of["train/share_of_budget"] for of in values)]
    middles = [(before + after) / 2 for before, after in pairwise(shares)]
    assert rates == pytest.approx([config.learning_rate * factor_of(config)(middle) for middle in middles], abs=1e-9)
    assert all(of["train/tokens_per_second"] > 0 for of in values)


def test_a_run_that_diverges_is_finished_too(tiny_neox: Path, tiny_pairs: Pairs, heard: list[tuple[Any, ...]]) -> None:
    config = config_for(tiny_neox, tiny_pairs, learning_rate=1e30)
    with pytest.raises(DivergedError):
        train(config, tiny_pairs, report_to=["tensorboard"])
    assert heard[0] == ("made", "embudget", Path("logs"))
    assert [what[0] for what in heard].count("log") >= 1
    assert heard[-1] == ("finish",)


@pytest.mark.parametrize("where", ["__init__", "start", "store_init_configuration", "log", "finish"])
@pytest.mark.parametrize("kind", [ValueError, SystemExit])
def test_a_tracker_that_fails_is_named_once_and_left_out(
    tiny_neox: Path,
    tiny_pairs: Pairs,
    monkeypatch: pytest.MonkeyPatch,
    heard: list[tuple[Any, ...]],
    caplog: pytest.LogCaptureFixture,
    where: str,
    kind: type[BaseException],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind("no such\nproject")

    monkeypatch.setattr(Recorder, where, fail)
    config = config_for(tiny_neox, tiny_pairs, train_flops=1e9)
    with caplog.at_level(logging.WARNING):
        _, record = train(config, tiny_pairs, report_to=["tensorboard"], with_record=True)
    assert record.loss is not None
    warned = [text for text in caplog.messages if "tensorboard" in text]
    assert warned == [f"tensorboard fails and is left out: {kind.__name__}: no such project"]


def test_tensorboard_itself_takes_the_values(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    config = config_for(tiny_neox, tiny_pairs)
    training = Training(Job.of(config, tiny_pairs))
    with tracked(config, ["tensorboard"], tmp_path / "model") as on_step:
        assert on_step is not None
        losses = []
        for _ in range(2):
            losses.append(training.step(1.0))
            on_step(training)
    events = EventAccumulator(str(tmp_path / "model.logs" / "embudget"))
    events.Reload()
    assert [point.value for point in events.Scalars("train/loss")] == pytest.approx(losses)
