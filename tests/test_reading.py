"""Whatever a user's file or text holds is read, or refused in one line that says where and why."""

import os
import time
from itertools import pairwise
from pathlib import Path

import pytest

from embudget.errors import ConfigError
from embudget.reading import MOST_YAML_VALUES, parse_json, parse_yaml, read_text, read_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"x: line 3: a is there twice"),
        ("a: {b: 1, b: 2}", r"x: line 1: b is there twice"),
        ("a: [", r"x: not valid YAML: line 2: "),
        ("a: !!timestamp 2024-99-99", r"x: line 1: unknown tag .*timestamp: leave it out"),
        ("a: !!python/object:os.system {}", r"x: line 1: unknown tag "),
        ("a: !!bool maybe", r"x: not valid YAML: a value cannot be read"),
        ("a: !!int ''", r"x: not valid YAML: a value cannot be read"),
        ("a: " + "9" * 5000, r"x: not valid YAML: a value cannot be read"),
        ("a: " + "[" * 20000, r"x: line 1: lists and mappings lie more than 64 deep"),
        ("- " * 20000, r"x: line 1: lists and mappings lie more than 64 deep"),
        ("a: &a [*a]", r"x: line 1: \*a stands for nothing, or for itself"),
        ("a: *b", r"x: line 1: \*b stands for nothing, or for itself"),
        ("a: 1\n---\nb: 2", r"x: not valid YAML: line 2: but found another document"),
        ("? [a]\n: 1", r"x: line 1: a key must be a plain value"),
        ("a: \x00", r"x: not valid YAML"),
    ],
)
def test_bad_yaml_is_one_line(text: str, message: str) -> None:
    started = time.process_time()
    with pytest.raises(ConfigError, match=f"^{message}") as refused:
        parse_yaml(text, "x")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300
    assert time.process_time() - started < 5


def test_aliases_may_repeat_but_not_multiply() -> None:
    assert parse_yaml("a: &a {b: 1}\nc: *a\nd: {<<: *a, b: 2}", "x") == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 2}}
    names = "abcdefghij"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise(names)
    )
    with pytest.raises(ConfigError, match=f"more than {MOST_YAML_VALUES:,} values"):
        parse_yaml(bomb, "x")


def test_values_are_those_of_before() -> None:
    """1e12 is a text in YAML 1.1, which a field of numbers reads; a date is one too, since no field is a date."""
    assert parse_yaml("[1e12, 1.0e+12, yes, 2024-13-45, 2024-01-02, 0x10, ~]", "x") == [
        "1e12", 1e12, True, "2024-13-45", "2024-01-02", 16, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must hold a thing, got nothing"),
        (b"[1]", "must hold a thing, got a list"),
        (b"1: 2", "must hold a thing, got the key 1, which is no text"),
        ("a: é".encode("latin-1"), "not a UTF-8 text file"),
        ("a: 1".encode("utf-16"), "not a UTF-8 text file"),
        (b"a: " + b"x" * 5_000_000, "5 MB, more than the 4.19 MB that are read"),
    ],
)
def test_a_file_that_holds_no_mapping_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_yaml(tmp_path / "a.yaml", "a thing")


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(tmp_path / "a.yaml", "a thing") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "x: not valid JSON: it is nested too deeply"),
        ('{"a": 1, "a": 2}', "x: not valid JSON: a is there twice in one object"),
        ('{"a": NaN}', "x: not valid JSON: NaN is no number"),
        ('{"a": -Infinity}', "x: not valid JSON: -Infinity is no number"),
        ("9" * 5000, "x: not valid JSON: a number has too many digits"),
        ('{"a": [1, 2', "x: not valid JSON, perhaps cut short: line 1: "),
        ("", "x: not valid JSON, perhaps cut short: line 1: "),
    ],
)
def test_bad_json_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}") as refused:
        parse_json(text, "x")
    assert len(str(refused.value)) < 300


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    cases = {
        tmp_path / "pipe": "it is no regular file", Path("/dev/zero"): "it is no regular file",
        tmp_path: "it is a folder",
        tmp_path / ("n" * 300): "File name too long", tmp_path / "file" / "x": "Not a directory",
        tmp_path / "missing": "No such file", Path("a\x00b"): "null byte",
    }  # fmt: skip
    for path, message in cases.items():
        with pytest.raises(ConfigError, match=message):
            read_text(path)
