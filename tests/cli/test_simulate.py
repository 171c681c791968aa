"""`embudget simulate` writes records that `fit` reads, and judges designs."""

import textwrap
from pathlib import Path

import pytest

from embudget.design import World, simulate
from embudget.runs import RunTable
from tests.command_line import Run

WORLD = """
models: [smollm2-135m:1, smollm2-135m:2, smollm2-135m:4, smollm2-135m:8]
budgets: [1e12, 4e12, 1.6e13]
truth:
  full: {E: 1.0, A: 300, a: 0.35, B: 250, b: 0.4}
  lora:32: {E: 1.0, A: 330, a: 0.35, B: 300, b: 0.4}
fail_probability: 0.2
lost_probability: 0.1
"""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    path = tmp_path / "world.yaml"
    path.write_text(WORLD)
    return path


def test_records_are_written_and_counted(run: Run, world: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.csv"
    done = run("simulate", world, "--out", out, "--seed", 3)
    assert done.code == 0
    records = simulate(World.from_yaml(world), seed=3)
    assert RunTable.read(out) == RunTable.of(records)
    failed = sum(record.status == "failed" for record in records)
    lost = 24 - len(records)
    assert failed and lost
    assert f"{out}: 24 runs: {24 - failed - lost} done, {failed} failed, {lost} lost" in done.out
    fitted = run("fit", out, "--draws", 20, "--out", tmp_path / "laws.json")
    assert fitted.code == 0
    assert fitted.out.endswith(" --budget FLOP\n")


def test_a_design_is_judged(run: Run, world: Path) -> None:
    done = run("simulate", world, "--judge", "6.4e13", "--repeats", 3, "--draws", 20, "--suite", "smollm2")
    assert done.code == 0
    assert done.out.startswith("with these 24 runs you will know the best choice at 6.4e+13 FLOP to within ")
    assert "90 % of 3 simulated studies" in done.out


def test_the_world_of_the_help_can_be_simulated(run: Run, tmp_path: Path) -> None:
    text = run("simulate", "--help").out
    world = textwrap.dedent(text[text.index("    models: [") : text.index("  Examples:")])
    (tmp_path / "world.yaml").write_text(world)
    done = run("simulate", tmp_path / "world.yaml", "--out", tmp_path / "records.csv")
    assert (done.code, done.err) == (0, "")
    assert "18 runs: 18 done" in done.out


def test_what_cannot_be_judged_is_refused_before_records_are_written(run: Run, world: Path, tmp_path: Path) -> None:
    code, out, err = run("simulate", world, "--out", tmp_path / "records.csv", "--judge", "1e29")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "times those of the design" in err
    assert not (tmp_path / "records.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --out to write records, --judge to judge the design, or both"),
        (["--judge", "much"], "budget must be a number of FLOP"),
        (["--judge", "1e14", "--suite", "mamba"], "suite must be one of"),
        (["--out", "records.csv", "--seed", "-1"], "--seed"),
        (["--judge", "1e14", "--repeats", "0"], "--repeats"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run: Run, world: Path, arguments: list[str], message: str) -> None:
    code, out, err = run("simulate", world, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_missing_file_is_one_line_and_exit_code_2(run: Run, tmp_path: Path) -> None:
    code, _, err = run("simulate", tmp_path / "none.yaml", "--out", tmp_path / "records.csv")
    assert code == 2
    assert "none.yaml" in err
    assert err.count("\n") == 1
