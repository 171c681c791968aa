"""What every database must do as a queue of runs: tests for a fixture `place` that gives its address."""

import threading
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event

from embudget.records import RunConfig, RunRecord
from embudget.study import Store
from embudget.study.free_task import longest_free
from embudget.study.leases import Hold, Leases
from embudget.study.queue import Place, Queue, Queued
from tests.study.store_contract import config, done

PLACE = Place(pairs="/data/pairs", pairs_hash="p")
LARGE = 1e12
"""Bytes of a device on which everything fits."""


def trunk(*budgets: float) -> list[RunConfig]:
    """Runs that share a trunk."""
    one = RunConfig(
        model="m", method="full", train_flops=1e12, pairs="p", batch_size=8, learning_rate=1e-3, schedule="wsd",
        warmup=0.1,
    )  # fmt: skip
    return [one.model_copy(update={"train_flops": budget, "warmup": 1e11 / budget}) for budget in budgets]


def taken(queue: Queue, leases: Leases, memory: float = LARGE) -> Queued | None:
    """Take the next task as a worker does."""
    found: list[Queued] = []

    def pick(connection: object) -> tuple[RunConfig, ...]:
        picked = queue.pick(connection, leases.held, memory)  # type: ignore[arg-type]
        found.extend([picked] if picked else [])
        return picked.runs if picked else ()

    came, _ = leases.claim_first(pick)
    return found[-1] if found and came is Hold.OURS else None


def _at(step: int, config: RunConfig) -> int:
    return step


class QueueContract:
    """The tests, for a class that inherits them."""

    def test_runs_are_queued_once_and_leave_with_their_records(self, place: str | Path) -> None:
        with Store(place) as store:
            store.add(done(0))
            queue = store.queue()
            for _ in range(2):
                queue.add([config(seed) for seed in range(4)], PLACE)
            assert queue.count() == 3, "one has a record"
            queue.add([config(1), config(1)], PLACE)
            assert queue.ids() == {config(seed).id for seed in (1, 2, 3)}
            store.add(done(2))
            store.add(RunRecord(config=config(3), status="failed", error="lost"))
            assert queue.ids() == {config(1).id}
            queue.forget([config(1).id])
            assert queue.count() == 0

    def test_the_longest_task_comes_first_and_is_taken_once(self, place: str | Path) -> None:
        with Store(place) as store, store.leases() as ours, store.leases() as theirs:
            queue = store.queue()
            runs = [config(seed) for seed in range(3)]
            queue.add(runs, PLACE, {run.id: float(run.seed) for run in runs})
            assert [taken(queue, leases) for leases in (ours, theirs, ours, theirs)] == [
                *(Queued((run,), PLACE.id, None) for run in reversed(runs)),
                None,
            ]
            ours.release(runs[2])
            assert taken(queue, theirs) == Queued((runs[2],), PLACE.id, None), "it was let go"

    def test_a_trunk_is_one_task_cheapest_first(self, place: str | Path) -> None:
        with Store(place) as store, store.leases() as ours, store.leases() as theirs:
            queue, runs = store.queue(), trunk(4e12, 1e12, 2e12)
            queue.add(runs, PLACE)
            queue.add([*runs, *trunk(8e12)], PLACE)
            task = taken(queue, ours)
            assert task is not None
            assert [run.train_flops for run in task.runs] == [1e12, 2e12, 4e12, 8e12]
            assert taken(queue, theirs) is None, "the rest of a trunk under way is not handed out"
            store.add(RunRecord(config=task.runs[0], status="done", loss=1.0))
            ours.ended(task.runs[0].id)
            rest = taken(queue, theirs)
            assert rest is not None and rest.runs == task.runs[1:]

    def test_what_was_out_of_memory_is_left_to_larger_devices(self, place: str | Path) -> None:
        with Store(place) as store, store.leases() as leases:
            queue = store.queue()
            queue.add([config()], PLACE, out={config().id: "/models/x"})
            queue.too_small([config().id], 24e9)
            queue.too_small([config().id], 16e9)
            assert [(one.config, one.device_bytes) for one in queue.lacking()] == [(config(), 24e9)]
            assert queue.free_tasks(()) == 0
            queue.add([config()], PLACE, out={config().id: "/models/x"})
            assert taken(queue, leases, 24e9) is None
            assert taken(queue, leases, 80e9) == Queued((config(),), PLACE.id, "/models/x")

    def test_a_run_costs_few_statements_however_many_others_are_held(self, place: str | Path) -> None:
        """Each is a round trip to a server: a claim took nine and a record thirteen, the transaction's own included."""
        with Store(place) as store, store.leases() as ours, store.leases() as theirs:
            queue, runs = store.queue(), [config(seed) for seed in range(12)]
            queue.add(runs, PLACE, {run.id: float(run.seed) for run in runs})
            for _ in range(10):
                assert taken(queue, theirs)
            said: list[str] = []
            event.listen(store._database._engine, "before_cursor_execute", lambda *given: said.append(given[2]))
            task = taken(queue, ours)
            assert task is not None and task.runs == (runs[1],), "the longest that nobody holds"
            begin = said.count("BEGIN IMMEDIATE")
            assert len(said) - begin <= 4, "the store's format, the task, its lease, its record"
            assert taken(queue, ours)
            said.clear()
            assert store.add(RunRecord(config=runs[1], status="done", loss=1.0))
            assert len(said) - said.count("BEGIN IMMEDIATE") <= 6
            ours.ended(runs[1].id)
            said.clear()
            assert theirs.renew() == set()
            assert len(said) - said.count("BEGIN IMMEDIATE") == 1, "one for all ten"

    def test_the_longest_task_is_found_without_reading_the_whole_queue(self, place: str | Path) -> None:
        """With 10,000 runs queued a claim once took 19,000 look-ups."""
        with Store(place) as store, store.leases() as leases:
            queue, runs = store.queue(), [config(seed) for seed in range(3000)]
            queue.add(runs, PLACE, {run.id: float(run.seed) for run in runs})
            assert taken(queue, leases)
            server = store._database.dialect == "postgresql"
            statement = longest_free(leases.held, LARGE, ("x",), ("m2",), locks=server)
            explain = "EXPLAIN " if server else "EXPLAIN QUERY PLAN "
            with store._database._engine.connect() as connection:
                compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
                plan = "\n".join(
                    str(row)
                    for row in connection.exec_driver_sql(explain + str(compiled).replace("%", "%%" if server else "%"))
                )
            assert "queue_order" in plan, plan

    def test_a_step_is_written_once_by_the_next_renewal(self, place: str | Path) -> None:
        with Store(place) as store, store.leases("me") as ours, store.leases() as theirs:
            for seed in (0, 1):
                assert ours.claim(config(seed)) is Hold.OURS
            ours.step(config(0), 0.25, 2.0)
            ours.step(config(0), 0.5, 1.0)
            said: list[str] = []
            event.listen(store._database._engine, "before_cursor_execute", lambda *given: said.append(given[2]))
            written = []
            for _ in range(2):
                said.clear()
                ours.renew()
                written.append(sum("share" in statement for statement in said))
            assert written == [1, 0]
            seen = theirs.of_others()
            assert [seen[config(seed).id].share for seed in (0, 1)] == [0.5, None]
            assert seen[config(0).id].loss == 1.0

    def test_records_are_heard_of_by_when_they_were_written(self, place: str | Path) -> None:
        with Store(place) as store:
            store.add(done(0))
            first = store.written_since(0.0)
            store.add(done(1))
            assert first.keys() == {config(0).id}
            assert store.written_since(first[config(0).id]).keys() == {config(1).id}

    def test_places_come_back(self, place: str | Path) -> None:
        one = Place(pairs="s3://b/pairs", pairs_hash="h", checkpoints="/k", checkpoint_seconds=7.0, evaluate=("X",))
        with Store(place) as store:
            store.queue().add([config()], one)
            assert store.queue().place(one.id) == one
            assert one.id != PLACE.id

    def test_each_of_many_workers_gets_another_task(self, place: str | Path) -> None:
        count = 6
        with Store(place) as store:
            store.queue().add([config(seed) for seed in range(count)], PLACE)
        stores = [Store(place) for _ in range(count)]
        every = [store.leases() for store in stores]
        barrier, got, errors = threading.Barrier(count), list[str](), list[BaseException]()

        def take(store: Store, leases: Leases) -> None:
            barrier.wait()
            try:
                while (task := taken(store.queue(), leases)) is None:
                    pass
            except BaseException as error:
                errors.append(error)
                raise
            got.append(task.runs[0].id)

        threads = [threading.Thread(target=take, args=pair) for pair in zip(stores, every, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for leases, store in zip(every, stores, strict=True):
            leases.close()
            store.close()
        assert not errors and len(set(got)) == count

    def test_two_drivers_may_queue_the_same_runs_at_once(self, place: str | Path) -> None:
        Store(place).close()
        stores, barrier = [Store(place) for _ in range(4)], threading.Barrier(4)

        def add(store: Store) -> None:
            barrier.wait()
            store.queue().add([config(seed) for seed in range(50)], PLACE)

        threads = [threading.Thread(target=add, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [store.queue().count() for store in stores] == [50] * 4
        for store in stores:
            store.close()

    def test_the_loss_of_a_worker_counts_and_letting_go_does_not(
        self, place: str | Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from embudget.study import leases as leases_module
        from tests.study.store_contract import as_of_another_process

        monkeypatch.setattr(leases_module, "is_running", lambda name: False)
        with Store(place) as store:
            for step, expected in [(-1, (1, 1)), (-1, (2, 2)), (7, (3, 1))]:
                lost = store.leases("node-1", counts=True)
                assert lost.claim(config()) is Hold.OURS
                before = lost.losses(config())
                as_of_another_process(lost, monkeypatch)
                monkeypatch.setattr(leases_module, "is_running", lambda name: False)
                with store.leases("node-2", counts=True) as next_one:
                    assert next_one.claim(config(), partial(_at, step)) is Hold.OURS
                    losses = next_one.losses(config())
                    assert (losses.total, losses.stuck) == expected
                    assert losses.total == before.total + 1
                    assert losses.reason == "its worker node-1 was lost"
