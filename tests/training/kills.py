"""Processes that train and are killed with SIGKILL at chosen moments; forked, since a start of Python costs seconds."""

import os
import random
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import safetensors.torch

from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.training import state
from embudget.training.checkpoints import write_checkpoint
from embudget.training.resources import Resources
from embudget.training.run import train

WEIGHTS, RECORD = "weights.safetensors", "record.json"

Arm = Callable[[], None]
"""Called in the child before it trains: what is to kill it."""


def train_to(folder: Path, config: RunConfig, pairs: Pairs, on_step: Callable[[], None] = lambda: None) -> None:
    """Train a run with a checkpoint after each step, and write what came out of it to a folder."""
    resources = Resources(checkpoints=folder / "checkpoints", checkpoint_seconds=0)
    model, record = train(
        config, pairs, on_progress=lambda share, loss: on_step(), resources=resources, with_record=True
    )
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(weights))
    (folder / RECORD).write_text(record.model_dump_json())


def survives(folder: Path, config: RunConfig, pairs: Pairs, arm: Arm | None = None, delay: float | None = None) -> bool:
    """Train in a child, killed by what ``arm`` set up or ``delay`` seconds after its first step; whether it survived.

    Raises:
        AssertionError: it ended in another way than by SIGKILL.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            if arm is not None:
                arm()
            train_to(folder, config, pairs, lambda: _say(write))
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    if delay is not None:
        select.select([read], [], [])
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(read)
    assert status in (0, -signal.SIGKILL), f"the child ended with {status}"
    return status == 0


def in_a_write(moment: random.Random) -> Arm:
    """Die in the second or third write of a checkpoint, before any of the lines that run in it."""
    after, lines = moment.randint(1, 2), moment.randint(1, 400)
    original = write_checkpoint

    def arm() -> None:
        vars(state)["write_checkpoint"] = dying

    def dying(*arguments: Any) -> None:  # noqa: ANN401
        nonlocal after
        if after:
            after -= 1
            return original(*arguments)
        sys.settrace(count)
        original(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)  # the write was shorter: between two steps, then

    def count(frame: FrameType, event: str, argument: object) -> Any:  # noqa: ANN401
        nonlocal lines
        lines -= event == "line"
        if lines <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    return arm


def at_line(name: str) -> Arm:
    """Die in the second write of a checkpoint, in place of a call: of ``save_file`` halfway, or before another."""
    writes = 0

    def halfway(tensors: dict[str, Any], path: Path) -> None:
        data = safetensors.torch.save(tensors)
        path.write_bytes(data[: len(data) // 2] if writes else data)
        die()

    def die() -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(call: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            die()
            return call(*arguments, **named)

        return dying

    def arm() -> None:
        if name == "save_file":
            vars(safetensors.torch)["save_file"] = halfway
        elif name == "prune":
            vars(shutil)["rmtree"] = _only_of_steps(before(shutil.rmtree), shutil.rmtree)
        else:
            path: Any = Path
            setattr(path, name, before(getattr(path, name)))

    return arm


def _only_of_steps(dying: Callable[..., Any], calm: Callable[..., Any]) -> Callable[..., Any]:
    return lambda path, **named: (dying if "step-" in path.name else calm)(path, **named)


def _say(pipe: int) -> None:
    os.write(pipe, b".")
