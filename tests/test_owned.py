"""A folder is replaced only if embudget wrote all that is in it."""

from pathlib import Path

import pytest

from embudget.contents import LISTING
from embudget.errors import ConfigError, RunError
from embudget.owned import check_owned, list_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    for name in ("weights", "README.md", "1_Pooling/config.json"):
        (folder / name).write_text(name)
    list_files(folder)
    return folder


def test_what_was_written_may_be_replaced_wherever_it_was_moved(folder: Path, tmp_path: Path) -> None:
    check_owned(folder, "a model")
    check_owned(folder.rename(tmp_path / "moved"), "a model")
    (tmp_path / "moved" / "weights").unlink()
    check_owned(tmp_path / "moved", "a model")
    check_owned(tmp_path / "missing", "a model")
    (tmp_path / "empty").mkdir()
    check_owned(tmp_path / "empty", "a model")


@pytest.mark.parametrize("name", ["notes.txt", "1_Pooling/notes.txt", "deep/er/notes.txt", ".hidden", "zz.safetensors"])
def test_a_file_of_somebody_is_named(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("precious")
    with pytest.raises(RunError, match=rf"holds other files, such as {name}: move them away or name another folder$"):
        check_owned(folder, "a model", RunError)


@pytest.mark.parametrize("name", ["weights", "README.md", "1_Pooling/config.json"])
def test_a_changed_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text(name[::-1])
    with pytest.raises(ConfigError, match=rf"{name} was changed since: move it away or name another folder$"):
        check_owned(folder, "a model")


def test_links_are_somebodys(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("weights")
    (folder / "weights").unlink()
    (folder / "weights").symlink_to(tmp_path / "weights")
    with pytest.raises(ConfigError, match="weights was changed since"):
        check_owned(folder, "a model")
    (folder / "weights").unlink()
    (folder / "data").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="such as data"):
        check_owned(folder, "a model")


@pytest.mark.parametrize(
    "listing", ["", "[]", "{}", '{"format": 2, "files": {}}', '{"format": 1, "files": {"weights": 1}}']
)
def test_a_listing_that_is_none_vouches_for_nothing(folder: Path, listing: str) -> None:
    (folder / LISTING).write_text(listing)
    with pytest.raises(ConfigError, match=f"{LISTING} is damaged: move the folder away or name another$"):
        check_owned(folder, "a model")
    (folder / LISTING).unlink()
    with pytest.raises(ConfigError, match=f"and its {LISTING}; .* holds other files, such as 1_Pooling/config.json"):
        check_owned(folder, "a model")
