"""Copying a store: all of it arrives, once, and nothing else is touched."""

from pathlib import Path

import pytest

from embudget.errors import StoreError
from embudget.study import Store
from embudget.study.copying import Copied
from embudget.study.leases import Hold, Losses
from tests.command_line import Run
from tests.study.queue_contract import PLACE
from tests.study.store_contract import config, done, failed


def fill(place: str | Path) -> None:
    """Two records, two queued runs, of which one has lost its worker."""
    with Store(place) as store, store.leases() as leases:
        store.add(done(0))
        store.add(failed(1))
        store.queue().add([config(2), config(3)], PLACE, out={config(3).id: "/out"})
        store.queue().too_small([config(3).id], 8e9)
        assert leases.claim(config(2)) is Hold.OURS
        leases.lost(config(2), 5, "signal 9")


def check(place: str | Path) -> None:
    """All that `fill` has written is there."""
    with Store(place) as store, store.leases() as leases:
        assert store.records() == [done(0), failed(1)]
        assert store.queue().ids() == {config(2).id, config(3).id}
        assert [(one.config, one.device_bytes) for one in store.queue().lacking()] == [(config(3), 8e9)]
        assert store.queue().place(PLACE.id) == PLACE
        assert leases.claim(config(2)) is Hold.OURS
        assert leases.losses(config(2)) == Losses(1, 1, 5, "signal 9")


def copied(source: str | Path, target: str | Path) -> Copied:
    with Store(source, create=False) as old, Store(target) as new:
        return old.copy_to(new)


def test_everything_arrives_and_a_second_copy_adds_nothing(tmp_path: Path, run: Run) -> None:
    one, two, three = (tmp_path / name for name in ("1.db", "2.db", "3.db"))
    fill(one)
    assert copied(one, two) == Copied(2, 2, 1, records_there=0, queued_there=0)
    assert copied(one, two) == Copied(0, 0, 0, records_there=2, queued_there=2)
    check(two)
    said = run("store", "copy", two, three)
    assert said.code == 0 and (
        "copied 2 records, 2 queued runs and how often 1 run lost the worker; 0 records and 0 queued runs were there"
        in said.out
    )
    again = run("store", "copy", two, three)
    assert "copied 0 records and 0 queued runs; 2 records and 2 queued runs were there already" in again.out
    check(three)


def test_what_came_since_is_added_and_a_copy_that_has_gone_on_stays(tmp_path: Path) -> None:
    one, two = tmp_path / "1.db", tmp_path / "2.db"
    fill(one)
    copied(one, two)
    with Store(one) as store:
        store.add(done(2))
        store.add(done(1))
    assert copied(one, two) == Copied(2, 0, 0, records_there=1, queued_there=1), (
        "one is new, one takes the place of a failed run"
    )
    with Store(two) as store:
        assert store.queue().ids() == {config(3).id}
        store.add(done(3))
    assert copied(one, two) == Copied(0, 0, 0, records_there=3, queued_there=0)
    with Store(two) as store:
        assert {record.id for record in store.records()} == {config(seed).id for seed in range(4)}
        assert store.queue().count() == 0


def test_another_study_and_other_records_are_refused_and_left_alone(tmp_path: Path, run: Run) -> None:
    one, two = tmp_path / "1.db", tmp_path / "2.db"
    fill(one)
    with Store(two) as store:
        store.add(done(7))
    with pytest.raises(StoreError, match=f"holds other runs than .* such as {done(7).id}"):
        copied(one, two)
    with Store(tmp_path / "3.db") as store:
        store.add(done(0).model_copy(update={"loss": 9.0}))
    with pytest.raises(StoreError, match=f"holds another record of the run {done(0).id}"):
        copied(one, tmp_path / "3.db")
    for place in (two, tmp_path / "3.db"):
        with Store(place) as store:
            assert len(store.records()) == 1 and store.queue().count() == 0
    assert run("store", "copy", tmp_path / "no.db", tmp_path / "4.db").code == 2
    assert not (tmp_path / "4.db").exists()


def test_a_store_at_work_is_not_copied(tmp_path: Path, run: Run) -> None:
    fill(tmp_path / "1.db")
    with Store(tmp_path / "1.db") as store, store.leases("node-7") as leases:
        leases.claim(config(3))
        said = run("store", "copy", tmp_path / "1.db", tmp_path / "2.db")
    assert said.code == 2 and f"node-7 trains the run {config(3).id}" in said.err
    assert not (tmp_path / "2.db").exists()
