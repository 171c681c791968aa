"""Pickles are told from other files by what they are, since loading one runs what it names."""

import collections
import io
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from embudget.exports.pickles import is_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
SHARED = ("one", "tuple")
VALUES = [
    {"a": 1, "b": [1.5, "x\n", None, True], "c": (1, 2, 3, 4), "d": b"\x00\xff"},
    collections.OrderedDict(a=np.arange(3.0)),
    [SHARED, SHARED, {1, 2}, complex(1, 2), 10**40],
    Path("a/b"),
    7,
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_python_pickles_is_a_pickle(tmp_path: Path, value: object, protocol: int) -> None:
    (tmp_path / "notes.txt").write_bytes(pickle.dumps(value, protocol))
    assert is_pickle(tmp_path / "notes.txt")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_older_torch_saved_is_a_pickle(tmp_path: Path, protocol: int) -> None:
    """Several pickles, then the numbers as they are."""
    file = io.BytesIO()
    torch.save({"a": torch.ones(2)}, file, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    (tmp_path / "weights").write_bytes(file.getvalue())
    assert is_pickle(tmp_path / "weights")


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'id'\ntR.",
        b"cos\nsystem\n(S'id'\ntRand whatever follows",
        b"(S'id'\nios\nsystem\n.",
        b"(cos\nsystem\nS'id'\no",
        b"I7\n.cos\nsystem\n(S'id'\ntp0\n0g0\nRx",
    ],
)
def test_a_program_written_by_hand_is_a_pickle_though_it_does_not_end_as_one(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "notes.txt").write_bytes(program)
    assert is_pickle(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    "text",
    [
        "", "mine", "N.B. this is a note", "I am a note.", "K2. The mountain\n", "(see RFC 2119)",
        "Version 1\n.gitignore",
        "carrot\napple\ncabbage\npear\nRadish\n", "carrot\napple\ncabbage\npear\nbanana\n", "cat\ndog\n", "1. First\n",
        "]. no", "# A card\n", '{"a": 1}', "[1, 2]", "<xml/>", "].x", "S'quoted'\ns", "2.", "0.", "t.", "(.",
    ],
)  # fmt: skip
def test_texts_are_no_pickles(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.txt").write_text(text)
    assert not is_pickle(tmp_path / "notes.txt")


def test_files_that_embudget_writes_are_no_pickles(tmp_path: Path) -> None:
    """Nor is a file of numbers that begins like a pickle."""
    (tmp_path / "openvino_model.bin").write_bytes(bytes(range(256)))
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes([3, 0, 0, 0, 44, 1, 0, 0, 0, 0, 0, 0]) + bytes(64))
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a\x12\x07pytorch")
    for first in b"(]})NKMJGTXUVSILFcu.":
        header = bytes([first, 1, 0, 0, 0, 0, 0, 0]) + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
        (tmp_path / f"{first}.safetensors").write_bytes(header + b" " * 256)
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    assert [path.name for path in tmp_path.iterdir() if is_pickle(path)] == []


def test_numbers_alone_are_no_pickles(tmp_path: Path) -> None:
    rng, path = random.Random(0), tmp_path / "openvino_model.bin"
    for _ in range(2000):
        path.write_bytes(rng.randbytes(400))
        assert not is_pickle(path)
