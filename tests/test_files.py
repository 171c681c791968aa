"""Files are whole or not there, and failures are one line."""

from pathlib import Path

import pytest

from embudget.errors import ConfigError
from embudget.files import read_text, save_text


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "laws.json"
    path.write_text("old")
    save_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "laws.json"
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot write"):
        save_text(path, "new")
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigError, match="cannot write"):
        save_text(tmp_path / "missing" / "laws.json", "new")


def test_an_unreadable_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*missing: No such file"):
        read_text(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a UTF-8 text file"):
        read_text(tmp_path / "binary")
