"""What every database must do as a store: tests for a fixture `place` that gives its address."""

import threading
import time
from pathlib import Path

import pytest

from embudget.records import RunConfig, RunRecord
from embudget.study import Store
from embudget.study import leases as leases_module
from embudget.study.leases import Hold, Leases, Losses


def config(seed: int = 0) -> RunConfig:
    return RunConfig(model="m", method="full", train_flops=1e12, pairs="p", batch_size=8, learning_rate=1e-3, seed=seed)


def done(seed: int = 0) -> RunRecord:
    return RunRecord(config=config(seed), status="done", loss=1.5, tokens=10)


def failed(seed: int = 0) -> RunRecord:
    return RunRecord(config=config(seed), status="failed", error="lost")


def as_of_another_process(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of the holder: its token was issued elsewhere, and its process is in another table."""
    monkeypatch.setattr(leases_module, "_issued", leases_module._issued - {leases._token})
    monkeypatch.setattr(leases_module, "is_running", lambda name: None)


class StoreContract:
    """The tests, for a class that inherits them."""

    def test_records_come_back_as_they_were_written(self, place: str | Path) -> None:
        with Store(place) as store:
            store.add(done(1))
            store.add(done(0))
        with Store(place, create=False) as store:
            assert store.records() == [done(1), done(0)]
            assert store.ids() == {done(0).id, done(1).id}

    def test_records_keep_their_order_when_the_clock_jumps(
        self, place: str | Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.time()
        with Store(place) as store:
            for seed, off in enumerate([0, 3600, -3600, -7200]):
                monkeypatch.setattr(time, "time", lambda off=off: now + off)
                store.add(done(seed))
            assert [record.config.seed for record in store.records()] == [0, 1, 2, 3]

    def test_a_record_is_written_once(self, place: str | Path) -> None:
        with Store(place) as store, store.leases() as leases:
            assert store.add(done())
            assert not store.add(done().model_copy(update={"loss": 9.0}))
            assert not store.add(failed())
            assert store.records() == [done()]
            assert leases.claim(config()) is Hold.RECORDED

    def test_a_late_record_wins_over_a_failed_one(self, place: str | Path) -> None:
        with Store(place) as store:
            assert store.add(failed())
            assert not store.add(failed().model_copy(update={"error": "again"}))
            assert store.records() == [failed()]
            assert store.add(done())
            assert store.records() == [done()]
            diverged = RunRecord(config=config(1), status="diverged", error="nan")
            assert store.add(failed(1)) and store.add(diverged) and not store.add(done(1))
            assert store.records() == [done(), diverged]

    def test_failed_runs_can_be_forgotten(self, place: str | Path) -> None:
        with Store(place) as store:
            for record in (done(), failed(1), failed(2)):
                store.add(record)
            store.forget_failed([config(0), config(1)])
            assert store.ids() == {config(0).id, config(2).id}

    def test_a_claimed_run_is_not_claimed_again(self, place: str | Path) -> None:
        with Store(place) as one, Store(place) as two, one.leases() as ours, two.leases() as theirs:
            assert ours.claim(config()) is Hold.OURS
            assert ours.claim(config()) is Hold.OURS, "its own lease is not another's"
            assert theirs.claim(config()) is Hold.HELD
            ours.release(config())
            assert theirs.claim(config()) is Hold.OURS
            assert ours.claim(config()) is Hold.HELD

    def test_a_sweep_that_ended_badly_does_not_hold_its_runs(self, place: str | Path) -> None:
        with Store(place) as store:
            ended = store.leases()
            assert ended.claim(config()) is Hold.OURS
            leases_module._in_use.discard(ended._token)  # all that is left of one that could not let go
            with store.leases() as leases:
                assert leases.claim(config()) is Hold.OURS

    def test_losses_stay_known_and_progress_is_told_from_none(self, place: str | Path) -> None:
        with Store(place) as store, store.leases() as leases:
            for step, expected in [(-1, (1, 1, -1)), (-1, (2, 2, -1)), (5, (3, 1, 5)), (5, (4, 2, 5)), (3, (5, 3, 5))]:
                assert leases.claim(config()) is Hold.OURS
                assert leases.lost(config(), step) == Losses(*expected)
                leases.release(config())
            assert leases.claim(config()) is Hold.OURS
            assert leases.losses(config()) == Losses(5, 3, 5)

    def test_a_sweep_that_ends_or_is_taken_over_costs_no_attempt(
        self, place: str | Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Store(place) as store:
            for _ in range(5):
                ended = store.leases()
                assert ended.claim(config()) is Hold.OURS
                assert ended.losses(config()) == Losses()
                leases_module._in_use.discard(ended._token)

    def test_of_many_at_once_one_gets_the_run(self, place: str | Path) -> None:
        Store(place).close()
        stores = [Store(place) for _ in range(6)]
        every = [store.leases() for store in stores]
        barrier = threading.Barrier(len(stores))
        claims: list[Hold] = []

        def claim(leases: Leases) -> None:
            barrier.wait()
            claims.append(leases.claim(config()))

        threads = [threading.Thread(target=claim, args=(leases,)) for leases in every]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for leases, store in zip(every, stores, strict=True):
            leases.close()
            store.close()
        assert claims.count(Hold.OURS) == 1 and len(claims) == 6

    def test_a_new_store_may_be_opened_by_many_at_once(self, place: str | Path) -> None:
        barrier = threading.Barrier(6)
        opened: list[set[str]] = []

        def start() -> None:
            barrier.wait()
            with Store(place) as store:
                opened.append(store.ids())

        threads = [threading.Thread(target=start) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert opened == [set()] * 6

    def test_a_lease_that_is_renewed_holds_and_one_that_is_not_ends(
        self, place: str | Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases_module, "LEASE_SECONDS", 1.0)
        with Store(place) as store, store.leases() as theirs, store.leases() as ours:
            assert theirs.claim(config()) is Hold.OURS
            as_of_another_process(theirs, monkeypatch)
            assert ours.claim(config()) is Hold.UNSURE, "nobody knows yet"
            until = time.monotonic() + 2.5
            while time.monotonic() < until:
                time.sleep(0.2)
                theirs.renew()
                assert ours.claim(config()) is Hold.HELD, "it was renewed"
            began = time.monotonic()
            while (came := ours.claim(config())) is not Hold.OURS:
                assert came in (Hold.HELD, Hold.UNSURE)
                assert time.monotonic() - began < 5
                time.sleep(0.1)
            assert time.monotonic() - began > 0.7
            assert ours.losses(config()) == Losses(), "the loss of a sweep is not the run's fault"
            assert theirs.renew() == {config().id}, "it is told that it has lost its lease"
            assert theirs.renew() == set()
            assert ours.renew() == set()

    def test_clocks_that_are_off_or_jump_change_nothing(
        self, place: str | Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Store(place) as store, store.leases() as theirs, store.leases() as ours:
            assert theirs.claim(config()) is Hold.OURS
            as_of_another_process(theirs, monkeypatch)
            now = time.time()
            for off in (600.0, -600.0, 1e6):
                monkeypatch.setattr(time, "time", lambda off=off: now + off)
                assert ours.claim(config()) is not Hold.OURS
                theirs.renew()
                assert ours.claim(config()) is Hold.HELD
