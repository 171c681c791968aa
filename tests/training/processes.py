"""Processes that train one model, forked, since a start of Python costs seconds."""

import os
import socket
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from accelerate import PartialState

from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.training.resources import Resources
from embudget.training.run import train
from tests.training.batches import LOSS_ROUNDING


class Stopped(Exception):
    """The run has done the steps that it was to do."""


def launch(count: int, folder: Path, work: Callable[[int], None]) -> None:
    """Fork processes that find each other as those that torchrun starts do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if not child:
            code = 1
            try:
                place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
                os.environ.update({name: str(value) for name, value in place.items()})
                os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
                PartialState._reset_state()
                work(rank)
                code = 0
            except BaseException:
                (folder / f"error-{rank}").write_text(traceback.format_exc())
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert not any(codes), [path.read_text() for path in folder.glob("error-*")]


def write(folder: Path, name: str, rank: int, record: RunRecord | None) -> None:
    (folder / f"{name}-{rank}.json").write_text("null" if record is None else record.model_dump_json())


def run_until(config: RunConfig, pairs: Pairs, folder: Path, stop: int | None, shard: bool = False) -> RunRecord | None:
    """Train with checkpoints after each step; None where it was stopped after so many steps."""
    steps = 0

    def on_progress(share: float, loss: float) -> None:
        nonlocal steps
        steps += 1
        if steps == stop:
            raise Stopped

    with suppress(Stopped):
        return train(
            config,
            pairs,
            on_progress=on_progress,
            resources=Resources(checkpoints=folder, checkpoint_seconds=0.0, shard=shard),
            with_record=True,
        )[1]
    return None


def record_at(folder: Path, name: str, rank: int) -> RunRecord:
    return RunRecord.model_validate_json((folder / f"{name}-{rank}.json").read_text())


def assert_same_curve(one: RunRecord, other: RunRecord) -> None:
    assert (one.steps, one.tokens, one.train_flops) == (other.steps, other.tokens, other.train_flops)
    assert one.loss == pytest.approx(other.loss, abs=LOSS_ROUNDING)
    assert [share for share, _ in one.loss_curve] == [share for share, _ in other.loss_curve]
    differences = [abs(a - b) for (_, a), (_, b) in zip(one.loss_curve, other.loss_curve, strict=True)]
    assert len(differences) >= 5
    assert max(differences) < LOSS_ROUNDING
