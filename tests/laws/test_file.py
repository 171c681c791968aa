"""Files are whole or not there, and failures are one line."""

from pathlib import Path

import pytest

from embudget.errors import ConfigError
from embudget.laws.file import save_text


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
