"""A budget that the workers of a crew spend: the same decisions and the same model as on one machine."""

from pathlib import Path

import pytest
import torch

from embudget.pairs import Pairs
from embudget.spending.home import home_of
from embudget.study import Store
from tests.spending.spendings import lines, spending, study_of, weights
from tests.study.crew_of_processes import Processes

pytestmark = pytest.mark.slow


def test_a_crew_comes_to_the_same_decisions_and_the_same_model(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    study = study_of(tiny_neox, tiny_pairs, members=[f"{tiny_neox}:1"], precision="float32")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as each worker has
    try:
        here = spending(study, tmp_path / "here")
    finally:
        torch.set_num_threads(threads)
    crews: list[Processes] = []

    def hired(store: Store) -> Processes:
        crews.append(Processes(store))
        return crews[0]

    spent = spending(study, tmp_path / "crew", workers=2, executor=hired)
    assert lines(tmp_path / "crew") == lines(tmp_path / "here")
    assert weights(tmp_path / "crew") == weights(tmp_path / "here")
    assert spent.record.loss == here.record.loss
    assert len(spent.decisions) == 3 and len(crews[0].workers) == 2, "they stay over two rounds and the final run"
    assert [worker.wait(60) for worker in crews[0].workers] == [0, 0], "and leave by themselves"
    with Store(tmp_path / "crew" / "runs.db") as store:
        assert store.queue().count() == 0
        assert {record.id for record in store.records()} >= {record.id for _, record in spent.outcomes}
    assert not (tmp_path / "crew" / "runs.db.checkpoints").exists()


def test_a_crew_writes_the_model_where_a_spending_at_a_url_lies(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers go on from trunks at the URL, each with a cache of its own machine."""
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "driver"))
    study = study_of(tiny_neox, tiny_pairs, members=[f"{tiny_neox}:1"], precision="float32")
    there = tmp_path / "bucket" / "spent"

    def hired(store: Store) -> Processes:
        return Processes(store, env={"EMBUDGET_CACHE": str(tmp_path / "worker")})

    with home_of(f"file://{there}") as home:
        spent = spending(study, home.folder, at=home, workers=1, executor=hired)
        home.put()
    assert lines(there) == lines(home.folder) and len(spent.decisions) == 3
    assert weights(there) == weights(home.folder)
    with Store(there / "runs.db", create=False) as store:
        assert store.ids() == {record.id for _, record in spent.outcomes}
    assert not list(there.glob("checkpoints/*/step-*"))
