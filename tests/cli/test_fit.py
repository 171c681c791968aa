"""`embudget fit` on tables of anyone's runs."""

import json
from pathlib import Path

import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from tests.command_line import Run

COLUMNS = "model_params=Model Size, train_flops=Training FLOP,loss=eval_loss"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three sizes at three budgets by a law without noise, and a diverged run."""
    lines = ["Model Size,Training FLOP,eval_loss,colour"]
    for size in (1e8, 3e8, 9e8):
        for flops in (1e18, 4e18, 1.6e19):
            loss = 1.7 + 400 / size**0.34 + 410 / (flops / (6 * size)) ** 0.28
            lines.append(f"{size:g},{flops:g},{loss!r},red")
    lines.append("1e8,1e18,inf,blue")
    (tmp_path / "runs.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "runs.csv"


def test_foreign_names_are_mapped(run: Run, runs: Path, tmp_path: Path) -> None:
    done = run("fit", runs, "--columns", COLUMNS, "--draws", 20, "--out", tmp_path / "laws.json")
    assert done.code == 0, done.err
    assert "9 runs in 9 cells" in done.out
    assert "left out: loss is infinite (1)\n  row 10: loss is infinite\n" in done.out
    pq.write_table(pc.read_csv(runs), tmp_path / "runs.parquet")
    again = run("fit", tmp_path / "runs.parquet", "--columns", COLUMNS, "--draws", 20, "--out", tmp_path / "again.json")
    assert again.code == 0, again.err
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads((tmp_path / "laws.json").read_text())

    assert done.out.endswith(f"embudget recipe {tmp_path / 'laws.json'} --budget FLOP --suite NAME\n")
    refused = run("recipe", tmp_path / "laws.json", "--budget", "1e20")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "suite must be given" in refused.err
    answer = run("recipe", tmp_path / "laws.json", "--budget", "1e20", "--suite", "pythia", "--json")
    assert json.loads(answer.out)["model"].startswith("pythia-")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("loss", "--columns must be OURS=THEIRS,... as in loss=eval_loss, got 'loss'"),
        ("loss=", "there is no column 'loss' to ignore"),
        ("=loss", "got '=loss'"),
        ("loss=eval_loss,tokens=eval_loss", "column 'eval_loss' cannot be both loss and tokens"),
        ("loss=eval_loss,,", "got ''"),
        ("loss=a,loss=b", "got loss twice"),
        ("loss=val", "there is no column 'val' for loss"),
        ("colour=red", "columns must map one of model_params, loss"),
        ("loss=colour,model_params=Model Size,tokens=Training FLOP", "row 1: loss must be a number, got 'red'"),
    ],
)
def test_bad_mappings_are_one_line(run: Run, runs: Path, columns: str, message: str) -> None:
    code, _, err = run("fit", runs, "--columns", columns)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_bad_tables_are_one_line(run: Run, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "text.parquet").write_text("text")
    cases = {
        "empty.csv": "the file is empty", "text.parquet": "not a Parquet file", "none.parquet": "cannot read",
        "runs.csv": "column model_params is missing",
    }  # fmt: skip
    for name, message in cases.items():
        code, _, err = run("fit", tmp_path / name)
        assert (code, err.count("\n")) == (2, 1), err
        assert message in err


def test_a_store_has_our_columns(run: Run, tmp_path: Path) -> None:
    code, _, err = run("fit", tmp_path / "study.db", "--columns", "loss=eval_loss")
    assert (code, err.count("\n")) == (2, 1)
    assert "--columns is for a file that ends in .csv, .tsv, .jsonl, .ndjson, .parquet" in err
