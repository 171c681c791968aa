"""A writer that is killed, at whatever line, loses nothing, and the next one clears up after it."""

import errno
import fcntl
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from embudget import files, parts
from embudget.files import whole_file, whole_folder
from embudget.parts import claimed, recover

OLD, NEW, NEXT = "old", "new", "next"
Write = Callable[[Path, str], None]


def write_folder(target: Path, content: str) -> None:
    with whole_folder(target) as part:
        for name in ("weights", "record"):
            (part / name).write_text(content)
        (part / "1_Pooling").mkdir()
        (part / "1_Pooling" / "config").write_text(content)


def read_folder(target: Path) -> set[str] | None:
    """What its files hold; None where nothing is there."""
    if not target.exists():
        return None
    held = [target / "weights", target / "record", target / "1_Pooling" / "config"]
    return {path.read_text() if path.exists() else "missing" for path in held}


def write_file(target: Path, content: str) -> None:
    with whole_file(target) as part:
        part.write_text(content)


def read_file(target: Path) -> set[str] | None:
    return {target.read_text()} if target.exists() else None


CRITICAL = ("whole_file", "_replace_folder", "exchange")
"""The functions that put something new in the place of something old."""


def killed(
    work: Callable[[], None], line: int, also: Callable[[], None] = lambda: None, among: tuple[str, ...] = ()
) -> bool:
    """Do some work in a child that dies of SIGKILL before its ``line``-th line in `files` or `parts`; did it die?

    Of all functions there, or of those ``among`` them that are named.
    """
    ours, left = {files.__file__, parts.__file__}, line

    def count(frame: FrameType, event: str, argument: object) -> Any:  # noqa: ANN401
        nonlocal left
        if frame.f_code.co_filename in ours and (not among or frame.f_code.co_name in among):
            left -= event == "line"
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return count

    child = os.fork()
    if not child:
        code = 1
        try:
            also()
            sys.settrace(count)
            work()
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"the child ended with {status}"
    return status != 0


def without_exchange() -> None:
    vars(files)["exchange"] = lambda one, other: False


@pytest.mark.parametrize(
    "among", [pytest.param(CRITICAL, id="critical"), pytest.param((), id="all", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("there", [True, False], ids=["replacing", "new"])
@pytest.mark.parametrize("way", ["file", "exchange", "renames"])
def test_a_kill_at_any_line_leaves_the_old_or_the_new_and_the_next_writer_clears_up(
    way: str, there: bool, among: tuple[str, ...], tmp_path: Path
) -> None:
    write, read = (write_file, read_file) if way == "file" else (write_folder, read_folder)
    also = without_exchange if way == "renames" else lambda: None
    moments = random.Random(0)
    line = gaps = 0
    while True:
        line += 1
        place = tmp_path / str(line)
        place.mkdir()
        target = place / "model"
        if there:
            write(target, OLD)
        if not killed(lambda write=write, target=target: write(target, NEW), line, also, among):  # type: ignore[misc]
            break
        found = read(target)
        gaps += found is None
        assert found in ([{OLD}, {NEW}] if there and way != "renames" else [{OLD}, {NEW}, None]), f"line {line}"
        if moments.random() < 0.5:  # whoever clears up may be killed too
            killed(lambda target=target: recover(target), moments.randint(1, 60), also)  # type: ignore[misc]
        recover(target)
        assert read(target) in ([{OLD}, {NEW}] if there else [{NEW}, None]), f"line {line}"
        assert {path.name for path in place.iterdir()} <= {"model"}, f"line {line}"
        write(target, NEXT)
        assert read(target) == {NEXT}
        assert [path.name for path in place.iterdir()] == ["model"]
    assert line > (4 if among else 40), "the lines that write were met"
    assert bool(gaps) == (way == "renames" or not there), "two renames leave a gap, which is filled again"


def test_a_writer_that_lives_keeps_its_parts(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with whole_folder(target) as slow:
        (slow / "weights").write_text("slow")
        write_folder(target, NEW)
        assert (slow / "weights").read_text() == "slow", "the second writer left the first one's files alone"
        assert read_folder(target) == {NEW}
    assert (target / "weights").read_text() == "slow"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_others_name_alike_is_left_alone(tmp_path: Path) -> None:
    mine = [
        ".model.embudget-my",
        ".model.embudget-0123abcd.txt",
        ".model.x.embudget-01234567.new",
        ".model-0123abcd",
    ]
    for name in mine:
        (tmp_path / name).write_text("mine")
    with claimed(tmp_path / "model"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)


def test_a_name_of_255_bytes_has_room_for_its_parts(tmp_path: Path) -> None:
    for name in ("n" * 255, "é" * 127):
        write_folder(tmp_path / name, NEW)
        write_folder(tmp_path / name, NEXT)
        assert read_folder(tmp_path / name) == {NEXT}
    assert len(list(tmp_path.iterdir())) == 2


def test_without_locks_nobody_is_taken_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    target = tmp_path / "model"
    with whole_folder(target) as slow:
        (slow / "weights").write_text("slow")
        write_folder(target, NEW)
        assert (slow / "weights").read_text() == "slow"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
