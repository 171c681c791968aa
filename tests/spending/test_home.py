"""A spending at a URL: a machine that is lost takes nothing along that another cannot go on from."""

import json
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from embudget.errors import ConfigError, RemoteError
from embudget.pairs import Pairs
from embudget.spending.folder import DECISIONS, STORE
from embudget.spending.home import check_home, home_of
from embudget.spending.listener import SpendListener
from embudget.study import Store, Study
from tests.spending.spendings import Steps, die, ended, lines, spending, study_of, weights


@pytest.fixture
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return study_of(tiny_neox, tiny_pairs, members=[f"{tiny_neox}:1"])


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/bucket/spent"


def spent_at(url: str, study: Study, listener: SpendListener | None = None, **options: Any) -> None:  # noqa: ANN401
    """Spend as `embudget spend --out URL` does."""
    with home_of(url) as home:
        spending(study, home.folder, at=home, listener=listener, **options)
        home.put()


@pytest.mark.slow
def test_another_machine_goes_on_to_the_same_decisions_and_the_same_model(
    study: Study, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost in the second round and in the final run; each machine has a cache of its own."""
    spending(study, tmp_path / "calm")
    there = tmp_path / "bucket" / "spent"
    for machine, listener in enumerate((Steps(8, False, die), Steps(6, True, die))):
        monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / f"machine-{machine}"))
        assert ended(lambda listener=listener: spent_at(url, study, listener)) == -signal.SIGKILL  # type: ignore[misc]
    before = len(lines(there))
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "machine-2"))
    spent_at(url, study)
    assert (lines(there), weights(there)) == (lines(tmp_path / "calm"), weights(tmp_path / "calm"))
    assert before == 3, "the last machine decided nothing anew"
    with Store(there / STORE, create=False) as store, Store(tmp_path / "calm" / STORE) as calm:
        assert store.ids() == calm.ids()
    assert not list(there.glob("checkpoints/*/step-*"))


def test_what_lies_at_the_url_counts_and_not_what_an_earlier_start_left_here(url: str, tmp_path: Path) -> None:
    with home_of(url) as home:
        (home.folder / DECISIONS).write_text("1\n")
        with Store(home.folder / STORE):
            home.put()
        (home.folder / DECISIONS).write_text("1\n2\n")
        (home.folder / "model").mkdir()
    with home_of(url) as home:
        assert lines(home.folder) == ["1"]
        assert (home.folder / STORE).exists() and not (home.folder / "model").exists()


def test_a_second_machine_is_refused_when_it_decides(url: str, tmp_path: Path) -> None:
    with home_of(url) as home:
        (home.folder / DECISIONS).write_text("1\n")
        home.put()
        (tmp_path / "bucket" / "spent" / DECISIONS).write_text("1\n2\n")
        (home.folder / DECISIONS).write_text("1\n3\n")
        with pytest.raises(ConfigError, match="another machine spends the budget at file:"):
            home.put()
        with pytest.raises(ConfigError, match=f"another process spends its budget in {url}: "), home_of(url):
            pass


def test_a_machine_lost_while_it_writes_records_leaves_those_that_were_there(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy here is made anew at the next start, so that a torn database would be the end of all records."""
    there = tmp_path / "bucket" / "spent"
    with home_of(url) as home, Store(home.folder / STORE):
        home.put()
        before = (there / STORE).read_bytes()

        def torn(fs: object, source: str, target: str) -> None:
            Path(target).write_bytes(before[:1000])
            raise KeyboardInterrupt

        with sqlite3.connect(home.folder / STORE) as more:
            more.execute("CREATE TABLE more (id TEXT)")
        monkeypatch.setattr(LocalFileSystem, "put_file", torn)
        with pytest.raises(KeyboardInterrupt):
            home.put()
    assert (there / STORE).read_bytes() == before
    monkeypatch.undo()
    with home_of(url) as home, Store(home.folder / STORE, create=False):
        home.put()


def test_somebody_elses_things_at_a_url_are_refused(url: str, tmp_path: Path) -> None:
    check_home(url, ())
    there = tmp_path / "bucket" / "spent"
    there.mkdir(parents=True)
    (there / DECISIONS).write_text(json.dumps({}))
    with pytest.raises(ConfigError, match=r"holds decisions\.jsonl, and no start\.json"):
        check_home(url, ())
    with pytest.raises(ConfigError, match="out must be a place of its own"):
        check_home(url, (url,))
    (there / "start.json").write_text("{}")
    (there / "model").mkdir()
    (there / "model" / "theirs").write_text("")
    with pytest.raises(RemoteError, match=r"a new place or one that embudget wrote; .*/model holds theirs"):
        check_home(url, ())
