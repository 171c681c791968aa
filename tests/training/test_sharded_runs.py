"""Sharded runs end as unsharded ones do, and go on in any number of processes, sharded or not."""

import logging
import shutil
from pathlib import Path

import pytest
import torch

from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.suite.loading import load_embedder
from embudget.training.checkpoints import newest_checkpoint
from embudget.training.resources import Resources
from embudget.training.run import train
from tests.suite.architectures import CASES, save_case
from tests.training.processes import assert_same_curve, launch, record_at, run_until, write
from tests.training.test_run import config_for

pytestmark = pytest.mark.slow

STAGES = ((2, True), (4, True), (1, False))
"""Processes that a run is handed on to after two steps each, and whether they shard."""


def config_of(pairs: Pairs, model: str, method: str, flops: float) -> RunConfig:
    """Some ten steps of a model that comes with embudget."""
    return config_for(Path(model), pairs, method, train_flops=flops, learning_rate=1e-3)


def test_a_run_is_handed_on_between_numbers_of_processes(tiny_pairs: Pairs, tmp_path: Path) -> None:
    config, folder = config_of(tiny_pairs, "micro-450k", "full", 6e9), tmp_path / "kept"
    for count, shard in STAGES:

        def work(rank: int, count: int = count, shard: bool = shard) -> None:
            torch.set_num_threads(1)
            write(tmp_path, f"after-{count}", rank, run_until(config, tiny_pairs, folder, 2, shard))

        launch(count, tmp_path, work)
        assert (tmp_path / f"after-{count}-0.json").read_text() == "null", "it was stopped, not finished"
    launch(2, tmp_path, lambda rank: write(tmp_path, "end", rank, run_until(config, tiny_pairs, folder, None, True)))
    alone = train(config, tiny_pairs, with_record=True)[1]
    for rank in range(2):
        assert_same_curve(record_at(tmp_path, "end", rank), alone)
    assert not list(folder.iterdir()), "checkpoints are removed with the record"


@pytest.mark.parametrize("shard", [False, True], ids=["replicated", "sharded"])
def test_dense_modules_are_the_same_in_every_process(tiny_pairs: Pairs, tmp_path: Path, shard: bool) -> None:
    folder = save_case(tmp_path / "m", CASES["bert with dense"])
    config = config_for(folder, tiny_pairs, learning_rate=1e-3)
    alone, record = train(config, tiny_pairs, with_record=True)

    def work(rank: int) -> None:
        torch.set_num_threads(1)
        ended = train(config, tiny_pairs, tmp_path / "model", resources=Resources(shard=shard), with_record=True)[1]
        write(tmp_path, "end", rank, ended)

    launch(2, tmp_path, work)
    for rank in range(2):
        assert_same_curve(record_at(tmp_path, "end", rank), record)
    found, wanted = load_embedder(str(tmp_path / "model"), 32)[2].linear, alone[2].linear
    torch.testing.assert_close(found.weight, wanted.weight, rtol=0, atol=2e-4)
    assert not torch.equal(wanted.weight.cpu(), load_embedder(str(folder), 32)[2].linear.weight.cpu())


def test_the_model_that_a_sharded_run_writes_is_whole(tiny_pairs: Pairs, tmp_path: Path) -> None:
    config = config_of(tiny_pairs, "micro-450k", "lora:4", 3e9)
    alone = train(config, tiny_pairs)

    def work(rank: int) -> None:
        train(config, tiny_pairs, tmp_path / "model", resources=Resources(shard=True))

    launch(2, tmp_path, work)
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    texts = ["How to open the bucket", "an answer"]
    torch.testing.assert_close(torch.tensor(loaded.encode(texts)), torch.tensor(alone.encode(texts)), rtol=0, atol=2e-4)
    assert (tmp_path / "model" / "adapter").is_dir()


def test_a_torn_part_is_recognised(tiny_pairs: Pairs, tmp_path: Path) -> None:
    """A disk that loses the end of one process's part: the checkpoint before it is used, by all."""
    config = config_of(tiny_pairs, "micro-200k", "full", 3e9)
    launch(2, tmp_path, lambda rank: write(tmp_path, "begun", rank, run_until(config, tiny_pairs, tmp_path, 3, True)))
    kept = tmp_path / config.id
    newest, before = sorted(kept.glob("step-*"), reverse=True)
    parts = sorted(path.name for path in newest.glob("__*"))
    assert {name[:4] for name in parts} == {"__0_", "__1_"}, "each process writes its own"
    for name in (".metadata", parts[-1]):
        torn = tmp_path / "torn" / name / config.id
        shutil.copytree(kept, torn)
        file = torn / newest.name / name
        file.write_bytes(file.read_bytes()[:-10])
        found = newest_checkpoint(torn)
        assert found is not None
        assert found.numbers["meter"]["steps"] == int(before.name.removeprefix("step-"))


def test_a_part_that_cannot_be_written_is_a_warning_in_all(tiny_pairs: Pairs, tmp_path: Path) -> None:
    """The second process may write files of 100 kB only, as on a full disk; training goes on to its end."""
    config = config_of(tiny_pairs, "micro-200k", "full", 3e9)

    def work(rank: int) -> None:
        import resource

        warned: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: warned.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("embudget.training.state").addHandler(handler)
        if rank == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        record = run_until(config, tiny_pairs, tmp_path / "kept", None, True)
        write(tmp_path, "ended", rank, record)
        (tmp_path / f"warned-{rank}").write_text("\n".join(warned))
        assert not list((tmp_path / "kept").glob("*/step-*")), "and none is half written"

    launch(2, tmp_path, work)
    assert record_at(tmp_path, "ended", 0).steps == record_at(tmp_path, "ended", 1).steps
    for rank in range(2):
        first = (tmp_path / f"warned-{rank}").read_text().splitlines()[0]
        assert first.startswith("cannot write a checkpoint to ")
        assert first.endswith("; training goes on")
