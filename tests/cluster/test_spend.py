"""A budget that workers of Slurm or Ray spend: the decisions and the model of one machine, the final run included."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from embudget.pairs import Pairs
from embudget.study import Store
from embudget.study.executors.base import Crew
from embudget.study.executors.ray import RayCrew
from embudget.study.executors.ray_cluster import leave
from embudget.study.executors.ray_options import RayOptions
from embudget.study.executors.slurm import SlurmCrew
from embudget.study.executors.slurm_options import SlurmOptions
from embudget.study.tables import RESULTS
from tests.cluster.ray_service import RayService, ray_cluster  # noqa: F401 - a fixture
from tests.cluster.slurm_service import Slurm
from tests.cluster.slurm_work import ASKED
from tests.spending.spendings import lines, spending, study_of, weights

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Ray leaves the logs of what it starts open
]


def spent_by(hired: Callable[[Store], Crew], model: Path, pairs: Pairs, folder: Path) -> set[str]:
    """Spend a budget here and by a crew, to the same end; the names of the workers that trained for the latter."""
    study = study_of(model, pairs, members=[f"{model}:1"], precision="float32")
    here = spending(study, folder / "here")
    spent = spending(study, folder / "crew", workers=2, executor=hired)
    assert lines(folder / "crew") == lines(folder / "here")
    assert weights(folder / "crew") == weights(folder / "here")
    assert spent.record.loss == here.record.loss
    assert not (folder / "crew" / "runs.db.checkpoints").exists()
    with Store(folder / "crew" / "runs.db") as store:
        assert store.queue().count() == 0
        rows = store._database.read(lambda connection: connection.execute(select(RESULTS.c.id, RESULTS.c.worker)).all())
    trained = {row.id: row.worker for row in rows}
    assert trained.keys() == {record.id for _, record in spent.outcomes}, "the final run too"
    assert len(spent.decisions) == 3 and len(trained) == 4
    return set(trained.values())


def test_workers_of_slurm_come_to_the_same_decisions_and_the_same_model(
    cluster: Slurm, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    crews: list[SlurmCrew] = []

    def hired(store: Store) -> SlurmCrew:
        crews.append(SlurmCrew(store, SlurmOptions.read(ASKED), tmp_path / "slurm"))
        return crews[0]

    workers = spent_by(hired, tiny_neox, tiny_pairs, tmp_path)
    assert all(name.startswith("slurm ") for name in workers)
    shown = cluster("squeue", "--states=all", "--noheader", "--array", f"--name={crews[0].name}", "--format=%T")
    assert shown.split() == ["COMPLETED"] * 2, "no job was submitted for the second round or the final run"


@pytest.fixture
def nodes(ray_cluster: RayService) -> Iterator[RayService]:  # noqa: F811 - the fixture
    """The cluster with its two nodes, and empty again at the end."""
    yield ray_cluster
    leave()
    ray_cluster.empty()


def test_workers_of_ray_stay_over_the_rounds_too(
    nodes: RayService, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    asked = RayOptions.read("num_gpus=1,num_cpus=1")
    workers = spent_by(lambda store: RayCrew(store, nodes.address, asked), tiny_neox, tiny_pairs, tmp_path)
    assert all(name.startswith("ray ") for name in workers)
    assert len(workers) <= 2, "no actor was made for the second round or the final run"
