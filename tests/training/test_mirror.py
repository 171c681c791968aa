"""Checkpoints at a URL: which are fetched, which stay, and what becomes of uploads while nothing can be written."""

import json
import logging
import shutil
import threading
import time
from itertools import count
from pathlib import Path

import fsspec
import pytest

from embudget.errors import RemoteError
from embudget.remote import attempts
from embudget.training import mirror as mirror_module
from embudget.training import uploads as uploads_module
from embudget.training.mirror import Mirror, checkpoints_at
from embudget.training.uploads import Uploads

NUMBERS = "state.json"
_numbers = count()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(mirror_module, "UPLOAD_PATIENCE", 0.05)
    monkeypatch.setattr(mirror_module, "REMOVE_PATIENCE", 0.05)


@pytest.fixture
def url() -> str:
    return f"memory://checkpoints-{next(_numbers)}/x"


def machine(tmp_path: Path, name: str, url: str) -> Mirror:
    return Mirror(tmp_path / name, url)


def written(mirror: Mirror, step: int, text: str = "") -> Path:
    """A whole checkpoint in the local folder."""
    folder = mirror.folder / "run" / f"step-{step:09d}"
    folder.mkdir(parents=True)
    (folder / "state.safetensors").write_text(f"tensors {step} {text}")
    (folder / NUMBERS).write_text(json.dumps({"tensors": "", "numbers": {"step": step}}))
    return folder


def steps(mirror: Mirror) -> list[str]:
    return sorted(path.name for path in (mirror.folder / "run").glob("step-*"))


def test_another_machine_goes_on_from_the_newest(tmp_path: Path, url: str) -> None:
    one, other = machine(tmp_path, "one", url), machine(tmp_path, "other", url)
    assert other.newest_step("run") == -1
    other.fetch_newer("run", NUMBERS)  # there is none, which is no trouble
    for step in (5, 10, 15):
        one.put("run", written(one, step))
    assert other.newest_step("run") == 15
    other.fetch_newer("run", NUMBERS)
    assert steps(other) == ["step-000000015"]
    assert (other.folder / "run/step-000000015/state.safetensors").read_text() == "tensors 15 "
    assert [step for step in one._steps("run")] == [15, 10], "the oldest was removed there"


def test_what_is_older_than_the_local_one_is_not_fetched(tmp_path: Path, url: str) -> None:
    one, other = machine(tmp_path, "one", url), machine(tmp_path, "other", url)
    one.put("run", written(one, 5))
    written(other, 6)
    other.fetch_newer("run", NUMBERS)
    assert steps(other) == ["step-000000006"]


def test_the_newest_of_use_is_fetched(tmp_path: Path, url: str) -> None:
    one, other = machine(tmp_path, "one", url), machine(tmp_path, "other", url)
    for step in (5, 10):
        one.put("run", written(one, step))
    other.fetch_newer("run", NUMBERS, lambda said: said["step"] < 10)
    assert steps(other) == ["step-000000005"]


@pytest.mark.parametrize("damage", ["a file", "the numbers", "no numbers", "the manifest", "no manifest"])
def test_a_torn_one_is_passed_over(tmp_path: Path, url: str, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    one, other = machine(tmp_path, "one", url), machine(tmp_path, "other", url)
    for step in (5, 10):
        one.put("run", written(one, step))
    fs, path = fsspec.core.url_to_fs(f"{url}/run/step-000000010")
    names = {"a file": "state.safetensors", "the numbers": NUMBERS, "the manifest": "embudget-manifest.json"}
    if damage in names:
        fs.pipe_file(f"{path}/{names[damage]}", b"torn")
    else:
        fs.rm_file(f"{path}/{NUMBERS if damage == 'no numbers' else 'embudget-manifest.json'}")
    other.fetch_newer("run", NUMBERS)
    assert steps(other) == ["step-000000005"]
    assert not list((other.folder / "run").glob(".*")), "nothing of it stays"
    assert ("passed over" in caplog.text) is (damage in ("a file", "the numbers", "no numbers"))


def test_removing_and_leaving_one(tmp_path: Path, url: str) -> None:
    one = machine(tmp_path, "one", url)
    for step in (5, 10):
        one.put("run", written(one, step))
    one.put("run/branch-a", written(one, 15))
    one.leave_newest("run")
    fs, path = fsspec.core.url_to_fs(url)
    assert {name.rpartition("/run/")[2].partition("/")[0] for name in fs.find(path)} == {"step-000000010"}
    one.remove("run")
    assert not fs.find(path)


def test_kept_records_reach_another_machine(tmp_path: Path, url: str) -> None:
    one, other = machine(tmp_path, "one", url), machine(tmp_path, "other", url)
    one.folder.mkdir()
    (one.folder / "a.record.json").write_text("{}")
    one.put_file(one.folder / "a.record.json")
    one.put("run", written(one, 5))
    other.fetch_files(".record.json")
    assert [path.name for path in other.folder.iterdir()] == ["a.record.json"]
    other.remove_file("a.record.json")
    other.remove_file("a.record.json")
    third = machine(tmp_path, "third", url)
    third.fetch_files(".record.json")
    assert not list(third.folder.iterdir())


def test_a_url_that_cannot_be_written_is_found_out_first(tmp_path: Path) -> None:
    folder, none = checkpoints_at(tmp_path / "plain")
    assert folder == tmp_path / "plain" and none is None
    folder, mirror = checkpoints_at("memory://bucket/checkpoints/")
    assert mirror == Mirror(folder, "memory://bucket/checkpoints") and folder.is_relative_to(tmp_path / "cache")
    (tmp_path / "file").touch()
    with pytest.raises(RemoteError, match="cannot write file://"):
        checkpoints_at(f"file://{tmp_path}/file/inner")


class Down:
    """A URL that cannot be written until it is told so, as S3 answers 500 for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.down, self.asked, self.refused, self.slow = False, 0, 0, 0.0
        original = Mirror.put

        def put(mirror: Mirror, run: str, step: Path, stop: threading.Event | None = None) -> None:
            self.asked += 1
            time.sleep(self.slow)
            if self.down:
                self.refused += 1
                raise RemoteError("cannot write memory://x: Internal Server Error, for 20 s")
            original(mirror, run, step, stop)

        monkeypatch.setattr(Mirror, "put", put)


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> Down:
    return Down(monkeypatch)


def test_uploads_do_not_keep_the_training_waiting(tmp_path: Path, url: str, down: Down) -> None:
    """The first and the last of ten checkpoints are uploaded, and whichever was newest when an upload ended."""
    one, down.slow = machine(tmp_path, "one", url), 0.5
    uploads, started = Uploads(one, "run"), time.monotonic()
    for step in range(10):
        uploads.add(written(one, step))
    assert time.monotonic() - started < 10 * down.slow
    assert uploads.wait(10)
    assert one.newest_step("run") == 9 and down.asked < 5
    uploads.end()
    assert not list((one.folder / "run").glob("uploading-*"))


def test_a_checkpoint_that_is_displaced_meanwhile_arrives_whole(tmp_path: Path, url: str, down: Down) -> None:
    one, down.slow = machine(tmp_path, "one", url), 0.3
    uploads, step = Uploads(one, "run"), written(one, 1)
    uploads.add(step)
    for path in step.iterdir():
        path.unlink()
    step.rmdir()
    assert uploads.wait(10) and one.newest_step("run") == 1
    uploads.end()


def test_a_step_that_is_written_again_while_it_waits_arrives_whole(tmp_path: Path, url: str, down: Down) -> None:
    """As a trunk does where a branch leaves it: once for the time that has passed, once for what goes on from it."""
    one, down.slow = machine(tmp_path, "one", url), 0.3
    uploads = Uploads(one, "run")
    uploads.add(written(one, 1))
    time.sleep(0.1)  # it is being uploaded
    uploads.add(written(one, 2))
    shutil.rmtree(one.folder / "run" / "step-000000002")
    uploads.add(written(one, 2, "shared"))
    assert uploads.wait(10) and one.newest_step("run") == 2
    other = machine(tmp_path, "other", url)
    other.fetch_newer("run", NUMBERS)
    assert (other.folder / "run" / "step-000000002" / "state.safetensors").read_text() == "tensors 2 shared"
    uploads.end()


def test_the_next_upload_makes_up_for_those_that_failed(
    tmp_path: Path, url: str, down: Down, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads_module, "LONGEST_PAUSE", 0.05)
    one, down.down = machine(tmp_path, "one", url), True
    uploads = Uploads(one, "run")
    for step in (1, 2, 3):
        uploads.add(written(one, step))
        time.sleep(0.05)
    assert not uploads.wait(0.1) and down.refused >= 3 and one.newest_step("run") == -1
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    (said,) = warnings
    assert said == (
        "cannot upload a checkpoint: cannot write memory://x: Internal Server Error, for 20 s; training goes on, and "
        "the next one makes up for it"
    )
    down.down = False
    assert uploads.wait(5) and one._steps("run") == [3]
    assert "are uploaded to" in caplog.records[-1].getMessage()
    uploads.end()


def test_the_end_does_not_wait_for_a_url_in_trouble(tmp_path: Path, url: str, down: Down) -> None:
    one, down.down = machine(tmp_path, "one", url), True
    uploads = Uploads(one, "run")
    uploads.add(written(one, 1))
    time.sleep(0.05)
    started = time.monotonic()
    uploads.end(0.3)
    assert 0.25 < time.monotonic() - started < 2
    assert not list((one.folder / "run").glob("uploading-*"))
