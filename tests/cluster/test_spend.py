"""A budget that workers of Slurm spend: the decisions and the model of one machine, the final run included."""

from pathlib import Path

import pytest

from embudget.pairs import Pairs
from embudget.study import Store
from embudget.study.executors.slurm import SlurmCrew
from embudget.study.executors.slurm_options import SlurmOptions
from tests.cluster.slurm_service import Slurm
from tests.cluster.slurm_work import ASKED
from tests.spending.spendings import lines, spending, study_of, weights

pytestmark = pytest.mark.cluster


def test_workers_of_slurm_come_to_the_same_decisions_and_the_same_model(
    cluster: Slurm, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    study = study_of(tiny_neox, tiny_pairs, members=[f"{tiny_neox}:1"], precision="float32")
    here = spending(study, tmp_path / "here")

    crews: list[SlurmCrew] = []

    def hired(store: Store) -> SlurmCrew:
        crews.append(SlurmCrew(store, SlurmOptions.read(ASKED), tmp_path / "slurm"))
        return crews[0]

    spent = spending(study, tmp_path / "crew", workers=2, executor=hired)
    assert lines(tmp_path / "crew") == lines(tmp_path / "here")
    assert weights(tmp_path / "crew") == weights(tmp_path / "here")
    assert spent.record.loss == here.record.loss
    with Store(tmp_path / "crew" / "runs.db") as store:
        assert store.queue().count() == 0
        trained = {record.id for record in store.records()}
    assert trained >= {record.id for _, record in spent.outcomes} | {spent.record.id}
    said = "".join(path.read_text() for path in (tmp_path / "slurm").glob("*.out"))
    assert all(f"{run} " in said for run in trained), "workers of Slurm trained all of them, the final run too"
    assert not (tmp_path / "crew" / "runs.db.checkpoints").exists()
    submitted = cluster("squeue", "--states=all", "--noheader", "--array", "--format=%j").split()
    assert submitted.count(crews[0].name) == 2, "no job was submitted for the second round or the final run"
