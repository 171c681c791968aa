"""`train` ended at 20 moments by all signals there are, and by a terminal that closes: it ends as if undisturbed."""

import os
import pty
import random
import select
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from embudget.exports.folder import RECORD_FILE
from embudget.pairs import Pairs
from embudget.records import RunRecord
from tests.command_line import Run

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
KILLS = 20


class Command:
    """The command line in a forked child, since a start of Python costs seconds; its output goes to a file."""

    def __init__(self, folder: Path, arguments: Sequence[object]) -> None:
        self.said = folder / "said"
        self.begun, begun = os.pipe()
        """Can be read from when the first step begins."""
        self.pid = os.fork()
        if not self.pid:
            code = 1
            try:
                tell_at_first_step(begun)
                with self.said.open("w") as said:
                    os.dup2(said.fileno(), 1)
                    os.dup2(said.fileno(), 2)
                os.chdir(folder)
                code = run_main(arguments)
            finally:
                os._exit(code)
        os.close(begun)

    def end_by(self, number: int) -> float:
        """Send a signal; the seconds that it takes to end."""
        at = time.monotonic()
        os.kill(self.pid, number)
        self.code = self.wait()
        return time.monotonic() - at

    def wait(self) -> int:
        os.close(self.begun)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def is_over(self, seconds: float, of_training: bool = False) -> bool:
        """Whether it ended by itself within a time, which may count from its first step on."""
        if of_training:
            select.select([self.begun], [], [])
        handle = os.pidfd_open(self.pid)
        try:
            return bool(select.select([handle], [], [], seconds)[0])
        finally:
            os.close(handle)


def tell_at_first_step(pipe: int) -> None:
    from embudget.training.loop import Training

    original = Training.step

    def step(self: Training, factor: float) -> float:
        if Training.step is step:
            os.write(pipe, b".")
            Training.step = original  # type: ignore[method-assign]
        return original(self, factor)

    Training.step = step  # type: ignore[method-assign]


def run_main(arguments: Sequence[object]) -> int:
    from embudget.cli.app import main

    sys.argv = ["embudget", *map(str, arguments)]
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    try:
        main()
    except SystemExit as stopped:
        sys.stdout.flush()
        return stopped.code if isinstance(stopped.code, int) else 1
    return 0


def arguments(pairs: Pairs, out: str, *more: object) -> list[object]:
    return [
        "train", "--model", "micro-200k", "--method", "full", "--budget", "6e9", "--pairs", pairs.folder,
        "--batch-size", "16", "--max-length", "32", "--out", out, *more,
    ]  # fmt: skip


def outcome(model: Path) -> tuple[bytes, dict[str, object]]:
    record = RunRecord.model_validate_json((model / RECORD_FILE).read_text()).model_dump()
    del record["seconds"], record["provenance"]["started"]
    return (model / "model.safetensors").read_bytes(), record


@pytest.mark.slow
@pytest.mark.parametrize("interval", [(), ("--checkpoint-minutes", "0")], ids=["by itself", "each step"])
def test_twenty_kills_end_as_if_there_had_been_none(
    run: Run, tiny_pairs: Pairs, tmp_path: Path, interval: tuple[str, ...]
) -> None:
    """With a checkpoint each step, most of them fall into the writing of one; some fall into loading or the export."""
    assert run(*arguments(tiny_pairs, str(tmp_path / "whole"))).code == 0, (
        "and what it imports is there for the children"
    )
    undisturbed = Command(tmp_path, arguments(tiny_pairs, "model", *interval))
    assert not undisturbed.is_over(0.0, of_training=True)
    started = time.monotonic()
    assert undisturbed.wait() == 0, undisturbed.said.read_text()
    seconds = time.monotonic() - started
    wanted = outcome(tmp_path / "whole")
    assert outcome(tmp_path / "model") == wanted
    shutil.rmtree(tmp_path / "model")
    moments = random.Random(len(interval))
    numbers = [*SIGNALS] * (KILLS // len(SIGNALS))
    moments.shuffle(numbers)
    saved = 0
    while numbers:
        command = Command(tmp_path, arguments(tiny_pairs, "model", *interval))
        if command.is_over(moments.uniform(0.0, 0.5 * seconds), of_training=moments.random() < 0.8):
            assert command.wait() == 0, command.said.read_text()
            assert outcome(tmp_path / "model") == wanted
            shutil.rmtree(tmp_path / "model")
            continue
        number = numbers.pop()
        took = command.end_by(number)
        if number != signal.SIGKILL and command.code != 0:  # it may have been over already
            last = command.said.read_text().splitlines()[-1]
            assert command.code == 128 + number
            assert last.startswith("embudget: interrupted") and took < 10
            saved += "a checkpoint was written at" in last or "the trained state is in a checkpoint" in last
            assert "Traceback" not in command.said.read_text()
    assert saved
    last_one = Command(tmp_path, arguments(tiny_pairs, "model", *interval))
    assert last_one.wait() == 0, last_one.said.read_text()
    assert outcome(tmp_path / "model") == wanted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "said", "whole"]


@pytest.mark.slow
def test_a_terminal_that_closes_costs_nothing(tiny_pairs: Pairs, tmp_path: Path) -> None:
    """SIGHUP comes, and then everything that is written to the terminal fails."""
    pid, terminal = pty.fork()
    if not pid:
        code = 1
        try:
            os.environ["TERM"] = "xterm"
            os.chdir(tmp_path)
            code = run_main(arguments(tiny_pairs, "model"))
        finally:
            os._exit(code)
    shown = b""
    while b"loss" not in shown:  # the bar has begun
        shown += os.read(terminal, 1000)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGHUP
    assert list(tmp_path.glob("model.checkpoints/*/step-*"))
    done = Command(tmp_path, arguments(tiny_pairs, "model"))
    assert done.wait() == 0, done.said.read_text()
    assert Command(tmp_path, arguments(tiny_pairs, "whole")).wait() == 0
    assert outcome(tmp_path / "model") == outcome(tmp_path / "whole")
