"""Weights are the shares of the training pairs, and the held-out pairs are the same whatever they are."""

import json
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import Pairs, build_pairs, load_pairs
from embudget.pairs.weights import split_weights
from tests.command_line import Run


def _write(path: Path, count: int) -> Path:
    rows = [{"query": f"{path.stem} asks {n}", "positive": f"{path.stem} says {n}"} for n in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    return [f"files:{_write(tmp_path / name, count)}" for name, count in [("a.jsonl", 1000), ("b.jsonl", 200)]]


def _build(folder: Path, sources: list[str], *weights: str) -> Pairs:
    weighed = [f"{source}={weight}" for source, weight in zip(sources, weights, strict=True)] if weights else sources
    return build_pairs(weighed, folder / "-".join(("out", *weights)), on_remark=lambda line: None)


def _train(pairs: Pairs, sources: list[str]) -> list[int]:
    return [pairs.info.sources[source].pairs["train"] for source in sources]


def test_shares_hold_and_the_scarcest_source_keeps_all(tmp_path: Path, sources: list[str]) -> None:
    whole = _train(_build(tmp_path, sources), sources)
    assert whole[0] > 4 * whole[1] > 0
    for weights, expected in [
        (("0.5", "0.5"), [whole[1], whole[1]]),
        (("1", "1"), [whole[1], whole[1]]),
        (("3", "1"), [3 * whole[1], whole[1]]),
        (("0.9", "0.1"), [whole[0], whole[0] // 9]),
    ]:
        assert _train(_build(tmp_path, sources, *weights), sources) == expected


def test_held_out_pairs_do_not_depend_on_the_weights(tmp_path: Path, sources: list[str]) -> None:
    built = [_build(tmp_path, sources, *weights) for weights in [(), ("1", "1"), ("1", "9")]]
    for split in ("validation", "test"):
        tables = [pairs.table(split) for pairs in built]
        assert tables[0] == tables[1] == tables[2]
    trained = [set(pairs.table("train")["query"].to_pylist()) for pairs in built]
    assert trained[2] < trained[1] < trained[0] and len({pairs.hash for pairs in built}) == 3


def test_the_request_keeps_the_weights(tmp_path: Path, sources: list[str]) -> None:
    pairs = _build(tmp_path, sources, "2", "1")
    assert pairs.info.request.weights == dict(zip(sources, (2, 1), strict=True))
    over = pairs.info.sources[sources[0]].dropped["over the weight"]
    assert over == sum(_train(_build(tmp_path, sources), sources)) - pairs.rows("train")


def test_the_command(run: Run, tmp_path: Path, sources: list[str]) -> None:
    weighed = [f"{source}=0.5" for source in sources]
    done = run("pairs", "build", *weighed, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    kept = _train(load_pairs(tmp_path / "out"), sources)[0]
    over = _train(_build(tmp_path, sources), sources)[0] - kept
    assert f"{sources[0]}: {over} training pairs were left out, {kept} are what its weight allows\n" in done.err
    assert "validation holds" not in done.err, "the share is that of all pairs that were split"


def test_only_a_number_at_the_end_that_is_no_file_is_a_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "year=2024").mkdir()
    names = ["files:a=b.csv", "files:year=2024", "demo"]
    assert split_weights(names) == (names, {})
    assert split_weights(["files:a=b.csv=2", "files:year=2024=1e1", "hub:org/name:small=.5"]) == (
        ["files:a=b.csv", "files:year=2024", "hub:org/name:small"],
        {"files:a=b.csv": 2, "files:year=2024": 10, "hub:org/name:small": 0.5},
    )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["demo=0"], "the weight of demo must be a number above 0, got 0"),
        (["demo=-1"], "the weight of demo must be a number above 0, got -1"),
        (["demo=nan"], "the weight of demo must be a number above 0, got nan"),
        (["demo=1e999"], "the weight of demo must be a number above 0, got 1e999"),
        (["demo=half"], "the weight of demo must be a number above 0, got half"),
        (["demo="], "the weight of demo must be a number above 0, got nothing"),
        (["demo=1", "debian"], "all sources must have a weight or none, got demo with one and debian without"),
        (["demo=1", "demo=2"], "each source must be named once to be weighed, got demo twice"),
        (["demo=1", "aws-docs=1"], "aws-docs must have one weight, got several: demo holds it as well"),
        (["files:a.jsonl=much"], "the weight of files:a.jsonl must be a number above 0, got much"),
        (["files:b.jsonl=much"], "at 'b.jsonl=much'"),
        (["=1"], "source must be one of"),
        (["files:a.jsonl=1", "files:few.jsonl=1e9"], "a.jsonl at weight 1 leaves no training pair of it: its weight"),
        (["files:a.jsonl=1", "files:copy.jsonl=1"], "copy.jsonl at weight 1 leaves no training pair of it: it has"),
    ],
)  # fmt: skip
def test_a_weight_that_cannot_be_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = _write(tmp_path / "a.jsonl", 100)
    (tmp_path / "copy.jsonl").write_bytes(path.read_bytes())
    _write(tmp_path / "few.jsonl", 50)
    done = run("pairs", "build", *texts, "--out", "out")
    assert done.code == 2 and done.err.count("\n") == 1 and message in done.err, done.err
    assert not (tmp_path / "out").exists()
    with pytest.raises(PairsError):
        build_pairs(texts, "out")
