"""`embudget train --devices N` starts its own processes: one voice, one exit code, and no one is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from embudget.errors import ConfigError
from embudget.pairs import Pairs
from embudget.training import launch
from tests.training.test_processes import ROOT


def arguments(pairs: Pairs, *more: str) -> list[str]:
    """A run of a few seconds, in two processes."""
    return [
        sys.executable, "-m", "embudget", "train", "--model", "micro-200k", "--method", "full", "--budget", "4e9",
        "--pairs", str(pairs.folder), "--batch-size", "8", "--max-length", "32", "--out", "model", "--devices", "2",
        *more,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}


def test_processes_are_started_where_none_are_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "devices_there", lambda: 4)
    assert launch.wants_processes(4, {})
    assert not launch.wants_processes(None, {})
    assert not launch.wants_processes(1, {})
    assert not launch.wants_processes(4, {"WORLD_SIZE": "4"}), "this is one of them"
    with pytest.raises(ConfigError, match="devices must be 2, the number of processes that were started, got 4"):
        launch.wants_processes(4, {"WORLD_SIZE": "2"})
    with pytest.raises(ConfigError, match="devices must be at most 4, which this machine has, got 8"):
        launch.wants_processes(8, {})


@pytest.mark.slow
@pytest.mark.skipif(launch.devices_there() < 2, reason="one core")
def test_a_sharded_run_speaks_once(tiny_pairs: Pairs, tmp_path: Path) -> None:
    done = subprocess.run(
        arguments(tiny_pairs, "--shard"), env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("held-out loss") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.slow
@pytest.mark.skipif(launch.devices_there() < 2, reason="one core")
def test_an_error_is_one_line_and_its_code(tiny_pairs: Pairs, tmp_path: Path) -> None:
    done = subprocess.run(
        arguments(tiny_pairs, "--learning-rate", "-1"), env=environment(), cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("embudget: ") == 1 and "--learning-rate" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(launch.devices_there() < 2, reason="one core")
def test_a_signal_stops_all_behind_one_step_and_the_run_goes_on(tiny_pairs: Pairs, tmp_path: Path) -> None:
    command = arguments(tiny_pairs, "--shard", "--checkpoint-minutes", "0", "--max-epochs", "10")
    command[command.index("4e9")] = "1.5e11"
    with subprocess.Popen(command, env=environment(), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as started:
        deadline = time.monotonic() + 200
        while not list(tmp_path.glob("model.checkpoints/*/step-*")) and time.monotonic() < deadline:
            assert started.poll() is None, started.stderr and started.stderr.read()
            time.sleep(0.1)
        started.send_signal(signal.SIGTERM)
        assert started.wait(100) == 128 + signal.SIGTERM
        assert started.stderr is not None and "a checkpoint was written at " in started.stderr.read()
    steps = sorted(path.name for path in tmp_path.glob("model.checkpoints/*/step-*"))
    assert len(steps) == 2
