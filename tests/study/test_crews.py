"""A driver and its crew of workers: faults of either change no record of a study."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from embudget.errors import RunError
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig
from embudget.study import Store, Study, sweep
from embudget.study.executors.base import Crew
from tests.conftest import save_tiny
from tests.study.crew_of_processes import COMMAND, Processes
from tests.study.studies import tiny_study
from tests.study.test_sweep import Log
from tests.study.test_work import losses

pytestmark = pytest.mark.slow


@pytest.fixture
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return tiny_study(tiny_neox, tiny_pairs, precision="float32", schedule="wsd", budgets=[6e8, 1.2e9], seeds=[0, 1])


class Progress(Log):
    """Remembers how far runs were seen."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: dict[str, list[float]] = {}

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        self.shares.setdefault(config.id, []).append(share)


def test_a_crew_gives_the_records_of_a_sweep(study: Study, tmp_path: Path) -> None:
    log, crew = Log(), list[Processes]()

    def hired(store: Store) -> Crew:
        crew.append(Processes(store))
        return crew[0]

    records = sweep(study, tmp_path / "s.db", workers=2, listener=log, executor=hired)
    assert losses(records) == losses(sweep(study, tmp_path / "whole.db"))
    assert {record.id for record in log.ended} == {record.id for record in records}
    assert len(crew[0].workers) == 2, "one a task"
    assert all(worker.wait(60) in (0, 128 + signal.SIGTERM) for worker in crew[0].workers), "left, or dismissed"
    assert not (tmp_path / "s.db.checkpoints").exists()


def test_workers_that_fail_at_once_end_the_sweep_with_their_reason(study: Study, tmp_path: Path) -> None:
    failing = ("bash", "-c", "echo 'no such partition' >&2; exit 3")
    with pytest.raises(RunError, match=r"3 workers in a row ended before they trained anything.*no such partition"):
        sweep(study, tmp_path / "s.db", workers=1, executor=lambda store: Processes(store, [failing]))
    with Store(tmp_path / "s.db") as store:
        assert store.queue().count() == 4


def test_a_run_that_kills_its_workers_is_given_up(study: Study, tmp_path: Path) -> None:
    """The whole worker dies each time, as where a run brings its machine down; the other runs are done."""
    one = study.model_copy(update={"budgets": (6e8,)})
    with Store(tmp_path / "s.db") as store:
        victim = one.configs(load_pairs(one.pairs).hash)[0]
        log = Log()
        killing = [*COMMAND[:1], "-c", KILLED_BY, victim.id]
        records = sweep(one, store, workers=2, listener=log, executor=lambda store: Processes(store, [killing]))
    by_id = {record.id: record for record in records}
    assert by_id[victim.id].status == "failed" and by_id[victim.id].attempts == 3
    assert "its worker " in (by_id[victim.id].error or "") and "was lost (3 attempts)" in (by_id[victim.id].error or "")
    assert [record.status for record in records if record.id != victim.id] == ["done"]


KILLED_BY = """
import multiprocessing, os, signal, sys
from embudget.study import SweepListener
from embudget.study.work import STORE, work

class Killing(SweepListener):
    def progress(self, config, share, loss):
        if config.id == sys.argv[1]:
            for child in multiprocessing.active_children():  # before it can write a checkpoint
                os.kill(child.pid, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    work(os.environ[STORE], listener=Killing())
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 100 million parameters, almost all in its embedding: 1.6 GB with their gradients and moments."""
    return save_tiny(
        tmp_path_factory.mktemp("models") / "large",
        "gpt_neox",
        hidden_size=1024,
        vocab_size=90_000,
        num_hidden_layers=1,
    )


SMALL = """
import os, re, resource
import embudget.training.loop, embudget.training.trunk
from embudget.study.work import STORE, work

if __name__ == "__main__":
    used = int(re.search(r"VmPeak:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + 10**9, used + 10**9))  # the process that trains inherits it
    work(os.environ[STORE])
"""


def test_what_is_out_of_memory_on_small_workers_is_left_to_larger_ones(
    large: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    study = tiny_study(large, tiny_pairs, precision="float32", budgets=[1e11])
    small = (sys.executable, "-c", SMALL)
    crew: list[Processes] = []

    def hired(store: Store) -> Crew:
        crew.append(Processes(store, [small, COMMAND]))  # the first worker is small, the next one is not
        return crew[0]

    records = sweep(study, tmp_path / "s.db", executor=hired)
    assert [record.status for record in records] == ["done"]
    assert losses(records) == losses(sweep(study, tmp_path / "whole.db"))
    assert records[0].attempts == 1, "it is no loss of a worker"
    assert len(crew[0].workers) == 2


def test_what_is_out_of_memory_on_all_workers_is_given_up(large: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    study = tiny_study(large, tiny_pairs, precision="float32", budgets=[1e11])
    small = (sys.executable, "-c", SMALL)
    (record,) = sweep(study, tmp_path / "s.db", executor=lambda store: Processes(store, [small]))
    assert record.status == "failed"
    assert "out of memory on every worker that tried it; the largest device has " in (record.error or "")


DRIVER = """
import sys
from embudget.study import Study, sweep
from tests.study.crew_of_processes import Processes
from tests.study.test_sweep import Log

if __name__ == "__main__":
    sweep(Study.from_yaml(sys.argv[1]), sys.argv[2], workers=2, executor=Processes)
"""


def drive(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder / "study.yaml"), str(folder / "s.db")],
        cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_drivers_that_are_killed_and_two_at_once_do_no_harm(study: Study, tmp_path: Path) -> None:
    """The workers of a driver that was killed go on; the next one waits for their records too."""
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_defaults=True)))
    first = drive(tmp_path)
    until = time.monotonic() + 120
    while not (tmp_path / "s.db").exists() or not Store(tmp_path / "s.db").leases().of_others():
        assert time.monotonic() < until and first.poll() is None
        time.sleep(0.2)
    first.kill()
    first.wait()
    assert first.stderr is not None
    first.stderr.close()  # its workers hold the other end, and go on
    drivers = [drive(tmp_path) for _ in range(2)]
    said = [one.communicate(timeout=300)[1] for one in drivers]
    assert [one.returncode for one in drivers] == [0, 0], said
    with Store(tmp_path / "s.db") as store:
        assert losses(store.records()) == losses(sweep(study, tmp_path / "whole.db"))
        assert {record.attempts for record in store.records()} == {1}
        assert store.queue().count() == 0
