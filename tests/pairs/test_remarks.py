"""A build says what it left out, on stderr and in pairs.json, again and again."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from embudget.cli import console
from embudget.pairs import build_pairs, load_pairs, remarks
from tests.command_line import Run


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def _rows(count: int, **more: object) -> list[dict[str, Any]]:
    return [{"query": f"what is {n}", "positive": f"{n} plus zero", **more} for n in range(count)]


def _build(run: Run, path: Path, *options: str) -> tuple[str, str]:
    done = run("pairs", "build", f"files:{path}", "--out", path.parent / "out", *options)
    assert done.code == 0, done.err
    return done.err, done.out


def test_nothing_left_out_is_nothing_said(run: Run, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", _rows(200, group=None))
    assert _build(run, path)[0] == ""


def test_columns_that_are_not_used_are_named(run: Run, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", _rows(200, title="no", score=3, group=None))
    for _ in range(2):  # the second time the pairs are opened
        assert _build(run, path)[0] == f"files:{path}: not used: column title, score\n"
    assert load_pairs(tmp_path / "out").info.sources[f"files:{path}"].ignored_columns == ("title", "score")


@pytest.mark.parametrize(("repeated", "said"), [(20, False), (50, False), (51, True), (150, True)])
def test_over_a_fifth_dropped_is_said_with_the_reasons(run: Run, tmp_path: Path, repeated: int, said: bool) -> None:
    path = _write(tmp_path / "a.jsonl", [*_rows(200), *_rows(repeated)])
    err, _ = _build(run, path)
    total = 200 + repeated
    line = f"{repeated} of {total} pairs ({repeated / total:.0%}) were left out: {repeated} duplicate pair\n"
    assert err == (f"files:{path}: {line}" if said else "")


def test_bad_rows_are_counted_and_listed(run: Run, tmp_path: Path) -> None:
    lines = ["question,answer", *(f"what is {n},{n} plus zero" for n in range(100))]
    for at in range(10, 80, 10):
        lines[at] += ",one too many"
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines))
    done = run("pairs", "build", f"files:{path}", "--out", tmp_path / "out")
    assert done.code == 2 and "a.csv line 11: must have 2 columns as the header, got 3; mend it" in done.err
    assert not (tmp_path / "out").exists()
    err, out = _build(run, path, "--skip-bad")
    assert err.splitlines()[:2] == [
        f"files:{path}: read as pairs: question, answer",
        f"files:{path}: 7 bad rows were left out, the first of them:",
    ]
    assert [line.partition("a.csv ")[2] for line in err.splitlines()[2:]] == [
        f"line {at + 1}: must have 2 columns as the header, got 3" for at in range(10, 60, 10)
    ]
    assert "7 bad row" in out
    source = load_pairs(tmp_path / "out").info.sources[f"files:{path}"]
    assert source.candidates == 100 and source.dropped == {"bad row": 7} and len(source.bad_rows) == 5


def test_labels_are_said(run: Run, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", [{"query": f"what is {n}", "positive": f"{n % 3}"} for n in range(800)])
    assert "800 of 800 pairs have a positive that over 5 pairs share: such labels are" in _build(run, path)[0]
    assert sum(split.pairs for split in load_pairs(tmp_path / "out").info.splits.values()) == 800


def test_one_per_query(run: Run, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", [{"query": f"q {n % 30}", "positive": f"p {n}"} for n in range(120)])
    assert "120" in _build(run, path)[1]
    assert "90 duplicate query" in _build(run, path, "--one-per-query")[1]


def test_a_set_too_large_to_be_held_out_is_said(run: Run, tmp_path: Path) -> None:
    rows = [{"query": f"what is {n}", "positive": f"{n} plus zero", "group": min(n, 3)} for n in range(200)]
    err, _ = _build(run, _write(tmp_path / "a.jsonl", rows))
    assert "validation holds 1 of 200 pairs: up to 197 pairs are joined by a group or by texts" in err


def test_pairs_that_all_share_texts_are_refused_with_what_to_do(run: Run, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", [{"query": f"q {n % 2}", "positive": f"p {n}"} for n in range(100)])
    done = run("pairs", "build", f"files:{path}", "--out", tmp_path / "out")
    assert done.code == 2 and done.err.count("\n") == 1 and len(done.err) < 300
    assert "100 in 2 group(s), joined by the texts that they share, " in done.err
    assert "split them yourself (embudget pairs index)" in done.err
    assert not (tmp_path / "out").exists()


def test_in_python_it_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = _write(tmp_path / "a.jsonl", _rows(100, label="x"))
    pairs = build_pairs([f"files:{path}"], tmp_path / "out")
    assert remarks(pairs.info) == [f"files:{path}: not used: column label"] == caplog.messages


def test_a_long_build_says_its_stages_in_a_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with console.counter("pairs") as update:
        for seconds, what in [(1, "reading a"), (3, "reading a"), (4, "reading a"), (9, "reading b"), (9, "writing")]:
            now[0] = float(seconds)
            update(what, 2000)
    assert capsys.readouterr().err == "pairs: reading a\npairs: reading b\npairs: writing\n"
