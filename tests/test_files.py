"""Files are whole or not there, and failures are one line."""

from pathlib import Path

import pytest

from embudget.errors import ConfigError
from embudget.files import pieces, save_text, whole_folder


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
