"""A Ray cluster whose head node is lost: its workers save their runs, and the same command goes on when it is back."""

from pathlib import Path

import pytest

from embudget.study import Store, Study, sweep
from tests.cluster.long_runs import measured, until
from tests.cluster.ray_service import RayService
from tests.cluster.test_ray import lease, started, trains

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Ray leaves the logs of what it starts open
]


def test_workers_save_their_runs_and_the_same_command_goes_on(study: Study, tmp_path: Path) -> None:
    study = study.model_copy(update={"budgets": (1.2e11,)})  # workers take 5 s to hear of it
    whole = sweep(study, tmp_path / "whole.db", workers=2)
    lost = RayService()
    try:
        driver = started(lost, tmp_path, study, tmp_path / "s.db", "--ray", lost.address, "--checkpoint-minutes", 1000)
        until(lambda: trains(tmp_path) > 0)
        lost.cluster.remove_node(lost.cluster.head_node, allow_graceful=False)
        until(lambda: not lease(tmp_path), 60)
        assert list(tmp_path.glob("kept/*/step-*")), "saved at the end, since none was due before"
        driver.communicate(timeout=200)
        assert driver.returncode != 0
    finally:
        lost.stop()
    back = RayService()
    try:
        driver = started(back, tmp_path, study, tmp_path / "s.db", "--ray", back.address)
        out, err = driver.communicate(timeout=300)
    finally:
        back.stop()
    assert driver.returncode == 0, err
    assert "2 runs done, 0 failed" in out
    with Store(tmp_path / "s.db") as store:
        assert measured(store.records()) == measured(whole)
        assert {record.attempts for record in store.records()} == {1}
