"""A folder that is damaged, changed or no folder of pairs is refused in one line."""

import json
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import Pairs, build_from, load_pairs

from .conftest import MadeSource, made_pairs


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    return build_from([MadeSource(made_pairs(20, 5))], tmp_path / "pairs")


def test_loaded_is_what_was_built(pairs: Pairs) -> None:
    loaded = load_pairs(str(pairs.folder))
    assert loaded == pairs
    assert loaded.table("test").num_rows == loaded.rows("test") > 0


def test_missing_empty_and_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, message in [
        ("nowhere", "pairs folder .*nowhere does not exist; build it with: embudget pairs build"),
        ("empty", "is not a pairs folder: it holds no pairs.json"),
        ("file", "pairs must be a folder, got the file"),
    ]:
        with pytest.raises(PairsError, match=message):
            load_pairs(tmp_path / name)


def test_a_truncated_file_is_refused(pairs: Pairs) -> None:
    path = pairs.folder / "train.parquet"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(PairsError, match=r"^.*train.parquet is damaged: \d+ bytes expected, got \d+; build the pairs"):
        load_pairs(pairs.folder)


def test_a_changed_byte_is_refused(pairs: Pairs) -> None:
    path = pairs.folder / "validation.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(PairsError, match=r"^.*validation.parquet is damaged: its content is not what pairs.json says"):
        load_pairs(pairs.folder)


def test_a_missing_file_is_refused(pairs: Pairs) -> None:
    (pairs.folder / "test.parquet").unlink()
    with pytest.raises(PairsError, match=r"^.*test.parquet is missing; build the pairs again$"):
        load_pairs(pairs.folder)


def test_a_file_that_disappears_after_loading(pairs: Pairs) -> None:
    (pairs.folder / "test.parquet").unlink()
    with pytest.raises(PairsError, match=r"^cannot read .*test.parquet"):
        pairs.table("test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format must be 1, got 2$"),
        ({"format": None}, "format must be 1, got None$"),
        ({"colour": "red"}, "colour is not a known field$"),
        ({"hash": None}, "hash: must be text, got nothing$"),
        ({"splits": {}}, "splits.train is required$"),
    ],
)
def test_another_pairs_json_is_refused(pairs: Pairs, change: dict[str, object], message: str) -> None:
    path = pairs.folder / "pairs.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PairsError, match=message) as caught:
        load_pairs(pairs.folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", '{"format": 1', "[]", "\x00"])
def test_a_broken_pairs_json_is_refused(pairs: Pairs, text: str) -> None:
    (pairs.folder / "pairs.json").write_text(text)
    with pytest.raises(PairsError, match=r"pairs.json(: format must be 1|: not valid JSON)"):
        load_pairs(pairs.folder)
