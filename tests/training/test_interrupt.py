"""Signals at any moment of a run: what was trained is kept, and the run goes on from it to the last bit."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from embudget.errors import ConfigError, EmbudgetError
from embudget.pairs import Pairs
from embudget.records import RunRecord
from embudget.study.execution import Orders, execute
from embudget.training import interrupt, loop, rows
from embudget.training.checkpoints import newest_checkpoint
from embudget.training.engine import Engine
from embudget.training.interrupt import Interrupted, breakable, came, deferred, interruptible, raise_pending, told
from embudget.training.interval import interval
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.resources import Resources
from embudget.training.run import train
from tests.conftest import save_tiny
from tests.study.executing import executed
from tests.training.test_run import config_for

TIMELESS = {"seconds": True, "provenance": {"started"}}


@pytest.fixture(autouse=True)
def no_signal_is_left() -> Iterator[None]:
    """What a test left to be heeded must not meet the next one."""
    yield
    interrupt.heed()


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that draws random numbers in each of its blocks."""
    folder = tmp_path_factory.mktemp("models") / "tiny-dropout"
    return save_tiny(folder, "gpt_neox", hidden_dropout=0.1, attention_dropout=0.1)


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_a_signal_raises_for_the_length_of_the_block(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, interruptible():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert caught.value.signal == number
    assert signal.getsignal(number) == before


def test_handlers_of_the_user_are_left_alone() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_deferred_puts_a_signal_off_to_the_end() -> None:
    reached = False
    with pytest.raises(Interrupted), interruptible(), deferred():
        with deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        reached = True
    assert reached


def test_in_another_thread_nothing_is_installed() -> None:
    seen: list[object] = []

    def look() -> None:
        with interruptible(), deferred():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_signal_breaks_off_a_backward_pass() -> None:
    weights = [torch.ones(300, 300, requires_grad=True) for _ in range(300)]
    out = torch.ones(1000, 300)
    for weight in weights:
        out = out @ weight / 300
    started = time.monotonic()
    with pytest.raises(Interrupted), interruptible(), breakable(weights):
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        before = signal.signal(signal.SIGALRM, interrupt.on_signal)
        try:
            out.sum().backward()
        finally:
            signal.signal(signal.SIGALRM, before)
            signal.setitimer(signal.ITIMER_REAL, 0)
    assert any(weight.grad is None for weight in weights), "it was broken off"
    assert time.monotonic() - started < 5


def wait_for(number: int) -> None:
    os.kill(os.getpid(), number)
    for _ in range(1000):  # the handler runs at one of these lines
        time.sleep(0)


def at(nth: int, call: Callable[..., Any]) -> Callable[..., Any]:
    """Let a call send a signal before and after it, when it is called for the nth time."""
    left = nth

    def calling(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        nonlocal left
        left -= 1
        now = left == 0
        if now:
            wait_for(signal.SIGTERM)
        result = call(*arguments, **named)
        if now:
            wait_for(signal.SIGTERM)
        return result

    return calling


MOMENTS: dict[str, tuple[Any, str]] = {
    "before the gradients": (Engine, "gradients"),
    "in the clipping": (Training, "_clip"),
    "in the update": (torch.optim.AdamW, "step"),
    "in the update of rows": (rows.RowAdamW, "step"),
    "while rows catch up": (rows.RowAdamW, "catch_up"),
    "after the step": (Training, "_check"),
    "in the measurement": (loop, "held_out"),
}


@pytest.mark.parametrize("method", ["full", "lora:4", "freeze:0.5"])
@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
@pytest.mark.parametrize("cache", ["never", "always"])
def test_wherever_a_signal_falls_the_run_ends_as_undisturbed(
    dropping: Path,
    tiny_pairs: Pairs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    schedule: str,
    cache: Any,  # noqa: ANN401
) -> None:
    budget = 1.5e9
    of = {"schedule": schedule, "warmup": 0.1}
    configs = [config_for(dropping, tiny_pairs, method, train_flops=budget, **of)]
    if schedule == "wsd":
        configs.append(config_for(dropping, tiny_pairs, method, train_flops=2 * budget, **of | {"warmup": 0.05}))
    resources = Resources(cache=cache, checkpoints=tmp_path, checkpoint_seconds=1e9)
    whole = executed(configs, tiny_pairs.folder, resources._replace(checkpoints=None))
    done: dict[str, RunRecord] = {}
    moments = random.Random(0)
    for place, name in MOMENTS.values():
        for nth in (1, moments.randint(2, 8)):
            if len(done) == len(configs):  # the moments have been used up; the records are compared below
                break
            with monkeypatch.context() as patch:
                patch.setattr(place, name, at(nth, getattr(place, name)))
                try:
                    with interruptible():
                        left = [config for config in configs if config.id not in done]
                        for record in execute(tuple(left), Orders(tiny_pairs.folder, resources), lambda *_: None):
                            assert isinstance(record, RunRecord)
                            done[record.config.id] = record
                except Interrupted:
                    assert told()
    left = [config for config in configs if config.id not in done]
    done |= {record.config.id: record for record in executed(left, tiny_pairs.folder, resources)} if left else {}
    for record in whole:
        again = done[record.config.id]
        timeless = {"seconds", "provenance", "shared_flops"}
        assert again.model_dump(exclude=timeless) == record.model_dump(exclude=timeless)


def test_a_step_that_is_broken_off_leaves_the_state_before_it(
    dropping: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(Job.of(config_for(dropping, tiny_pairs), tiny_pairs))
    training.step(1.0)
    before = {name: value.clone() for name, value in training.tensors().items()}
    numbers = training.numbers()
    with monkeypatch.context() as patch, interruptible():
        patch.setattr(Training, "_clip", at(1, Training._clip))
        with pytest.raises(Interrupted):
            training.step(1.0)
    assert training.numbers() == numbers
    kept = {name for name in before if not name.startswith("rows.")}  # its rows have caught up, which is the same state
    assert all(torch.equal(before[name], value) for name, value in training.tensors().items() if name in kept)


def test_what_is_said_of_an_interruption(
    dropping: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(dropping, tiny_pairs)
    places = Resources(checkpoints=tmp_path / "kept")

    def said(nth: int, resources: Resources) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(Training, "_clip", at(nth, Training._clip))
            with pytest.raises(Interrupted) as caught:
                train(config, tiny_pairs, resources=resources)
        (note,) = caught.value.__notes__
        return str(note)

    assert said(1, places) == "nothing was saved: training had not begun"
    assert not (tmp_path / "kept").exists()
    assert "nothing was saved: the run has no folder" in said(3, Resources())
    assert said(3, places).startswith("a checkpoint was written at ")
    (tmp_path / "file").write_text("in the way")
    assert "no checkpoint could be written" in said(3, Resources(checkpoints=tmp_path / "file"))


def test_an_update_that_others_break_off_is_not_written(
    dropping: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.AdamW, "step", fail)
    with pytest.raises(KeyboardInterrupt):
        train(config_for(dropping, tiny_pairs), tiny_pairs, resources=Resources(checkpoints=tmp_path))
    assert not list(tmp_path.rglob("step-*"))


@pytest.mark.parametrize(
    ("seconds", "share", "took", "wanted"),
    [
        (10, 0.5, 0.1, 15), (72, 0.1, 0.1, 36), (3600, 0.01, 1, 600), (60, 0.1, 10, 200), (3600, 0.01, None, 30),
        (0, 0, None, 30), (1, 0.5, None, 15),
    ],
)  # fmt: skip
def test_checkpoints_come_at_a_share_of_the_run(
    seconds: float, share: float, took: float | None, wanted: float
) -> None:
    assert interval(seconds, share, took) == pytest.approx(wanted)


def test_an_error_is_no_interruption() -> None:
    assert not issubclass(Interrupted, EmbudgetError)


def test_a_signal_that_ended_a_run_in_a_notebook_does_not_end_the_next() -> None:
    with pytest.raises(Interrupted), interruptible():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    with interruptible():
        raise_pending()
        assert came() is None


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit(3), ConnectionError("another process is gone")])
def test_whatever_ends_a_run_does_not_cost_it(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, error: BaseException
) -> None:
    """A caller's own mistake, or the other processes of a run: the first checkpoint was not due yet."""
    steps = 0

    def on_progress(share: float, loss: float) -> None:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise error

    config = config_for(tiny_neox, tiny_pairs)
    with pytest.raises(type(error)):
        train(config, tiny_pairs, on_progress=on_progress, resources=Resources(checkpoints=tmp_path))
    found = newest_checkpoint(tmp_path / config.id)
    assert found is not None and found.numbers["meter"]["steps"] == 4


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_time_between_checkpoints_that_would_write_none_is_refused(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, seconds: float
) -> None:
    with pytest.raises(ConfigError, match="checkpoint_seconds must be >= 0"):
        train(config_for(tiny_neox, tiny_pairs), tiny_pairs, resources=Resources(checkpoint_seconds=seconds))
    assert not list(tmp_path.iterdir())
