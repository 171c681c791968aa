"""Several processes train what one would; they are forked, since a start of Python costs seconds."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from embudget.errors import RunError
from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.training.checkpoints import newest_checkpoint
from embudget.training.device import share
from embudget.training.run import train
from tests.training.processes import assert_same_curve, launch, record_at, run_until, write
from tests.training.test_run import config_for

ROOT = Path(__file__).parents[2]


TWO = 2


class Launched(NamedTuple):
    """What two processes left behind."""

    folder: Path
    configs: dict[str, RunConfig]


@pytest.fixture(scope="module")
def launched(tiny_neox: Path, tiny_pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """Two processes: two methods, a run that they stop, one that a single process has stopped, and a command."""
    folder = tmp_path_factory.mktemp("two")
    configs = {name: config_for(tiny_neox, tiny_pairs, name, learning_rate=1e-3) for name in ("full", "lora:4")}
    assert run_until(configs["full"], tiny_pairs, folder / "begun-by-one", 3) is None

    def work(rank: int) -> None:
        for name, config in configs.items():
            write(folder, name, rank, run_until(config, tiny_pairs, folder / name, None))
        write(folder, "begun-by-two", rank, run_until(configs["full"], tiny_pairs, folder / "begun-by-two", 3))
        write(folder, "begun-by-one", rank, run_until(configs["full"], tiny_pairs, folder / "begun-by-one", None))

    launch(TWO, folder, work)
    return Launched(folder, configs)


@pytest.mark.parametrize("method", ["full", "lora:4"])
def test_two_processes_train_as_one_does(launched: Launched, tiny_pairs: Pairs, method: str) -> None:
    alone = train(launched.configs[method], tiny_pairs, with_record=True)[1]
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
    ended = run_until(config, tiny_pairs, launched.folder / "begun-by-two", None)
    alone = train(config, tiny_pairs, with_record=True)[1]
    assert ended is not None
    assert_same_curve(ended, alone)
    assert ended.executed_flops == pytest.approx(alone.executed_flops, rel=0.1), "of both processes, and of one"


def test_what_one_began_two_end(launched: Launched, tiny_pairs: Pairs) -> None:
    alone = train(launched.configs["full"], tiny_pairs, with_record=True)[1]
    for rank in range(2):
        ended = record_at(launched.folder, "begun-by-one", rank)
        assert_same_curve(ended, alone)
        assert ended.executed_flops == pytest.approx(alone.executed_flops, rel=0.1), "of one process, and of both"


def test_processes_that_would_go_on_from_different_steps_are_refused(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    config = config_for(tiny_neox, tiny_pairs, learning_rate=1e-3)
    for rank, steps in enumerate((4, 2, None)):
        if steps is not None:
            assert run_until(config, tiny_pairs, tmp_path / f"disk-{rank}", steps) is None

    def work(rank: int) -> None:
        with pytest.raises(RunError) as refused:
            run_until(config, tiny_pairs, tmp_path / f"disk-{rank}", None)
        (tmp_path / f"said-{rank}").write_text(str(refused.value))

    launch(3, tmp_path, work)
    for rank in range(3):
        said = (tmp_path / f"said-{rank}").read_text()
        assert said.startswith("all processes must find the same checkpoints, got steps 4, 2, 0 in ")
        assert "\n" not in said
    assert newest_checkpoint(tmp_path / "disk-0" / config.id) is not None


def test_three_processes_share_unevenly(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    config = config_for(tiny_neox, tiny_pairs, learning_rate=1e-3)
    assert [len(share([1] * 16, rank, 3)) for rank in range(3)] == [6, 5, 5]
    launch(3, tmp_path, lambda rank: write(tmp_path, "full", rank, train(config, tiny_pairs, with_record=True)[1]))
    alone = train(config, tiny_pairs, with_record=True)[1]
    for rank in range(3):
        assert_same_curve(record_at(tmp_path, "full", rank), alone)


@pytest.mark.slow
def test_only_the_first_writes_and_speaks(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    """By torchrun and the command line: the one launch that pays for starts of Python."""
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "embudget",
            "train", "--model", str(tiny_neox), "--method", "full", "--budget", "2e9", "--pairs",
            str(tiny_pairs.folder), "--batch-size", "8", "--max-length", "32", "--out", "model",
            "--checkpoint-minutes", "0",
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")},
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("held-out loss") == 1
    assert done.stdout.count("load it with SentenceTransformer") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "model.safetensors").exists()
