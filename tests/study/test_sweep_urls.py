"""A study whose pairs, model and checkpoints lie at URLs, here folders of the disk; tests/cluster has buckets."""

import logging
from pathlib import Path

import pytest
import yaml

from embudget.errors import RemoteError
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunRecord
from embudget.remote import put_folder
from embudget.remote.folders import names_in
from embudget.study import Store, Study, sweep
from embudget.suite import find_shape, known_shape
from embudget.suite.loading import weights_of
from embudget.suite.members import split_depth
from tests.study.studies import tiny_study
from tests.study.test_sweep import Log


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "machine"))
    return f"file://{tmp_path}/bucket"


@pytest.fixture
def study(url: str, tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    put_folder(tiny_neox, f"{url}/model")
    put_folder(tiny_pairs.folder, f"{url}/pairs")
    return tiny_study(f"{url}/model", tiny_pairs, pairs=f"{url}/pairs", budgets=[6e8, 1e9])


def results(records: list[RunRecord]) -> list[tuple[object, ...]]:
    return [(one.config.train_flops, one.status, one.loss, one.loss_curve) for one in records]


class Stopped(Log):
    """Ends the sweep as a signal does, when a share of the dearest run is done."""

    def progress(self, config: object, share: float, loss: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt


class First(Log):
    """Remembers the share of the budget at the first step that is told."""

    first = 0.0

    def progress(self, config: object, share: float, loss: float) -> None:
        self.first = self.first or share


@pytest.mark.slow
def test_it_gives_the_records_of_a_local_one_and_goes_on_elsewhere(
    study: Study, url: str, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = study.model_copy(update={"members": (f"{tiny_neox}:1",), "pairs": tiny_pairs.folder})
    whole = results(sweep(local, tmp_path / "whole.db"))
    kept = f"{url}/kept"
    with pytest.raises(KeyboardInterrupt):
        sweep(study, tmp_path / "s.db", 1, Stopped(), checkpoints=kept, checkpoint_seconds=0)
    assert [name for name in names_in(kept) if name.endswith("manifest.json")]
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "another"))
    log = First()
    records = sweep(study, tmp_path / "s.db", 1, log, checkpoints=kept)
    assert results(records) == whole and log.first > 0.2
    assert not names_in(kept) and {record.config.model for record in records} == {f"{url}/model:1"}


def test_a_study_file_keeps_its_urls(study: Study, url: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_unset=True)))
    read = Study.from_yaml(tmp_path / "study.yaml")
    assert read.pairs == f"{url}/pairs" and read.members == (f"{url}/model:1",)


def test_a_model_is_called_by_its_url(study: Study, url: str, tiny_neox: Path) -> None:
    assert known_shape(f"{url}/model:2") is None, "asking never fetches"
    assert split_depth(f"{url}/model/") == (f"{url}/model", None)
    assert split_depth(f"{url}/model:2") == (f"{url}/model", 2)
    shape = find_shape(f"{url}/model:2")
    assert shape.name == f"{url}/model:2"
    assert shape.model_params == find_shape(f"{tiny_neox}:2").model_params
    assert weights_of(f"{url}/model:2") == weights_of(str(tiny_neox))
    assert known_shape(f"{url}/model:2") == shape


def test_trouble_is_one_line(study: Study, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RemoteError, match=r"^cannot read file://.*/none: there is nothing"):
        load_pairs(f"{url}/none")
    with pytest.raises(RemoteError, match=r"^cannot read file://.*/none: there is nothing"):
        sweep(study.model_copy(update={"members": (f"{url}/none:1",)}), tmp_path / "s.db")
    (tmp_path / "file").touch()
    with pytest.raises(RemoteError, match=r"^cannot write file://.*/file/x: "):
        sweep(study, tmp_path / "s.db", checkpoints=f"file://{tmp_path}/file/x")
    assert not [one for one in caplog.records if one.levelno > logging.WARNING]


def test_records_that_a_store_did_not_take_reach_another_machine(
    study: Study, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embudget.errors import StoreError
    from tests.study.test_sweep_checkpoints import broken_at_the_first

    study = study.model_copy(update={"budgets": (6e8,)})
    kept = f"{url}/kept"
    broken_at_the_first(monkeypatch)
    with pytest.raises(StoreError, match="disk is full"):
        sweep(study, tmp_path / "s.db", checkpoints=kept)
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "another"))
    log = First()
    (record,) = sweep(study, tmp_path / "s.db", 1, log, checkpoints=kept)
    assert record.status == "done" and not log.first, "it was not trained again"
    assert not names_in(kept)
    with Store(tmp_path / "s.db") as store:
        assert len(store.records()) == 1
