import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from embudget.training.checkpoint_folder import NUMBERS
from embudget.training.checkpoints import TENSORS, newest_checkpoint, write_checkpoint

NUMBERS_OF = {"losses": [[7, 0.1 + 0.2], [9, 1e-300]], "order": {"epoch": 1, "carried": [3]}, "seconds": 0.0}


def tensors_of(step: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {
        "weights": torch.randn(8, 5, generator=generator).T,  # not contiguous
        "odd": torch.tensor([float("nan"), float("-inf"), -0.0, 1e-45]),
        "half": torch.randn(3, generator=generator).bfloat16(),
        "step": torch.tensor(float(step)),
        "seen": torch.arange(4),
        "random": torch.randint(0, 256, (16,), generator=generator, dtype=torch.uint8),
    }


def write(folder: Path, step: int) -> Path:
    write_checkpoint(folder, step, tensors_of(step), NUMBERS_OF | {"step": step})
    return folder / f"step-{step:09d}"


def newest_step(folder: Path) -> int | None:
    found = newest_checkpoint(folder)
    return None if found is None else int(found.numbers["step"])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_read_is_what_was_written_to_the_last_bit(tmp_path: Path) -> None:
    write(tmp_path / "of" / "a run", 3)
    found = newest_checkpoint(tmp_path / "of" / "a run")
    assert found is not None
    assert found.numbers == NUMBERS_OF | {"step": 3}
    wanted = tensors_of(3)
    assert found.tensors.keys() == wanted.keys()
    for name, value in wanted.items():
        read = found.tensors[name]
        assert (read.dtype, read.shape) == (value.dtype, value.shape)
        bits = torch.uint8 if value.ndim else torch.int32  # equality of floats would pass -0.0 for 0.0, and fail NaN
        assert torch.equal(read.contiguous().view(bits), value.contiguous().view(bits)), name


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    assert newest_step(tmp_path / "none") is None
    for step in (8, 9, 10, 100):
        write(tmp_path, step)
        assert newest_step(tmp_path) == step
    assert names(tmp_path) == ["step-000000010", "step-000000100"]


def test_the_same_step_may_be_written_again(tmp_path: Path) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)
    write_checkpoint(tmp_path, 2, tensors_of(5), {"step": 5})
    assert newest_step(tmp_path) == 5
    assert len(names(tmp_path)) == 2


def truncated(path: Path) -> None:
    os.truncate(path / TENSORS, (path / TENSORS).stat().st_size // 2)


def flipped(path: Path) -> None:
    data = bytearray((path / TENSORS).read_bytes())
    data[-3] ^= 1
    (path / TENSORS).write_bytes(data)


def emptied(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()


TEARS: dict[str, Callable[[Path], object]] = {
    "truncated": truncated,
    "flipped": flipped,
    "emptied": emptied,
    "no tensors": lambda path: (path / TENSORS).unlink(),
    "no bytes": lambda path: (path / TENSORS).write_bytes(b""),
    "half the numbers": lambda path: os.truncate(path / NUMBERS, (path / NUMBERS).stat().st_size // 2),
    "not text": lambda path: (path / NUMBERS).write_bytes(b"\xff\x00\xfe"),
    "a list": lambda path: (path / NUMBERS).write_text("[]"),
    "another hash": lambda path: (path / NUMBERS).write_text(json.dumps({"tensors": "0", "numbers": {}})),
}


@pytest.mark.parametrize("tear", TEARS.values(), ids=TEARS.keys())
def test_a_torn_one_is_passed_over_for_the_one_before(tmp_path: Path, tear: Callable[[Path], object]) -> None:
    write(tmp_path, 4)
    torn = write(tmp_path, 5)
    assert newest_step(tmp_path) == 5
    tear(torn)
    assert newest_step(tmp_path) == 4
    write(tmp_path, 5)
    assert newest_step(tmp_path) == 5, "the torn one gives way"


def test_torn_ones_do_not_displace_what_is_written_after_them(tmp_path: Path) -> None:
    for step in (98, 99):
        truncated(write(tmp_path, step))
    assert newest_step(tmp_path) is None
    write(tmp_path, 1)
    assert newest_step(tmp_path) == 1
    assert names(tmp_path) == ["step-000000001"]


def test_one_of_no_use_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    for step in (4, 5):
        write(tmp_path, step)
    found = newest_checkpoint(tmp_path, lambda numbers: numbers["step"] < 5)
    assert found is not None and found.numbers["step"] == 4
    assert newest_checkpoint(tmp_path, lambda numbers: numbers["step"] < 4) is None
    assert newest_step(tmp_path) == 5


def test_a_part_left_over_is_neither_read_nor_in_the_way(tmp_path: Path) -> None:
    shutil.copytree(write(tmp_path, 4), tmp_path / "part")
    (tmp_path / "part" / "more").mkdir()
    shutil.rmtree(tmp_path / "step-000000004")
    assert newest_step(tmp_path) is None
    write(tmp_path, 5)
    assert names(tmp_path) == ["step-000000005"]
    assert names(tmp_path / "step-000000005") == [NUMBERS, TENSORS]


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write(tmp_path / "file" / "run", 1)


def test_a_full_disk_is_an_os_error_and_leaves_the_older_ones(tmp_path: Path) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_checkpoint(tmp_path, 3, {"large": torch.zeros(100_000)}, {"step": 3})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert newest_step(tmp_path) == 2
    assert names(tmp_path) == ["step-000000001", "step-000000002"], "what was begun would fill the disk for good"
    write(tmp_path, 3)
    assert names(tmp_path) == ["step-000000002", "step-000000003"]
