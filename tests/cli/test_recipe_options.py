"""The options of `fit` and `recipe` reach the functions behind them."""

import json
from pathlib import Path
from typing import Any

import pytest

from embudget.design import World, simulate
from embudget.laws import Coefficients
from embudget.runs import write_records_csv
from tests.command_line import Run

TRUTH = {"full": Coefficients(E=0.5, A=3000, a=0.4, B=1e-6, b=1)}
"""Larger is always better."""


@pytest.fixture
def laws(run: Run, tmp_path: Path) -> Path:
    world = World(truth=TRUTH, models=("smollm2-135m:1", "smollm2-135m:2"), noise=0.01)
    write_records_csv(simulate(world), tmp_path / "records.csv")
    assert run("fit", tmp_path / "records.csv", "--draws", 20, "--out", tmp_path / "laws.json").code == 0
    return tmp_path / "laws.json"


def test_steps_and_sizes_can_be_allowed(run: Run, laws: Path) -> None:
    near = json.loads(run("recipe", laws, "--budget", "4e12", "--json").out)
    assert near["model"] == "smollm2-135m:2"
    far = json.loads(
        run("recipe", laws, "--budget", "4e12", "--allow-unmeasured-sizes", "--min-steps", 1, "--json").out
    )
    assert far["model"] == "smollm2-135m:30"
    refused = run("recipe", laws, "--budget", "4e12", "--min-steps", 10**6)
    assert refused.code == 2
    assert "unless --min-steps is set lower" in refused.err


def test_a_negative_seed_is_refused(run: Run, tmp_path: Path) -> None:
    refused = run("fit", tmp_path / "records.csv", "--seed", -1)
    assert refused.code == 2
    assert "--seed" in refused.err
    assert len(refused.err.splitlines()) == 1


def test_wishes_reach_the_recipe(run: Run, laws: Path) -> None:
    def answer(*options: object) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("recipe", laws, "--budget", "4e12", "--json", *options).out)
        return found

    served = answer("--serve-tokens", "1e5")
    assert served["serve_flops"] == 2e5 * served["model_params"]
    small = answer("--max-params", "4e6", "--prefer", "small")
    assert (small["model"], small["prefer"]) == ("smollm2-135m:1", "small")
    assert answer("--pairs-available", 2000, "--max-epochs", 8)["max_epochs"] == 8
    scarce = answer("--device-memory", "750MB")
    assert scarce["model"] == "smollm2-135m:1"
    assert any("of memory to train, more than the 675 MB" in no["reason"] for no in scarce["rejected"])
    forced = run("recipe", laws, "--budget", "1e21", "--force", "--json")
    assert json.loads(forced.out)["extrapolation"] > 1e6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "4e12", "--device-memory", "24G"], "--device-memory must be > 0, as 24GB"),
        (["--budget", "4e12", "--prefer", "cheap"], "prefer must be one of loss, small, fast, got 'cheap'"),
        (["--budget", "4e12", "--max-params", "0"], "--max-params must be >= 1, got 0"),
        (["--budget", "4e12", "--max-params", "10"], "no budget within 1e+06 times the measured ones meets this"),
        (["--budget", "4e12", "--max-epochs", "0"], "--max-epochs"),
        (["--budget", "4e12", "--serve-tokens", "1e7"], "FLOP it would hold: smollm2-135m:1 full"),
        (["--budget", "4e12", "--points-per-decade", "2"], "--points-per-decade goes with --curve"),
        (["--curve", "1e12:1e14", "--budget", "4e12"], "give either --curve or one budget, not both"),
        (["--curve", "1e12:1e14", "--mfu", "0.3"], "give either --curve or one budget, not both"),
        (
            ["--budget", "4e12", "--mfu", "0.3"],
            "--device, --mfu and --dollars-per-hour go with --gpu-hours or --dollars",
        ),
        (["--curve", "1e14:1e12"], "must be below the second"),
        (["--curve", "1e14"], "curve must be two budgets in FLOP such as 1e15:1e19"),
        (["--curve", "1e12:1e14", "--max-params", "10"], "no budget of the curve has a recipe"),
    ],
)
def test_wishes_that_cannot_be_are_one_line(run: Run, laws: Path, options: list[str], message: str) -> None:
    code, out, err = run("recipe", laws, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_curve_is_written_and_printed(run: Run, laws: Path, tmp_path: Path) -> None:
    out = tmp_path / "curve"
    done = run("recipe", laws, "--curve", "1e12:1e14", "--points-per-decade", 1, "--out", out)
    assert done.code == 0
    assert len(done.out.splitlines()) == 5
    assert done.out.splitlines()[3].startswith("warning   at 1e+14 FLOP: the budget is 6.25 times outside ")
    assert f"{out / 'curve.html'}, to open in a browser" in done.out
    printed = run("recipe", laws, "--curve", "1e12:1e14", "--points-per-decade", 1, "--out", out, "--json")
    assert json.loads(printed.out) == json.loads((out / "curve.json").read_text())
    assert len(json.loads(printed.out)) == 3


def test_a_curve_as_json_writes_files_only_where_told(
    run: Run, laws: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("recipe", laws, "--curve", "1e12:1e14", "--points-per-decade", 1)
    assert len(json.loads(run(*asked, "--json").out)) == 3
    assert not (tmp_path / "curve").exists()
    run(*asked)
    assert (tmp_path / "curve" / "curve.html").exists()
