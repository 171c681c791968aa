"""Interrupted runs end as if nothing had happened: killed at 20 moments, taken apart and put together, stopped."""

import json
import logging
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from embudget.errors import DivergedError, RunError
from embudget.pairs import Pairs
from embudget.records import Provenance, RunConfig, RunRecord
from embudget.training import engine
from embudget.training.checkpoints import newest_checkpoint
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.resources import Resources
from embudget.training.run import train
from tests.command_line import Run
from tests.conftest import save_tiny
from tests.study.executing import executed
from tests.training.kills import RECORD, WEIGHTS, Arm, at_line, in_a_write, survives, train_to
from tests.training.test_run import config_for

METHODS = ("full", "lora:4")


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that draws random numbers in each of its blocks."""
    folder = tmp_path_factory.mktemp("models") / "tiny-dropout"
    return save_tiny(folder, "gpt_neox", hidden_dropout=0.1, attention_dropout=0.1)


def run_of(model: Path, pairs: Pairs, method: str, **changes: object) -> RunConfig:
    return config_for(model, pairs, method, **({"train_flops": 2e9 if method == "full" else 1.5e9} | changes))


def outcome(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Weights to the last bit, and the record but for when and how long."""
    record = RunRecord.model_validate_json((folder / RECORD).read_text()).model_dump()
    assert record["seconds"] > 0
    del record["seconds"], record["provenance"]["started"]
    return (folder / WEIGHTS).read_bytes(), record


def new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_ten_kills_change_nothing(dropping: Path, tiny_pairs: Pairs, tmp_path: Path, method: str) -> None:
    """With the other method 20: at random moments, at random lines of a checkpoint's writing, and at chosen ones."""
    config = run_of(dropping, tiny_pairs, method)
    train_to(new(tmp_path / "whole"), config, tiny_pairs)
    moments = random.Random(METHODS.index(method))
    chosen: list[tuple[Arm | None, float | None]] = [
        *((at_line(name), None) for name in ("save_file", "write_text", "rename", "prune")),
        *((in_a_write(moments), None) for _ in range(3)),
        *((None, moments.uniform(0, 0.1)) for _ in range(3)),
    ]
    moments.shuffle(chosen)
    attempt, kills = 0, 0
    while chosen:
        folder = tmp_path / str(attempt)
        folder.mkdir(exist_ok=True)
        arm, delay = chosen[-1]
        if survives(folder, config, tiny_pairs, arm, delay):  # it was too late for this one
            assert outcome(folder) == outcome(tmp_path / "whole")
            attempt += 1
        else:
            chosen.pop()
            kills += 1
    assert kills == 10
    folder = tmp_path / str(attempt)
    folder.mkdir(exist_ok=True)
    assert survives(folder, config, tiny_pairs)
    assert outcome(folder) == outcome(tmp_path / "whole")
    assert not list((folder / "checkpoints").iterdir()), "a run that has its record needs no checkpoints"


@pytest.mark.parametrize("method", METHODS)
def test_taken_apart_and_put_together_goes_on_to_the_last_bit(dropping: Path, tiny_pairs: Pairs, method: str) -> None:
    config = run_of(dropping, tiny_pairs, method)
    whole = Training(Job.of(config, tiny_pairs))
    for _ in range(4):
        whole.step(0.5)
    tensors = {name: value.clone() for name, value in whole.tensors().items()}
    numbers = json.loads(json.dumps(whole.numbers()))
    wanted = [whole.step(1.0 - step / 10) for step in range(5)]
    again = Training(Job.of(config.model_copy(update={"seed": 3}), tiny_pairs))
    again.order._seed = config.seed  # the order of the batches is the configuration's; all else comes from the state
    again.step(1.0)
    for training in (again, whole):
        training.restore(tensors, numbers)
        training.next_tokens()  # looking ahead does not matter
        assert [training.step(1.0 - step / 10) for step in range(5)] == wanted
        assert training.numbers()["order"] == whole.numbers()["order"]
        assert training.measure() == whole.measure()
    assert all(torch.equal(value, whole.tensors()[name]) for name, value in again.tensors().items())


@pytest.mark.parametrize("look_ahead", [False, True])
def test_the_position_is_behind_the_last_batch(tiny_neox: Path, tiny_pairs: Pairs, look_ahead: bool) -> None:
    training = Training(Job.of(run_of(tiny_neox, tiny_pairs, "bias"), tiny_pairs))
    for _ in range(3):
        training.step(1.0)
    if look_ahead:
        training.next_tokens()
    assert training.numbers()["order"]["batches"] == 3


def test_what_memory_asked_for_is_kept(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    config = run_of(tiny_neox, tiny_pairs, "full")
    cached, direct = (
        Training(Job.of(config, tiny_pairs, Resources(cache="always"))),
        Training(Job.of(config, tiny_pairs, Resources(cache="never"))),
    )
    cached.step(1.0)
    cached.engine.chunk_tokens = 64
    direct.restore(cached.tensors(), cached.numbers())
    assert direct.engine.cached
    assert direct.engine.chunk_tokens == 64


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
@pytest.mark.parametrize("cached_at_first", [False, True])
def test_free_memory_that_has_changed_changes_nothing(
    dropping: Path,
    tiny_pairs: Pairs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cached_at_first: bool,
    schedule: str,
) -> None:
    config = run_of(dropping, tiny_pairs, "full", schedule=schedule)
    resources = Resources(checkpoints=tmp_path, checkpoint_seconds=0)

    def stop(config: RunConfig, share: float, loss: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    monkeypatch.setattr(engine, "needs_cache", lambda *_: cached_at_first)
    (whole,) = executed((config,), tiny_pairs.folder)
    with pytest.raises(KeyboardInterrupt):
        executed((config,), tiny_pairs.folder, resources, stop)
    monkeypatch.setattr(engine, "needs_cache", lambda *_: not cached_at_first)
    (other,) = executed((config,), tiny_pairs.folder)
    (again,) = executed((config,), tiny_pairs.folder, resources)
    timeless = {"seconds", "provenance", "shared_flops"}
    assert again.model_dump(exclude=timeless) == whole.model_dump(exclude=timeless)
    assert other.executed_flops != whole.executed_flops, "it would have been trained in the other way"


def test_other_threads_than_before_are_told_of(
    tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    training = Training(Job.of(run_of(tiny_neox, tiny_pairs, "bias"), tiny_pairs))
    training.step(1.0)
    tensors, numbers = training.tensors(), training.numbers()
    with caplog.at_level(logging.WARNING):
        training.restore(tensors, numbers)
        assert "threads" not in caplog.text
        monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
        training.restore(tensors, numbers)
    assert "trained with 1 threads before and with 7 now: the last bits may differ" in caplog.text


def interrupted_after(steps: int) -> Callable[[float, float], None]:
    """Ctrl-C after so many steps."""

    def on_progress(share: float, loss: float) -> None:
        nonlocal steps
        steps -= 1
        if not steps:
            raise KeyboardInterrupt

    return on_progress


def test_a_checkpoint_of_another_model_is_refused_in_one_line(
    tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_of(save_tiny(tmp_path / "model", "gpt_neox"), tiny_pairs, "bias", train_flops=1e9)
    resources = Resources(checkpoints=tmp_path / "kept", checkpoint_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny_pairs, on_progress=interrupted_after(2), resources=resources)
    monkeypatch.setattr(
        "embudget.training.run.provenance", lambda model: Provenance.model_validate(_PROVENANCE | {"threads": 1})
    )
    with pytest.raises(
        RunError, match=r"is a checkpoint of folder model sha256:.*the model is now another one"
    ) as said:
        train(config, tiny_pairs, resources=resources)
    assert "\n" not in str(said.value)
    assert newest_checkpoint(tmp_path / "kept" / config.id) is not None, "it is the user's to remove"


_PROVENANCE: dict[str, object] = {
    "versions": {}, "model_revision": "another one", "device": "none", "started": "2020-01-01T00:00:00+00:00",
}  # fmt: skip


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
def test_checkpoints_that_cannot_be_written_do_not_end_the_run(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, caplog: pytest.LogCaptureFixture, schedule: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    config = run_of(tiny_neox, tiny_pairs, "bias", train_flops=1e9, schedule=schedule)
    resources = Resources(checkpoints=tmp_path / "file", checkpoint_seconds=0)
    with caplog.at_level(logging.WARNING):
        (record,) = executed((config,), tiny_pairs.folder, resources)
    assert record.status == "done", record.error
    assert record.loss == train(config, tiny_pairs, with_record=True)[1].loss
    assert re.search(r"cannot write a checkpoint to .*: Not a directory; training goes on", caplog.text)


def test_a_disk_that_was_full_for_a_while_costs_no_older_checkpoint(
    dropping: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_of(dropping, tiny_pairs, "full")
    whole = train(config, tiny_pairs, with_record=True)[1]
    kept: list[int] = []
    writes = 0

    def save_file(tensors: dict[str, torch.Tensor], path: Path) -> None:
        nonlocal writes
        writes += 1
        if writes in (3, 4):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        write(tensors, path)

    def on_progress(share: float, loss: float) -> None:
        found = newest_checkpoint(tmp_path / config.id)
        assert found is not None
        kept.append(len(found.numbers["losses"]))
        if len(kept) == 4:
            raise KeyboardInterrupt

    write = safetensors.torch.save_file
    monkeypatch.setattr(safetensors.torch, "save_file", save_file)
    resources = Resources(checkpoints=tmp_path, checkpoint_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny_pairs, on_progress=on_progress, resources=resources)
    assert kept == [1, 2, 2, 2]
    again = train(config, tiny_pairs, on_progress=on_progress, resources=resources, with_record=True)[1]
    assert kept[4:] == list(range(5, len(whole.loss_curve) + 1)), "it is tried again at the interruption, and works"
    assert (again.loss, again.loss_curve) == (whole.loss, whole.loss_curve)


def test_a_run_that_diverged_keeps_no_checkpoints(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    config = run_of(tiny_neox, tiny_pairs, "full", learning_rate=1e30)
    with pytest.raises(DivergedError):
        train(config, tiny_pairs, resources=Resources(checkpoints=tmp_path / "kept", checkpoint_seconds=0))
    assert not list((tmp_path / "kept").iterdir())


def test_checkpoints_stay_for_whoever_stores_the_record(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    config = run_of(tiny_neox, tiny_pairs, "bias", train_flops=1e9)
    resources = Resources(checkpoints=tmp_path / "kept", checkpoint_seconds=0, keep_checkpoints=True)
    first = train(config, tiny_pairs, resources=resources, with_record=True)[1]
    steps: list[float] = []
    again = train(
        config, tiny_pairs, on_progress=lambda share, loss: steps.append(share), resources=resources, with_record=True
    )[1]
    assert not steps
    assert again.model_dump(exclude={"provenance"}) == first.model_dump(exclude={"provenance"})
    with pytest.raises(DivergedError):
        train(config.model_copy(update={"learning_rate": 1e30}), tiny_pairs, resources=resources)
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_the_same_command_goes_on(
    run: Run, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        "train", "--model", tiny_neox, "--method", "full", "--budget", "1.5e9", "--pairs", tiny_pairs.folder,
        "--batch-size", "8", "--max-length", "32", "--checkpoint-minutes", "0",
    )  # fmt: skip
    steps: list[int] = []
    original = Training.step

    def counted(self: Training, factor: float) -> float:
        loss = original(self, factor)
        steps.append(self.meter.steps)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return loss

    assert run(*command, "--out", tmp_path / "whole").code == 0
    monkeypatch.setattr(Training, "step", counted)
    stopped = run(*command, "--out", tmp_path / "model")
    assert stopped.code == 130
    kept = tmp_path / "model.checkpoints"
    (kept_run,) = kept.iterdir()
    assert newest_checkpoint(kept_run) is not None
    assert not (tmp_path / "model").exists()
    done = run(*command, "--out", tmp_path / "model")
    assert done.code == 0, done.err
    assert steps[:3] == [1, 2, 3]
    assert steps[3] == 4, "the third was written when it was interrupted"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "whole"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("model", "whole")]
    assert weights[0] == weights[1]


def test_a_model_that_cannot_be_written_does_not_cost_the_training(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_of(tiny_neox, tiny_pairs, "lora:4")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    resources = Resources(checkpoint_seconds=0)
    with monkeypatch.context() as broken, pytest.raises(OSError, match="No space left"):
        broken.setattr("embudget.exports.sentence_transformers.write_model", full)
        train(config, tiny_pairs, tmp_path / "model", resources=resources)
    assert newest_checkpoint(tmp_path / "model.checkpoints" / config.id) is not None
    steps: list[float] = []
    train(
        config, tiny_pairs, tmp_path / "model", on_progress=lambda share, loss: steps.append(share), resources=resources
    )
    assert not steps, "all of them had been done"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
