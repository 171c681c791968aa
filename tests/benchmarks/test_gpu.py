"""What is measured where there is a GPU, at toy size on a CPU: every part, and what happens when one of them fails."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import device, machine, speed, study, summary
from benchmarks.gpu.material import TOYS, installed_pairs, random_model
from embudget.memory import training_bytes
from embudget.methods import parse_method
from embudget.pairs import Pairs
from embudget.suite import find_shape
from embudget.suite.loading import load_embedder

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"

Part = Callable[..., dict[str, Any]]

without_a_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.fixture
def part(tmp_path: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> Part:
    """Runs a part as the script does, on pairs that are there, and returns what it has written."""
    shutil.copytree(tiny_pairs.folder, tmp_path / "work" / "pairs")

    def run(module: Any, *arguments: str) -> dict[str, Any]:  # noqa: ANN401 - a module
        name = module.__name__.rpartition(".")[2]
        out, work = str(tmp_path / "out"), str(tmp_path / "work")
        monkeypatch.setattr(sys, "argv", [name, "--out", out, "--work", work, *arguments])
        module.main()
        found: dict[str, Any] = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        return found

    return run


def test_a_random_model_has_the_sizes_of_its_name(tmp_path: Path) -> None:
    name = random_model("pythia-14m", tmp_path)
    made, published = find_shape(name), find_shape("pythia-14m")
    assert (made.model_params, made.embedding_params) == (published.model_params, published.embedding_params)
    assert made.max_length == published.max_length
    assert random_model("pythia-14m", tmp_path) == name
    model = load_embedder(name, 75)
    assert model.encode(["a text", "another"]).shape == (2, published.hidden)


def test_pairs_are_made_of_what_is_installed(tmp_path: Path) -> None:
    pairs = installed_pairs(tmp_path / "pairs", ("click", "no-such-package"))
    assert pairs.rows("train") > 100
    assert installed_pairs(tmp_path / "pairs").hash == pairs.hash


def test_speed_compares_both_sides_and_a_cell_that_fails_loses_no_other(part: Part, tmp_path: Path) -> None:
    small = ("--models", "pythia-unknown", "toy-large", "--methods", "lora:4", "--batch-sizes", "8", "--rounds", "2")
    found = part(speed, *small)
    assert found["device"] == device.device_name() and found["product_tflops"] > 0
    broken, cell = found["cells"]
    assert broken["error"].startswith("ModelError: ")
    assert cell["tokens_per_second"].keys() == {"ours", "theirs", "ours, larger chunks"}
    assert min(cell["tokens_per_second"].values()) > 0
    assert cell["theirs_tried"].keys() == speed.VARIANTS.keys() and cell["best_of_theirs"] in speed.VARIANTS
    assert cell["ratio"] == pytest.approx(
        cell["tokens_per_second"]["ours"] / cell["tokens_per_second"]["theirs"], abs=0.01
    )
    shape = find_shape(str(tmp_path / "work" / "random-toy-large"))
    estimate = training_bytes(parse_method("lora:4"), shape, 8, 75)
    for way in ("cached", "direct"):
        memory = cell["memory"][way]
        assert memory["peak_gb"] > 0
        assert memory["estimate_gb"] == pytest.approx(estimate / 1e9, abs=1e-3), "eight pairs are less than a chunk"
    assert find_shape(str(tmp_path / "work" / "random-toy-large")).layers == TOYS["toy-large"]["num_hidden_layers"]
    page = summary.summarised(tmp_path / "out")
    assert "| toy-large | lora:4 | 8 |" in page
    assert "- pythia-unknown lora:4 8: ModelError" in page


def test_cells_are_left_out_when_the_time_is_up(part: Part) -> None:
    found = part(speed, "--models", "toy-small", "--methods", "full", "--batch-sizes", "8", "--seconds", "0")
    assert [cell["left_out"] for cell in found["cells"]] == ["the time was up"]


def test_a_study_is_sized_run_and_summed_up(part: Part, tmp_path: Path) -> None:
    small = ("--models", "toy-small", "--methods", "full", "lora:4", "--batch-size", "4", "--most", "3e9")
    found = part(study, *small, "--seconds", "900")
    assert found["runs"] == 6 == sum(found["statuses"].values())
    assert found["statuses"].keys() <= {"done", "no_gain"}
    low, middle, high = sorted(found["budgets"])
    assert middle / low == pytest.approx(study.APART, rel=0.02) == pytest.approx(high / middle, rel=0.02)
    assert high == 3e9 and 0 < found["expected_seconds"] <= 900 * study.SHARE
    assert found["seconds"] > 0 and found["tflops_per_second"] > 0
    assert (tmp_path / "out" / "study.db").exists()
    page = summary.summarised(tmp_path / "out")
    assert "6 runs of batch 4" in page and "## Speed and memory of a step\n\nNot measured." in page


def test_a_study_that_cannot_end_in_time_is_refused(part: Part) -> None:
    with pytest.raises(RuntimeError, match=r"loading and measuring the models would take \d+ of the -?\d+ s left"):
        part(study, "--models", "toy-small", "--methods", "full", "--batch-size", "8", "--seconds", "0")


def test_the_longest_known_name_is_a_devices_own() -> None:
    assert device.published_peak("NVIDIA L40S") != device.published_peak("NVIDIA L4")
    assert device.published_peak("NVIDIA GeForce RTX 4090") == 165.2e12
    assert device.published_peak("NVIDIA H200") == 989.4e12
    assert device.published_peak("CPU") is None


def test_peak_memory_is_that_of_the_work_alone() -> None:
    idle = device.peak_bytes_of(lambda: None)
    assert 3e8 < device.peak_bytes_of(lambda: torch.ones(100_000_000)) - idle < 6e8
    assert device.peak_bytes_of(lambda: None) - idle < 1e8, "what was before does not count"


@without_a_gpu
def test_the_machine_is_described_and_without_a_gpu_there_is_nothing_to_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["machine", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        machine.main()
    assert ended.value.code == machine.NO_GPU == 3
    assert capsys.readouterr().err.startswith("no GPU: torch ")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(sys, "argv", ["machine", "--out", str(tmp_path), "--toy"])
    machine.main()
    found = json.loads((tmp_path / "machine.json").read_text())
    assert found["device"] == "CPU" and found["bf16_product_tflops"] > 0
    assert found["unmet"] == [], "the tests run with what embudget requires"


def test_missing_packages_and_old_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "_version", lambda name: {"torch": "2.5.0", "numpy": "2.2.0"}.get(name))
    assert "torch>=2.6: 2.5.0" in machine.unmet()
    assert "peft>=0.21: not installed" in machine.unmet()
    assert not any(line.startswith("numpy") for line in machine.unmet())
    monkeypatch.setattr(machine, "IMPORTED", ("no_such_package",))
    monkeypatch.setattr(sys, "argv", ["machine", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        machine.main()
    assert ended.value.code == machine.MISSING
    assert "need a package that is not installed: No module named 'no_such_package'" in capsys.readouterr().err


TESTS = """
import pytest

def test_good(): pass
def test_bad(): assert 1 == 2
@pytest.mark.skip(reason="no kernel")
def test_left_out(): pass
@pytest.mark.gpu
def test_other(): pass
def test_killed():
    import os
    os.kill(os.getpid(), 9)
"""


def test_outcomes_of_tests_are_kept_when_their_process_dies(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "benchmarks.gpu.tests", "--out", str(out), "--mark", "not gpu", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == -9
    found = json.loads((out / "tests.json").read_text())
    assert found["counts"] == {"failed": 1, "passed": 1, "running": 1, "skipped": 1}
    reasons = {name.partition("::")[2]: one.get("reason") for name, one in found["tests"].items()}
    assert "assert 1 == 2" in reasons["test_bad"] and "no kernel" in reasons["test_left_out"]
    page = summary.summarised(out)
    assert "1 failed, 1 passed, 1 running, 1 skipped" in page and "test_killed" in page


def environment() -> dict[str, str]:
    return os.environ | {"PYTHON": sys.executable}


@without_a_gpu
def test_the_script_says_that_there_is_no_gpu(tmp_path: Path) -> None:
    done = subprocess.run(
        [SCRIPT, tmp_path / "out"], env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 3
    assert "no GPU: torch" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@without_a_gpu
def test_the_script_runs_every_part(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        [SCRIPT, "--toy", out], env=environment(), capture_output=True, text=True, check=False, timeout=700
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    written = {"machine.json", "tests.json", "speed.json", "study.json", "study.db", "summary.md", "log.txt"}
    assert {file.name for file in out.iterdir()} == written
    page = (out / "summary.md").read_text()
    assert "Not measured" not in page and "| toy-small | full | 8 |" in page
