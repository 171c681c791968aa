"""Several processes train what one would. Each start of Python costs seconds, so that one launch serves several tests."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.training.processes import share
from embudget.training.run import train_run
from tests.training.in_processes import run_until
from tests.training.test_run import config_for

ROOT = Path(__file__).parents[2]


class Launched(NamedTuple):
    """What two processes left behind."""

    folder: Path
    configs: dict[str, RunConfig]
    out: str


def launch(count: int, todo: list[tuple[str, RunConfig, int | None]], pairs: Pairs, folder: Path, *command: str) -> str:
    """Start processes; what they printed."""
    (folder / "todo.json").write_text(json.dumps([(name, run.model_dump(), stop) for name, run, stop in todo]))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count))
    done = subprocess.run(
        [sys.executable, *torchrun, "-m", "tests.training.in_processes", str(pairs.folder), str(folder), *command],
        env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def record_at(folder: Path, name: str, rank: int) -> RunRecord:
    return RunRecord.model_validate_json((folder / f"{name}-{rank}.json").read_text())


def assert_same_curve(one: RunRecord, other: RunRecord) -> None:
    assert (one.steps, one.tokens, one.train_flops) == (other.steps, other.tokens, other.train_flops)
    assert one.loss == pytest.approx(other.loss, abs=1e-5)
    assert [share for share, _ in one.loss_curve] == [share for share, _ in other.loss_curve]
    differences = [abs(a - b) for (_, a), (_, b) in zip(one.loss_curve, other.loss_curve, strict=True)]
    assert len(differences) >= 5
    assert max(differences) < 1e-5


@pytest.fixture(scope="module")
def launched(tiny_neox: Path, tiny_pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """Two processes: two methods, a run that they stop, one that a single process has stopped, and a command."""
    folder = tmp_path_factory.mktemp("two")
    configs = {name: config_for(tiny_neox, tiny_pairs, name, learning_rate=1e-3) for name in ("full", "lora:4")}
    assert run_until(configs["full"], tiny_pairs, folder / "begun-by-one", 3) is None
    todo = [(name, config, None) for name, config in configs.items()]
    todo += [("begun-by-two", configs["full"], 3), ("begun-by-one", configs["full"], None)]  # type: ignore[list-item]
    out = launch(
        2, todo, tiny_pairs, folder,
        "train", "--model", str(tiny_neox), "--method", "bias", "--budget", "1e9", "--pairs", str(tiny_pairs.folder),
        "--batch-size", "8", "--max-length", "32", "--out", str(folder / "model"), "--checkpoint-minutes", "0",
    )  # fmt: skip
    return Launched(folder, configs, out)


@pytest.mark.parametrize("method", ["full", "lora:4"])
def test_two_processes_train_as_one_does(launched: Launched, tiny_pairs: Pairs, method: str) -> None:
    alone = train_run(launched.configs[method], tiny_pairs)[1]
    records = [record_at(launched.folder, method, rank) for rank in range(2)]
    for record in records:
        assert_same_curve(record, alone)
        assert record.executed_flops == records[0].executed_flops
        assert record.executed_flops == pytest.approx(alone.executed_flops, rel=0.1), "of both processes"
    assert records[0].loss_curve == records[1].loss_curve, "to the last bit: they must not part"
    assert not list((launched.folder / method).iterdir())


def test_what_two_began_one_ends(launched: Launched, tiny_pairs: Pairs) -> None:
    config = launched.configs["full"]
    assert (launched.folder / "begun-by-two-0.json").read_text() == "null"
    text = run_until(config, tiny_pairs, launched.folder / "begun-by-two", None)
    alone = train_run(config, tiny_pairs)[1]
    assert text is not None
    ended = RunRecord.model_validate_json(text)
    assert_same_curve(ended, alone)
    assert ended.executed_flops == pytest.approx(alone.executed_flops, rel=0.1), "of both processes, and of one"


def test_what_one_began_two_end(launched: Launched, tiny_pairs: Pairs) -> None:
    alone = train_run(launched.configs["full"], tiny_pairs)[1]
    for rank in range(2):
        ended = record_at(launched.folder, "begun-by-one", rank)
        assert_same_curve(ended, alone)
        assert ended.executed_flops == pytest.approx(alone.executed_flops, rel=0.1), "of one process, and of both"


def test_only_the_first_writes_and_speaks(launched: Launched) -> None:
    assert launched.out.count("held-out loss") == 1
    assert launched.out.count("load it with SentenceTransformer") == 1
    assert (launched.folder / "model" / "model.safetensors").exists()
    assert not list(launched.folder.glob("*model*.checkpoints")), "nothing is left of it"
    assert not list(launched.folder.glob(".model*"))


def test_three_processes_share_unevenly(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    config = config_for(tiny_neox, tiny_pairs, learning_rate=1e-3)
    assert [len(share([1] * 16, rank, 3)) for rank in range(3)] == [6, 5, 5]
    launch(3, [("full", config, None)], tiny_pairs, tmp_path)
    alone = train_run(config, tiny_pairs)[1]
    for rank in range(3):
        assert_same_curve(record_at(tmp_path, "full", rank), alone)
