"""What a store says of its runs at a moment, filled as sweeps and workers fill it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from embudget.records import RunConfig, RunRecord
from embudget.study import Store, leases
from embudget.study.leases import Hold
from embudget.study.ordering import LongestFirst
from embudget.study.queue import Place
from embudget.study.tables import LEASES, RESULTS
from tests.study.test_schedule import config

PLACE = Place(pairs="/data/pairs", pairs_hash="0" * 16)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "s.db") as opened:
        yield opened


def done(run: RunConfig, loss: float = 3.0, seconds: float = 100.0) -> RunRecord:
    return RunRecord(
        config=run, status="done", loss=loss, steps=10, pairs_seen=160, tokens=9600, train_flops=run.train_flops,
        seconds=seconds,
    )  # fmt: skip


def set_lease(store: Store, run: RunConfig, **values: object) -> None:
    store._database.write(
        lambda connection: connection.execute(update(LEASES).where(LEASES.c.id == run.id).values(**values))
    )


def test_each_run_is_where_it_is(store: Store) -> None:
    runs = [config("micro-1m", rate=rate) for rate in (1e-4, 2e-4, 3e-4, 4e-4, 5e-4)]
    store.queue().add(runs, PLACE)
    store.add(done(runs[0]))
    store.add(RunRecord(config=runs[1], status="failed", error="RuntimeError: out of memory"))
    store.add(RunRecord(config=runs[2], status="diverged", error="NaN at step 3"))
    with store.leases("node-7") as holder:
        assert holder.claim(runs[3]) is Hold.OURS
        set_lease(store, runs[3], share=0.25, loss=2.5, pace=0.01)
        now = store.progress().look()
    assert (now.done, now.failed, now.diverged, now.waiting) == (1, 1, 1, 1)
    (running,) = now.running
    assert (running.id, running.worker, running.share, running.loss) == (runs[3].id, "node-7", 0.25, 2.5)
    (failure,) = now.failures
    assert (failure.id, failure.reason) == (runs[1].id, "RuntimeError: out of memory")
    assert not now.over


def test_the_time_left_is_that_of_the_pace_and_of_what_was_measured(store: Store) -> None:
    """Runs of 1e12 FLOP took 100 s; one is three quarters done, and one waits for its worker."""
    runs = [config("micro-1m", rate=rate) for rate in (1e-4, 2e-4, 3e-4)]
    store.queue().add(runs, PLACE)
    store.add(done(runs[0]))
    with store.leases() as holder:
        assert holder.claim(runs[1]) is Hold.OURS
        set_lease(store, runs[1], share=0.75, loss=2.5, pace=0.01)
        reader = store.progress()
        now, two = reader.look(), reader.look(workers=2)
    assert now.running[0].seconds_left == pytest.approx(25)
    assert now.seconds_left == pytest.approx(125, rel=0.02)
    assert two.seconds_left == pytest.approx(100, rel=0.02), "another worker takes the one that waits"


def test_what_the_first_run_of_a_worker_waited_for_is_expected_of_no_other(store: Store) -> None:
    """Libraries are loaded and pairs are tokenised once: 50 s here, where other runs take 1 s beside their training."""
    runs = [config("micro-1m", rate=rate) for rate in (1e-4, 2e-4, 3e-4)]
    for name, starting in (("node-1", 50.0), ("node-2", 40.0)):
        with store.leases(name) as holder:
            for number, run in enumerate(runs):
                one = run.model_copy(update={"seed": len(name) + ord(name[-1])})
                assert holder.claim(one) is Hold.OURS
                store.add(done(one), took=100.0 + (1.0 if number else starting))
                holder.ended(one.id)
    beside = [time.beside for time in store.progress().times()]
    assert beside.count(None) == 2 and set(beside) - {None} == {1.0}


def test_a_trunk_is_trained_by_one_worker(store: Store) -> None:
    """Its later runs do not wait for somebody else, however many workers there are."""
    trunk = [config("micro-1m", train_flops=c, schedule="wsd", warmup=1e11 / c) for c in (1e12, 4e12)]
    measured = config("micro-1m", train_flops=1e12)
    store.queue().add(trunk, PLACE)
    store.add(done(measured, seconds=100.0))
    with store.leases() as holder:
        assert holder.claim(trunk[0]) is Hold.OURS
        set_lease(store, trunk[0], share=0.5, loss=2.5, pace=0.01)
        now = store.progress().look(workers=8)
    assert now.seconds_left == pytest.approx(50 + 100 * (4 - 0.8 * 1), rel=0.02)
    assert now.waiting == 1


def test_nobody_at_work_has_no_time_left_and_nothing_measured_neither(store: Store) -> None:
    runs = [config("micro-1m", rate=rate) for rate in (1e-4, 2e-4)]
    store.queue().add(runs, PLACE)
    assert store.progress().look().seconds_left is None
    store.add(done(runs[0]))
    assert store.progress().look().seconds_left is None
    store.add(done(runs[1]))
    now = store.progress().look()
    assert now.over
    assert now.seconds_left == 0


def test_a_run_whose_worker_is_gone_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = config("micro-1m")
    store.queue().add([run], PLACE)
    holder = store.leases()
    assert holder.claim(run) is Hold.OURS
    leases._in_use.discard(holder._token)
    now = store.progress().look()
    assert (now.running, now.waiting) == ((), 1)


def test_the_best_of_each_budget_among_losses_that_compare(store: Store) -> None:
    cheap, dear = ([config("micro-1m", train_flops=c, rate=rate) for rate in (1e-4, 2e-4)] for c in (1e12, 4e12))
    for run, loss in zip([*cheap, *dear], (3.2, 3.1, 2.9, 3.0), strict=True):
        store.add(done(run, loss))
    other = config("micro-3m", eval_candidates=16, eval_pairs=16)
    store.add(done(other, 0.5))
    store.add(done(config("micro-3m"), 3.3))  # the newest decides which losses are shown
    best = store.progress().look().best
    assert [(one.train_flops, one.run.id, one.runs) for one in best] == [(4e12, dear[0].id, 2), (1e12, cheap[1].id, 3)]


def test_a_run_of_a_search_is_known_by_its_lease_alone(store: Store) -> None:
    """Those that `spend` trains on its own machine are not queued."""
    run = config("micro-1m")
    with store.leases() as holder:
        assert holder.claim(run) is Hold.OURS
        set_lease(store, run, share=0.5, loss=2.0, pace=0.1)
        now = store.progress().look()
    (running,) = now.running
    assert (running.id, running.model) == (run.id, None)
    assert running.seconds_left == pytest.approx(5)
    assert now.seconds_left == pytest.approx(5)


def test_records_of_an_older_version_count_too(store: Store) -> None:
    """They have no results beside them."""
    runs = [config("micro-1m", rate=rate) for rate in (1e-4, 2e-4, 3e-4)]
    for run, loss in zip(runs, (3.0, 2.9, 3.1), strict=True):
        store.add(done(run, loss))
    store._database.write(lambda connection: connection.execute(RESULTS.delete().where(RESULTS.c.id != runs[2].id)))
    reader = store.progress()
    for _ in range(2):
        now = reader.look()
        assert now.done == 3
        assert [(one.run.id, one.runs) for one in now.best] == [(runs[1].id, 3)]
    assert len(reader.times()) == 3


def test_failed_runs_that_are_done_again_are_no_failures_any_more(store: Store) -> None:
    run = config("micro-1m")
    store.add(RunRecord(config=run, status="failed", error="a full disk"))
    reader = store.progress()
    assert reader.look().failed == 1
    store.forget_failed([run])
    assert reader.look().failed == 0
    store.add(RunRecord(config=run, status="failed", error="a full disk"))
    store.add(done(run))
    assert (reader.look().failed, reader.look().done) == (0, 1)


def test_loading_and_measuring_are_known_from_the_lease(store: Store) -> None:
    """A run that trained for 10 s of the 16 s that it was leased; one that went on from a checkpoint tells nothing."""
    for rate, took in ((5e-5, 60.0), (1e-4, 16.0), (2e-4, 4.0)):
        store.add(done(config("micro-1m", rate=rate), seconds=10.0), took=took)
    assert [time.beside for time in store.progress().times()] == [None, 6.0, None], "the newest first"


def test_a_store_without_a_queue_and_an_empty_one(store: Store) -> None:
    now = store.progress().look()
    assert (now.ended, now.over, now.best) == (0, True, ())


def test_the_queue_follows_what_is_measured(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow member's task comes first once both have been measured, though both have the same budget."""
    slow, fast = config("micro-200k"), config("micro-3m")
    runs = [fast, slow]
    order = LongestFirst(store, 4e10)
    store.queue().add(runs, PLACE, order.seconds(runs))
    assert order.again(runs) is None, "it has just been looked at"
    order._next_look = 0.0
    assert order.again(runs) is None, "nothing was measured"
    store.add(done(config("micro-200k", rate=5e-4), seconds=400.0))
    order._next_look = 0.0
    assert order.again(runs) is None, "of the other member nothing is known"
    store.add(done(config("micro-3m", rate=5e-4), seconds=100.0))
    order._next_look = 0.0
    assert order.again(runs) == [(slow,), (fast,)]
    with store.leases() as holder:
        queue = store.queue()

        def pick(connection: object) -> tuple[RunConfig, ...]:
            picked = queue.pick(connection, holder.held, 1e18)  # type: ignore[arg-type]
            return () if picked is None else picked.runs

        assert holder.claim_first(pick) == (Hold.OURS, (slow,))
