"""A model is known by all of its bytes, and a large one is read once."""

import os
import shutil
from pathlib import Path

import pytest

from embudget.suite import identity
from embudget.suite.identity import model_identity, tokenizer_identity, weights_identity


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(identity, "_KNOWN", {})
    return tmp_path / "cache"


def folder_of(path: Path, content: bytes) -> Path:
    path.mkdir(exist_ok=True)
    (path / "model.safetensors").write_bytes(content)
    return path


def test_any_byte_of_a_large_file_counts(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "KEPT_BYTES", 10)
    monkeypatch.setattr(identity, "SETTLED_SECONDS", 0.0)
    content = bytes(range(100))
    changed = [content[:place] + b"\xff" + content[place + 1 :] for place in (0, 20, 50, 99)]
    folders = [folder_of(tmp_path / str(number), one) for number, one in enumerate([content, *changed])]
    assert len({weights_identity(folder) for folder in folders}) == 5
    assert len(list((cache / "hashes").iterdir())) == 5


def test_a_file_written_over_with_its_old_time_is_noticed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "KEPT_BYTES", 0)
    folder = folder_of(tmp_path / "m", b"a" * 100)
    file = folder / "model.safetensors"
    times = file.stat()
    before = weights_identity(folder)
    with file.open("r+b") as handle:
        handle.write(b"b")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_mtime_ns == times.st_mtime_ns and file.stat().st_ino == times.st_ino
    assert weights_identity(folder) != before


def test_the_hash_of_a_settled_large_file_is_kept(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "KEPT_BYTES", 10)
    folder = folder_of(tmp_path / "m", b"a" * 100)
    found = weights_identity(folder)
    assert not cache.exists(), "it has just changed, and may change again within the same tick"
    monkeypatch.setattr(identity, "SETTLED_SECONDS", 0.0)
    weights_identity(folder)
    (kept,) = (cache / "hashes").iterdir()
    monkeypatch.setattr(identity, "_KNOWN", {})
    kept.write_text("ab" * 32)
    assert weights_identity(folder) != found, "what is kept is used"
    for damage in ("", "0" * 10, "no hash"):
        kept.write_text(damage)
        monkeypatch.setattr(identity, "_KNOWN", {})
        assert weights_identity(folder) == found


def test_a_cache_that_cannot_be_written_is_no_trouble(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "KEPT_BYTES", 10)
    monkeypatch.setattr(identity, "SETTLED_SECONDS", 0.0)
    cache.write_text("a file in the way")
    assert weights_identity(folder_of(tmp_path / "m", b"a" * 100)).startswith("sha256:")


@pytest.mark.parametrize(
    ("name", "of_weights", "of_tokenizer"),
    [("config.json", True, False), ("model.safetensors", True, False), ("tokenizer.json", False, True),
     ("tokenizer_config.json", False, True), ("README.md", False, False)],
)  # fmt: skip
def test_what_changes_a_run_changes_the_model(
    tmp_path: Path, tiny_llama: Path, name: str, of_weights: bool, of_tokenizer: bool
) -> None:
    folder = tmp_path / "m"
    shutil.copytree(tiny_llama, folder)
    before = weights_identity(folder), tokenizer_identity(folder), model_identity(folder)
    with (folder / name).open("ab") as file:
        file.write(b" ")
    after = weights_identity(folder), tokenizer_identity(folder), model_identity(folder)
    changes = [old != new for old, new in zip(before, after, strict=True)]
    assert changes == [of_weights, of_tokenizer, of_weights or of_tokenizer]
