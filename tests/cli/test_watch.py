"""`embudget watch`, and the table that it shares with the screens of `sweep` and `spend`."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from embudget.cli.progress_table import progress_table
from embudget.records import RunRecord
from embudget.study import Store
from embudget.study.leases import Hold
from embudget.study.progress import StoreProgress
from tests.command_line import Run
from tests.study.test_progress import PLACE, done, set_lease
from tests.study.test_schedule import config


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "s.db") as opened:
        yield opened


def test_one_look(run: Run, store: Store, tmp_path: Path) -> None:
    runs = [config("micro-1m", rate=rate) for rate in (1e-4, 2e-4, 3e-4)]
    store.queue().add(runs, PLACE)
    store.add(done(runs[0], 3.25))
    with store.leases("node-7") as holder:
        assert holder.claim(runs[1]) is Hold.OURS
        set_lease(store, runs[1], share=0.75, loss=2.5, pace=0.01)
        code, out, err = run("watch", tmp_path / "s.db", "--once")
    assert (code, err) == (0, "")
    head, *lines = [" ".join(line.split()) for line in out.splitlines()]
    assert head == "1 done, 1 running, 1 waiting; about 2 min left"
    assert "micro-1m full 1e+12 FLOP rate 0.0002 seed 0 node-7 75 % 2.50 25 s" in lines
    assert "micro-1m full rate 0.0001 seed 0 1e+12 3.250 1" in lines


def test_it_ends_when_no_run_is_left_and_a_failure_is_exit_code_1(run: Run, store: Store, tmp_path: Path) -> None:
    store.add(done(config("micro-1m")))
    assert run("watch", tmp_path / "s.db").code == 0
    store.add(RunRecord(config=config("micro-3m"), status="failed", error="a [bold] reason\nof two lines"))
    code, out, _ = run("watch", tmp_path / "s.db")
    assert code == 1
    assert "1 done, 1 failed; no run is left" in out
    assert "a [bold] reason of two lines" in out


def test_it_goes_on_between_rounds_and_says_so(run: Run, store: Store, tmp_path: Path) -> None:
    store.add(done(config("micro-1m")))
    with store.leases() as driver:
        driver.promise_more()
        assert "1 done; the next runs are being decided" in run("watch", tmp_path / "s.db", "--once").out
        store.queue().add([config("micro-3m")], PLACE)
        assert "1 waiting; nobody is at work, then further" in run("watch", tmp_path / "s.db", "--once").out
    assert "1 waiting; nobody is at work\n" in run("watch", tmp_path / "s.db", "--once").out


def test_json_is_what_the_library_says(run: Run, store: Store, tmp_path: Path) -> None:
    store.queue().add([config("micro-1m")], PLACE)
    code, out, _ = run("watch", tmp_path / "s.db", "--json")
    assert code == 0
    assert StoreProgress.read(json.loads(out), "watch") == store.progress().look()


def test_a_store_that_is_not_there_is_one_line(run: Run, tmp_path: Path) -> None:
    code, out, err = run("watch", tmp_path / "nobody.db")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "nobody.db").exists()


@pytest.mark.slow
def test_ctrl_c_is_no_failure_and_a_terminal_shows_the_table_in_place(store: Store, tmp_path: Path) -> None:
    """A run waits for ever, so that only Ctrl-C ends it."""
    store.queue().add([config("micro-1m")], PLACE)
    store.add(RunRecord(config=config("micro-3m"), status="failed", error="a full disk"))
    ours, theirs = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "embudget", "watch", str(tmp_path / "s.db"), "--every", "0.2"],
        stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    until = time.monotonic() + 60
    while b"a full disk" not in shown and time.monotonic() < until:
        shown += os.read(ours, 4096)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "1 failed, 0 running, 1 waiting; nobody is at work" in text


LONG = "/data/models/a-very-long-folder-name/with/[brackets]/smollm2-135m:8"


def many(store: Store, count: int, model: str) -> StoreProgress:
    runs = [config("micro-1m", rate=1e-6 * (1 + number)) for number in range(2)]
    store.queue().add(runs, PLACE)
    store.add(done(runs[0]))
    store.add(RunRecord(config=config("micro-3m"), status="failed", error="out of memory " * 20))
    with store.leases("node") as holder:
        assert holder.claim(runs[1]) is Hold.OURS
        set_lease(store, runs[1], share=0.5, loss=2.5, pace=0.01)
        one = store.progress().look()
    running = tuple(one.running[0].model_copy(update={"model": model}) for _ in range(count))
    ended = one.failures[0].model_copy(update={"model": model})
    return one.model_copy(update={"running": running, "failures": (ended,)})


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("count", [1, 40, 1000])
@pytest.mark.parametrize("model", ["micro-1m", LONG])
def test_the_numbers_stay_however_long_the_names_and_narrow_the_terminal(
    store: Store, width: int, count: int, model: str
) -> None:
    console = Console(width=width, height=24, record=True, file=io.StringIO(), no_color=True)
    console.print(progress_table(many(store, count, model), width, 24))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 24
    shown = [line for line in lines if re.search(r"50 %\s+2\.50\s+50 s", line)]
    assert shown, "\n".join(lines)
    if count == 1000:
        assert any(f"{count - len(shown)} runs more"[: width - 10] in line for line in lines) or width == 40
    assert any("3.000" in line for line in lines), "the best so far"
    assert any("out of" in line for line in lines), "why it failed"


def test_a_look_waits_for_no_library_of_laws(store: Store) -> None:
    """It takes a second to load, and `watch` shows nothing that needs it."""
    code = "import sys; from embudget.__main__ import main; sys.argv[1:] = ['watch', '--once', STORE]\n"
    code += "try: main()\nexcept SystemExit: pass\nprint('scipy' in sys.modules, 'pandas' in sys.modules)"
    code = code.replace("STORE", repr(store.location))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "no run is left" in done.stdout and done.stdout.splitlines()[-1] == "False False"
