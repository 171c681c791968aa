"""Equal requests give equal pairs, nothing leaks between splits, and nothing of the user's is overwritten."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair, build_from, build_pairs, load_pairs
from embudget.pairs.splitting import SPLITS

from .conftest import MadeSource, made_pairs

EXPECTED_FILES = ["pairs.json", "test.parquet", "train.parquet", "validation.parquet"]


@pytest.fixture
def source() -> MadeSource:
    return MadeSource(made_pairs(50, 8))


def test_no_group_and_no_text_is_in_two_splits(source: MadeSource, tmp_path: Path) -> None:
    pairs = build_from([source], tmp_path / "out")
    groups = [set(pairs.table(split).column("group").to_pylist()) for split in SPLITS]
    texts = [
        {text.lower() for side in ("query", "positive") for text in pairs.table(split).column(side).to_pylist()}
        for split in SPLITS
    ]
    for sets in (groups, texts):
        assert all(sets) and len(set.union(*sets)) == sum(map(len, sets))
    assert len(set.union(*texts)) == 2 * sum(map(pairs.rows, SPLITS))


def test_info_counts_what_the_files_hold(source: MadeSource, tmp_path: Path) -> None:
    source.pairs = [*source.pairs, source.pairs[0], RawPair("too short", "whatever stands on the other side", "x")]
    info = build_from([source], tmp_path / "out").info
    for split in SPLITS:
        table = pq.read_table(tmp_path / "out" / f"{split}.parquet")
        assert table.column_names == ["query", "positive", "group", "source"]
        assert info.splits[split].pairs == info.sources["made"].pairs[split] == table.num_rows
        assert info.splits[split].groups == len(table.column("group").unique())
    of_source = info.sources["made"]
    assert of_source.dropped == {"query too short": 1, "duplicate query": 1}
    assert of_source.candidates == sum(of_source.pairs.values()) + 2 == 402
    assert (of_source.licences, of_source.versions) == ({"made": "made up"}, {"made": "402"})


def test_equal_requests_give_equal_bytes(source: MadeSource, tmp_path: Path) -> None:
    one, other = build_from([source], tmp_path / "one"), build_from([source], tmp_path / "other")
    assert one.info == other.info
    assert sorted(path.name for path in one.folder.iterdir()) == EXPECTED_FILES
    for name in EXPECTED_FILES:
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()


def test_the_hash_is_of_the_content(source: MadeSource, tmp_path: Path) -> None:
    hashes = [build_from([source], tmp_path / "a").hash, build_from([source], tmp_path / "b", seed=1).hash]
    source.pairs = source.pairs[1:]
    hashes.append(build_from([source], tmp_path / "c").hash)
    assert len(set(hashes)) == 3 and all(len(one) == 16 for one in hashes)


def test_the_known_hash(tmp_path: Path) -> None:
    # guards what studies are keyed by: if it changes, raise CLEANING in manifest.py
    assert build_from([MadeSource(made_pairs(5, 4))], tmp_path / "out").hash == "c89d0a62e0d02255"


def test_an_equal_request_is_reused_and_another_one_replaces(source: MadeSource, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = build_from([source], out)
    assert build_from([source], out) == first
    assert source.reads == 1
    limited = build_from([source], out, limit=100)
    assert source.reads == 2 and sum(map(limited.rows, SPLITS)) == 100
    assert load_pairs(out).info == limited.info
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_damaged_result_is_built_again(source: MadeSource, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built = build_from([source], out)
    (out / "test.parquet").write_bytes(b"")
    assert build_from([source], out).info == built.info
    assert source.reads == 2


@pytest.mark.parametrize("error", [PairsError("broken off"), KeyboardInterrupt()])
def test_an_interrupted_build_leaves_nothing_and_what_was_there(
    source: MadeSource, tmp_path: Path, error: Exception
) -> None:
    out = tmp_path / "out"
    before = build_from([source], out)
    failing = MadeSource(source.pairs[:50], fails=error)
    for place in (out, tmp_path / "fresh"):
        with pytest.raises(type(error)):
            build_from([failing], place)
    assert load_pairs(out).info == before.info
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_is_one_line_and_leaves_nothing(
    source: MadeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(table: object, path: Path, **options: object) -> None:
        path.write_bytes(b"the beginning")
        raise OSError(28, "Error writing bytes to file. Detail: [errno 28]\nNo space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(PairsError, match=r"^cannot write .*out: No space left on device$"):
        build_from([source], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_no_permission_is_found_out_before_reading(source: MadeSource, tmp_path: Path) -> None:
    # a file where a folder is needed: root, who may write anywhere, cannot write there either
    (tmp_path / "file").write_text("")
    with pytest.raises(PairsError, match=r"^cannot write .*: (Not a directory|File exists)$"):
        build_from([source], tmp_path / "file" / "out")
    assert source.reads == 0


@pytest.mark.parametrize("names", [["notes.txt"], ["pairs.json", "notes.txt"], ["train.parquet"]])
def test_a_folder_of_something_else_is_never_touched(source: MadeSource, tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(
        PairsError, match=r"^out must be a new folder or a folder of pairs; .* holds other files, such as "
    ):
        build_from([source], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert source.reads == 0


def test_what_appears_while_building_is_not_touched(source: MadeSource, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def meanwhile(stage: str, count: int) -> None:
        if stage == "writing":
            out.mkdir()
            (out / "notes.txt").write_text("mine")

    with pytest.raises(PairsError, match=r"holds other files, such as notes.txt"):
        build_from([source], out, on_progress=meanwhile)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "notes.txt"]


def test_a_file_is_not_overwritten(source: MadeSource, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(PairsError, match=r"^out must be a folder, got the file"):
        build_from([source], tmp_path / "out")


def test_an_empty_folder_and_missing_parents_are_fine(source: MadeSource, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert build_from([source], tmp_path / "empty").hash == build_from([source], tmp_path / "a" / "b").hash


def test_too_few_groups_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match=r"^too few pairs: 40 in 2 group\(s\).* at least 3 groups are needed$"):
        build_from([MadeSource(made_pairs(2, 20))], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_progress_tells_the_stages(source: MadeSource, tmp_path: Path) -> None:
    stages: list[tuple[str, int]] = []
    build_from([source], tmp_path / "out", on_progress=lambda stage, count: stages.append((stage, count)))
    assert stages == [("reading made", 400), ("near-duplicates", 400), ("writing", 400)]


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        (["wikipedia"], {}, "^source must be one of demo, general, aws-docs, .* or files:PATH, got 'wikipedia'$"),
        (["files:"], {}, "^source must be one of .*, got 'files:'$"),
        ([], {}, "^at least one source is needed"),
        ("demo", {}, r"^sources must be a list such as \['demo'\], got 'demo'$"),
        (["demo"], {"query_column": "q"}, "^query_column and positive_column must be given together$"),
        (["demo"], {"query_column": "q", "positive_column": "p"}, "^columns can be named for files: and hub: only"),
        (["aws-docs"], {"limit": 0}, "limit: must be > 0, got 0$"),
        (["aws-docs"], {"seed": -1}, "seed: must be >= 0, got -1$"),
    ],
)
def test_bad_arguments(tmp_path: Path, sources: list[str], options: dict[str, object], message: str) -> None:
    with pytest.raises(PairsError, match=message):
        build_pairs(sources, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
