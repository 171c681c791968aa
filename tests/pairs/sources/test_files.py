"""Files are found by path, folder and pattern, and give the same pairs wherever they lie."""

import json
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import Pairs, build_pairs
from embudget.pairs.sources.files import Files
from embudget.pairs.splitting import SPLITS
from tests.pairs.test_formats import EXPECTED, write_pairs


def test_folder_and_pattern(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (
        write_pairs(tmp_path / "a.jsonl"),
        write_pairs(tmp_path / "sub" / "b.csv"),
        (tmp_path / "README").write_text("no data"),
    )
    assert list(Files(str(tmp_path)).read()) == EXPECTED * 2
    assert list(Files(str(tmp_path / "*.jsonl")).read()) == EXPECTED
    assert len(Files(str(tmp_path / "**" / "*")).versions()) == 2


def test_a_file_of_unknown_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(
        PairsError, match=r"^a pairs file must end in .jsonl, .csv, .tsv, .parquet, .json, .ndjson, got"
    ):
        list(Files(str(tmp_path / "a.txt")).read())


def test_nothing_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.jsonl", tmp_path / "*.csv"):
        with pytest.raises(PairsError, match=r"^no file ending in .* at "):
            Files(str(path)).versions()


def test_the_pairs_do_not_depend_on_where_the_file_lies(tmp_path: Path) -> None:
    content = "\n".join(
        json.dumps({"query": f"What is number {n}?", "positive": f"It comes after {n - 1}.", "group": n % 20})
        for n in range(100)
    )
    built: list[Pairs] = []
    for place in ("here", "some/where/else"):
        path = tmp_path / place / "faq.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text(content)
        built.append(build_pairs([f"files:{path}"], tmp_path / f"out{len(built)}"))
    one, other = built
    assert one.hash == other.hash
    for split in SPLITS:
        columns = [pairs.table(split).drop_columns("source").to_pylist() for pairs in built]
        assert columns[0] == columns[1] != []
    assert {row["group"].partition("/")[0] for row in columns[0]} == {"files"}


def test_a_users_long_text_stays_whole(tmp_path: Path) -> None:
    long = " ".join(f"word{number}" for number in range(500))
    path = tmp_path / "a.jsonl"
    rows = [{"query": long, "positive": f"{long} and an answer {long[::-1]}"}]
    rows += [{"query": f"what is {n}", "positive": f"{n} plus zero"} for n in range(30)]
    path.write_text("\n".join(map(json.dumps, rows)))
    pairs = build_pairs([f"files:{path}"], tmp_path / "out")
    assert long in {text for split in SPLITS for text in pairs.table(split).column("query").to_pylist()}


def test_the_whole_way_and_again_after_a_change(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    lines = ["title,body"] + [f"What is number {n}?,It comes after {n - 1} and before {n + 1}." for n in range(100)]
    path.write_text("\n".join(lines))
    source, out = [f"files:{path}"], tmp_path / "out"
    first = build_pairs(source, out, query_column="title", positive_column="body")
    assert [first.rows(split) for split in ("train", "validation", "test")] == [80, 10, 10]
    path.write_text("\n".join(lines[:-1]))
    second = build_pairs(source, out, query_column="title", positive_column="body")
    assert sum(second.rows(split) for split in ("train", "validation", "test")) == 99
    assert second.info.request.versions.keys() == {str(path)}
