"""What the command line says of errors: one bounded line, in its own spelling, whatever happens to its output."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from embudget.cli.app import app
from embudget.cli.messages import MOST, one_line, with_options
from tests.command_line import Run

COMMAND = typer.main.get_command(app)
EMBUDGET = [sys.executable, "-m", "embudget"]


def test_a_message_of_any_length_is_one_short_line() -> None:
    path = "/".join(["folder"] * 200)
    said = one_line(f"cannot read {path}:\n no such\x1b[31m file")
    assert said.startswith("cannot read folder/folder")
    assert said.endswith("no such\\x1b[31m file"), (
        "the middle of a long value is left out, and nothing moves the cursor"
    )
    assert len(one_line("word " * 500)) <= MOST


@pytest.mark.parametrize(
    ("message", "arguments", "said"),
    [
        ("gpu_hours needs a device", ["recipe"], "--gpu-hours needs a --device"),
        ("unless allow_unmeasured_sizes is set", ["recipe"], "unless --allow-unmeasured-sizes is set"),
        ("mfu must be in (0, 1]", ["train"], "--mfu must be in (0, 1]"),
        ("a model must be", ["train"], "a model must be"),
        ("r.yaml: batch_size: must be > 1", ["train", "r.yaml"], "r.yaml: batch_size: must be > 1"),
    ],
)
def test_arguments_are_named_as_options(message: str, arguments: list[str], said: str) -> None:
    assert with_options(message, COMMAND, arguments) == said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["recipe", "micro", "--gpu-hours", "8", "--device", "h100", "--dollars-per-hour", "3"],
            "--dollars-per-hour goes",
        ),
        (["recipe", "micro", "--budget", "1e11", "--device-memory", "24"], "did you mean 24GB?"),
        (["recipe", "micro", "--budget", "1e300"], "budget must be <= 1e+30"),
        (["recipe", "micro", "--curve", "1e-300:1e300"], "budget must be <= 1e+30"),
        (["simulate", "w.yaml", "--out", "r.csv", "--repeats", "3"], "--repeats goes with --judge"),
        (["simulate", "w.yaml", "--out", "r.csv", "--suite", "micro"], "--suite goes with --judge"),
        (["train", "recipe.yaml", "--mfu", "0.3"], "either a recipe or"),
        (["pairs", "build", "demo", "--out", "p", "--query-column", "q"], "--query-column is for sources files:PATH"),
        (["sweep", "study.yaml", "--workers", "0"], "workers must be >= 1"),
        (["suite", "show", "\udcff"], "arguments must be UTF-8"),
    ],
)
def test_what_nothing_would_read_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_pairs: object, arguments: list[str], message: str
) -> None:
    from embudget.pairs import Pairs

    assert isinstance(tiny_pairs, Pairs)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs").symlink_to(tiny_pairs.folder)
    code, _, err = run(*arguments)
    assert (code, err.count("\n")) == (2, 1), err
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["pairs"], "a command that fails leaves nothing behind"


def test_output_that_cannot_be_written_is_one_line_and_a_closed_pipe_none() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*EMBUDGET, "suite", "list"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "embudget: cannot write the output: No space left on device\n")
    command = f"{sys.executable} -m embudget suite list | true; echo ${{PIPESTATUS[0]}}"
    shell = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert shell.stderr == ""
    assert shell.stdout.strip() in ("0", "1")


def test_letters_that_the_terminal_lacks_are_no_traceback(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*EMBUDGET, "fit", "é.csv"], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.endswith(".csv: No such file or directory\n")


@pytest.mark.slow
def test_ctrl_c_at_any_moment_of_the_start_is_no_traceback() -> None:
    for wait in (0.05, 0.1, 0.15, 0.2, 0.3):
        with subprocess.Popen(
            [*EMBUDGET, "explain", "micro"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as started:
            time.sleep(wait)
            started.send_signal(signal.SIGINT)
            _, err = started.communicate()
        starting = b"site.py" in err or (b"frozen runpy" in err and b"embudget" not in err)
        if not starting:  # Python itself, on a slow machine as far as to look for our package
            assert b"Traceback" not in err, err.decode()
