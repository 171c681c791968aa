"""`report --watch`, and `--report FILE` of `sweep` and `spend`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from embudget.cli.live_page import kept_up_to_date
from embudget.contents import PAGE, contents_of
from embudget.pairs import Pairs
from embudget.records import RunRecord
from embudget.study import Store
from tests.command_line import Run
from tests.report.test_report import study
from tests.study.test_progress import PLACE
from tests.study.test_schedule import config


@pytest.fixture(scope="module")
def records() -> list[RunRecord]:
    return study(seeds=1)


@pytest.fixture
def study_file(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> Path:
    small = {
        "members": [f"{tiny_neox}:{depth}" for depth in (1, 2)], "methods": ["full"], "budgets": [4e9],
        "pairs": str(tiny_pairs.folder), "batch_size": 8, "max_length": 32, "eval_pairs": 16, "eval_candidates": 16,
    }  # fmt: skip
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(small))
    return file


def stored(file: Path, records: list[RunRecord]) -> Path:
    with Store(file) as store:
        for record in records:
            store.add(record)
    return file


def test_a_watched_page_of_too_few_runs_is_no_error(run: Run, records: list[RunRecord], tmp_path: Path) -> None:
    file, out = stored(tmp_path / "s.db", records[:3]), tmp_path / "r.html"
    assert run("report", file, "--out", out).code == 2
    code, said, err = run("report", file, "--out", out, "--watch")
    assert (code, err) == (0, "")
    assert said.startswith(f"{out}: 3 done; no run is left; no laws yet: ")
    assert contents_of(out) == PAGE


def test_a_watched_page_is_whole_when_there_are_enough(run: Run, records: list[RunRecord], tmp_path: Path) -> None:
    file, out = stored(tmp_path / "s.db", records), tmp_path / "r.html"
    code, said, _ = run("report", file, "--out", out, "--watch")
    assert code == 0
    assert said.splitlines() == [
        f"{out}: {len(records)} done; no run is left", f"{out}: open it in a browser",
    ]  # fmt: skip
    assert "The best size at a fixed budget" in out.read_text()


def test_every_goes_with_watch(run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", tmp_path / "s.db", "--every", "5")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--every goes with --watch" in err


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "notes.html").write_text("train_flops: 1\nmethods: [full]\nbudgets: [1]\n")
    (folder / "some").mkdir()
    return {
        "a folder": (folder / "some", "--report must be a file, got the folder"),
        "no folder": (folder / "none" / "r.html", "there is no folder"),
        "a study": (folder / "notes.html", "holds a study, not to be replaced by a web page"),
        "the store to be": (folder / "s.db", "is for the command itself"),
        "its log": (folder / "s.db-wal", "is for the command itself"),
        "in its checkpoints": (folder / "s.db.checkpoints" / "r.html", "is for the command itself"),
    }


@pytest.mark.parametrize(
    "name", ["a folder", "no folder", "a study", "the store to be", "its log", "in its checkpoints"]
)
@pytest.mark.parametrize("command", ["sweep", "spend"])
def test_a_bad_file_is_one_line_before_anything_is_there(
    run: Run, study_file: Path, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, name: str, command: str
) -> None:
    page, said = bad_files(tmp_path)[name]
    options = ("--store", tmp_path / "s.db", "--report", page)
    if command == "sweep":
        code, out, err = run("sweep", study_file, *options)
    else:
        suite = tmp_path / "members.yaml"
        suite.write_text(f"- {tiny_neox}:1\n")
        asked = ("--budget", "1e10", "--suite", suite, "--pairs", tiny_pairs.folder, "--out", tmp_path / "out")
        code, out, err = run("spend", *asked, *options)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err
    assert not (tmp_path / "s.db").exists()


def test_a_page_in_the_folder_of_a_budget_must_be_none_of_its_files(
    run: Run, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    suite = tmp_path / "members.yaml"
    suite.write_text(f"- {tiny_neox}:1\n")
    asked = ["spend", "--suite", suite, "--pairs", tiny_pairs.folder, "--out", tmp_path / "out", "--batch-size", "8"]
    asked += ["--budget", "1e10"]
    for page in ("ledger.json", "model/report.html", "runs.db"):
        code, _, err = run(*asked, "--report", tmp_path / "out" / page)
        assert (code, err.count("\n")) == (2, 1) and "is for the command itself" in err
    assert run(*asked, "--dry-run", "--report", tmp_path / "out" / "report.html").code == 0
    assert not (tmp_path / "out").exists()


def test_a_sweep_keeps_its_page(run: Run, study_file: Path, tmp_path: Path) -> None:
    code, _, err = run("sweep", study_file, "--store", tmp_path / "s.db", "--report", tmp_path / "r.html")
    assert code == 0, err
    text = (tmp_path / "r.html").read_text()
    assert "A study under way" in text and "needs at least 2 budgets" in text
    assert 'http-equiv="refresh"' not in text, "the last page is of the study's end"
    assert list(tmp_path.glob(".*r.html*")) == []


def test_trouble_with_the_page_is_said_once(
    records: list[RunRecord], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = stored(tmp_path / "s.db", records[:3]), tmp_path / "gone" / "r.html"
    with kept_up_to_date(page, str(file)):
        until = time.monotonic() + 60
        said = ""
        while not said and time.monotonic() < until:
            time.sleep(0.1)
            said += capsys.readouterr().err
        stored(file, records[3:5])
    said += capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert "gone" in said and "the training goes on" in said


def test_an_error_of_the_training_is_its_own(records: list[RunRecord], tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), kept_up_to_date(tmp_path / "r.html", str(tmp_path / "none.db")):
        raise ZeroDivisionError
    assert not (tmp_path / "r.html").exists()


@pytest.mark.slow
def test_ctrl_c_ends_a_watched_page_as_any_command(records: list[RunRecord], tmp_path: Path) -> None:
    """A run waits for ever, so that only Ctrl-C ends it."""
    file, out = stored(tmp_path / "s.db", records[:3]), tmp_path / "r.html"
    with Store(file) as store:
        store.queue().add([config("micro-1m")], PLACE)
    watching = subprocess.Popen(
        [sys.executable, "-m", "embudget", "report", str(file), "--out", str(out), "--watch", "--every", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ, text=True,
    )  # fmt: skip
    assert watching.stdout is not None
    assert "1 waiting" in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert err == "embudget: interrupted\n"
    assert contents_of(out) == PAGE
    assert sorted(path.name for path in tmp_path.iterdir() if "html" in path.name) == ["r.html"]
