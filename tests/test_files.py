"""Files are whole or not there, and failures are one line."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from embudget import files
from embudget.contents import SQLITE
from embudget.errors import ConfigError
from embudget.files import pieces, save_text, whole_file, whole_folder


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "laws.json"
    path.write_text("old")
    save_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "laws.json"
    path.mkdir()
    with pytest.raises(ConfigError, match=r"cannot write"):
        save_text(path, "new")
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigError, match=r"cannot write"):
        save_text(tmp_path / "missing" / "laws.json", "new")


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for content in ("old", "new"):
        with whole_folder(folder) as part:
            (part / "weights").write_text(content)
        assert (folder / "weights").read_text() == content
    with pytest.raises(KeyboardInterrupt), whole_folder(folder) as part:
        (part / "weights").write_text("half")
        raise KeyboardInterrupt
    assert (folder / "weights").read_text() == "new"
    assert list(tmp_path.iterdir()) == [folder]


def test_pieces_of_a_large_file_include_its_beginning_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embudget.files.PIECE_BYTES", 2)
    (tmp_path / "file").write_bytes(b"abcdefghi")
    assert list(pieces(tmp_path / "file", 3)) == [b"ab", b"de", b"hi"]
    assert list(pieces(tmp_path / "file", 5)) == [b"abcdefghi"], "it fits into five pieces"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_modes_are_those_of_the_umask(tmp_path: Path, umask: int) -> None:
    save_text(tmp_path / "laws.json", "new")
    assert mode_of(tmp_path / "laws.json") == 0o666 & ~umask
    with whole_folder(tmp_path / "model") as part:
        (part / "inner").mkdir(mode=0o700)
        for name in ("weights", "inner/config"):
            (part / name).write_text("")
            (part / name).chmod(0o600)  # as safetensors makes its files
    assert mode_of(tmp_path / "model") == mode_of(tmp_path / "model" / "inner") == 0o777 & ~umask
    assert mode_of(tmp_path / "model" / "weights") == mode_of(tmp_path / "model/inner/config") == 0o666 & ~umask


def test_what_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    save_text(tmp_path / "laws.json", "old")
    (tmp_path / "laws.json").chmod(0o640)
    save_text(tmp_path / "laws.json", "new")
    assert mode_of(tmp_path / "laws.json") == 0o640
    for _ in range(2):
        with whole_folder(tmp_path / "model") as part:
            (part / "weights").write_text("")
        (tmp_path / "model").chmod(0o700)
    with whole_folder(tmp_path / "model"):
        pass
    assert mode_of(tmp_path / "model") == 0o700


def test_behind_a_link_the_real_file_or_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    links = {name: tmp_path / f"link-{name}" for name in ("old.json", "missing.json", "old", "missing")}
    (tmp_path / "real" / "old.json").write_text("old")
    (tmp_path / "real" / "old").mkdir()
    for name, link in links.items():
        link.symlink_to(Path("real") / name)
        if name.endswith("json"):
            save_text(link, "new")
        else:
            with whole_folder(link) as part:
                (part / "weights").write_text("new")
        assert link.is_symlink()
        written = tmp_path / "real" / name
        assert (written if written.is_file() else written / "weights").read_text() == "new"
    assert {path.name for path in (tmp_path / "real").iterdir()} == set(links), "nothing temporary stays"


def test_links_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ConfigError, match=r"cannot write .*: Too many levels of symbolic links"):
        save_text(tmp_path / "a", "new")


def test_devices_are_written_to(tmp_path: Path) -> None:
    link = tmp_path / "nowhere"
    link.symlink_to("/dev/null")
    for path in (Path("/dev/null"), link):
        save_text(path, "gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(ConfigError, match=r"cannot write /dev/full: No space left on device"):
        save_text("/dev/full", "new")


def test_a_pipe_is_written_to_and_one_that_nobody_reads_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    save_text(pipe, "much" * 100_000)  # more than a pipe holds at once
    reader.join()
    assert read == ["much" * 100_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    monkeypatch.setattr(files, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(ConfigError, match=r"cannot write .*pipe: No such device or address"):
        save_text(pipe, "new")


SCRIPT = """
import sys
from pathlib import Path
from embudget.files import save_text
print("before")
save_text(Path(sys.argv[1]), "text\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_written_to_whatever_it_is(name: str, tmp_path: Path) -> None:
    """Into a file, a shell holds it open, so that replacing it would lose what is printed afterwards."""
    command = [sys.executable, "-c", SCRIPT, name]
    piped = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    with (tmp_path / "file").open("w") as file:
        subprocess.run(command, stdout=file, check=True)
    assert piped.stdout == (tmp_path / "file").read_text() == "before\ntext\nafter\n"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_database_and_its_logs_are_never_replaced(tmp_path: Path) -> None:
    base = tmp_path / "s.db"
    base.write_bytes(SQLITE + b"rows")
    for name in ("s.db", "s.db-wal", "s.db-journal"):
        path = tmp_path / name
        before = path.read_bytes() if path.exists() else None
        with pytest.raises(ConfigError, match="SQLite database"), whole_file(path) as part:
            part.write_text("new")
        with pytest.raises(ConfigError, match="SQLite database"):
            save_text(path, "new")
        assert (path.read_bytes() if path.exists() else None) == before
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


def test_a_file_that_must_not_be_written_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "laws.json"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda path, how: False)  # whoever is root may write everywhere
    with pytest.raises(ConfigError, match=r"cannot write .*: Permission denied"):
        save_text(path, "new")
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    "old", [b"PAR1\0rows", b'{"format_version": 2}', b"methods: []\nbudgets: []\n", b"<!doctype html>"]
)
def test_text_of_one_sort_does_not_replace_another(old: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(old)
    with pytest.raises(ConfigError, match="not to be replaced by a table"):
        save_text(path, "model_params,loss\n")
    assert path.read_bytes() == old
    path.write_text("notes of mine, which no program knows")
    save_text(path, "model_params,loss\n")
    assert path.read_text() == "model_params,loss\n"


def test_a_folder_is_checked_last_and_stays_where_that_fails(tmp_path: Path) -> None:
    def check(folder: Path) -> None:
        if (folder / "mine").exists():
            raise ConfigError("mine")

    with pytest.raises(ConfigError, match=r"^mine$"), whole_folder(tmp_path / "model", check=check) as part:
        (part / "weights").write_text("new")
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "mine").write_text("precious")
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["model", "model/mine"]
