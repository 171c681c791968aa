"""What does the orchestration itself cost? A study of 100,000 runs on 1,000 workers, whose training is a sleep.

    python -m benchmarks.orchestration --store sqlite postgresql --out results/orchestration/orchestration.json

All but the training is real: the driver of a crew (`embudget.study.executors.crews`) queues the runs, hires and
watches; each worker claims the longest task that is free, renews its leases every few seconds, and writes a record of
the usual size. With PostgreSQL there are 125 nodes of 8 devices, each node `embudget worker --workers 8` with its own
connections to the database: one for its runs and one for its leases. They are threads of 4 processes. With SQLite,
which is for one machine, there is one worker of 1,000 runs at a time.

Training takes 1 to 5 ms. So the database and Python are all that limits them, and the wall's seconds by the runs, from
the first run queued to the last record heard of, are the overhead of a run. CPU seconds are of driver, workers and
database server together; they depend less on what else the machine does. They include what stands for the training,
making a record from a world (`simulated_ms_a_run`), and the start of the processes. After each tenth of the runs the
file of results is written anew, so that a measurement that is stopped says how far it came.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import text

from benchmarks.host import measured_by
from benchmarks.many_records import WORLD, configs, like_a_real_one
from embudget.design import World
from embudget.design.simulate import done, sized
from embudget.pairs import Pairs, index_pairs
from embudget.records import RunConfig, RunRecord
from embudget.study import Store, SweepListener
from embudget.study.executors.base import Crew, Gone
from embudget.study.executors.crews import CrewDriver
from embudget.study.queue import Place
from embudget.study.queued_runs import QueuedRuns
from tests.cluster.conftest import PASSWORD, Server, server_binaries

PROCESSES = 4
DEVICES = 8
"""Devices of a node, each with a run."""
SECONDS = (0.001, 0.005)
"""Seconds that training a run takes, at least and at most."""
MEMORY = 80e9
"""Bytes of each worker's device."""


class Simulated(Crew):
    """Workers that only say that they have trained."""

    def __init__(self, address: str, each: int, processes: int) -> None:
        self._address, self._each, self._count = address, each, processes
        self._processes: list[tuple[int, multiprocessing.process.BaseProcess]] = []
        self._hired = 0
        self.first_hired = 0.0
        """When the runs were queued, by `time.perf_counter`."""

    def hire(self, count: int) -> None:
        """Start the workers, shared out over processes."""
        self.first_hired = self.first_hired or time.perf_counter()
        context = multiprocessing.get_context("spawn")
        for place in range(min(self._count, count)):
            workers = count // self._count + (place < count % self._count)
            of = self._address, workers, min(self._each, workers), f"{self._hired}.{place}"
            process = context.Process(target=_many, args=of)
            process.start()
            self._processes.append((workers, process))
        self._hired += count

    def waiting_or_working(self) -> int:
        """The workers of processes that have not ended."""
        return sum(workers for workers, process in self._processes if process.is_alive())

    def gone(self) -> list[Gone]:
        """Nothing: a process that failed said so on stderr, and its runs go to others."""
        return []

    def dismiss(self) -> None:
        """Wait for the processes, whose workers find nothing left."""
        for _, process in self._processes:
            process.join()


def _many(address: str, slots: int, each: int, name: str) -> None:
    """Workers of ``each`` runs at a time, for so many runs in all."""
    world = World.from_yaml(WORLD)
    threads = [
        threading.Thread(target=_one, args=(address, world, each, f"{name}.{place}")) for place in range(slots // each)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _one(address: str, world: World, slots: int, name: str) -> None:
    """One worker, as `embudget.study.work` but for the training."""
    rng = random.Random(name)
    under_way: deque[tuple[float, RunConfig]] = deque()
    with (
        Store(address, create=False) as store,
        QueuedRuns(store, SweepListener(), name=f"worker-{name}", device_bytes=MEMORY, neighbours=slots) as runs,
    ):
        while True:
            while len(under_way) < slots and (task := runs.next_task()):
                assert len(task) == 1, "the runs share no trunk"
                runs.progress(task[0], 0.5, 1.0)
                under_way.append((time.monotonic() + rng.uniform(*SECONDS), task[0]))
            if not under_way:
                return
            due, config = under_way.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            runs.settle(like_a_real_one(done(world, sized(config, world.tokens_per_pair), rng.gauss(0, 1))))


@contextmanager
def database(kind: str, folder: Path | None) -> Iterator[str]:
    """The address of an empty store, in a database that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="embudget-", dir=folder, ignore_cleanup_errors=True) as name:
        if kind == "sqlite":
            yield str(Path(name) / "study.db")
            return
        server = Server(Path(name), server_binaries(), "-c", "max_connections=400")
        server.start()
        try:
            server.create("study")
            yield f"postgresql://me:{quote_plus(PASSWORD)}@127.0.0.1:{server.port}/study"
        finally:
            server.stop()


class Tenths(SweepListener):
    """Tells after each tenth of the runs how long they have taken."""

    def __init__(self, count: int, tell: Callable[[dict[str, float]], None]) -> None:
        self._count, self._tell = count, tell
        self._ended, self._began = 0, time.perf_counter()

    def finished(self, record: RunRecord) -> None:
        """One more run."""
        self._ended += 1
        if self._ended * 10 % self._count < 10:
            seconds = time.perf_counter() - self._began
            self._tell({"runs": self._ended, "seconds": round(seconds, 1)})


def measure(
    kind: str, count: int, workers: int, folder: Path | None, pairs: Pairs, tell: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Do a study of so many runs; called in a process of its own, whose peak memory is that of the driver."""
    found: dict[str, Any] = {"store": kind, "runs": count, "workers": workers, "load": [_load()]}
    tenths: list[dict[str, float]] = []
    found["tenths"] = tenths

    def heard(tenth: dict[str, float]) -> None:
        tenths.append(tenth)
        tell(found)

    with database(kind, folder) as address:
        with Store(address) as store:
            place = Place(pairs=str(pairs.folder), pairs_hash=pairs.hash)
            runs = list(islice(configs(World.from_yaml(WORLD)), count))
            found["configs_gb"] = _peak_gb()
            began = time.perf_counter()
            crew = Simulated(store.address, *((DEVICES, PROCESSES) if kind == "postgresql" else (workers, 1)))
            CrewDriver(crew, store, Tenths(count, heard), workers).train(runs, place)
            ended = time.perf_counter()
            crew.dismiss()
            found["records"] = len(store.ids())
            found["left_in_queue"] = store.queue().count()
            found["store_mb"] = round(_size(store) / 1e6, 1)
        found |= {
            "queue_seconds": round(crew.first_hired - began, 1),
            "seconds": round(ended - began, 1),
            "overhead_ms_a_run": round(1000 * (ended - began) / count, 2),
            "driver_peak_gb": _peak_gb(),
        }
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found["cpu_ms_a_run"] = round(1000 * sum(one.ru_utime + one.ru_stime for one in both) / count, 2)
    found["simulated_ms_a_run"] = round(_simulated_ms(), 2)
    found["load"].append(_load())
    return found


def _simulated_ms(count: int = 200) -> float:
    """CPU milliseconds that making a record takes."""
    world = World.from_yaml(WORLD)
    runs = list(islice(configs(world), count))
    began = time.process_time()
    for config in runs:
        like_a_real_one(done(world, sized(config, world.tokens_per_pair), 0.0))
    return 1000 * (time.process_time() - began) / count


def _load() -> float:
    return round(os.getloadavg()[0], 1)


def _peak_gb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3)


def _size(store: Store) -> float:
    """Bytes of the database."""
    if (file := store._location.file) is not None:
        return sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*") if path.is_file())
    size = text("select pg_database_size(current_database())")
    return float(store._database.read(lambda connection: connection.execute(size).scalar_one()))


def some_pairs(folder: Path) -> Pairs:
    """A few pairs, since a worker looks whether they are there."""
    for split in ("train", "validation", "test"):
        texts = [f"{split} {number}" for number in range(64)]
        pq.write_table(pa.table({"query": texts, "positive": texts}), folder / f"{split}.parquet")
    return index_pairs(folder)


def main() -> None:
    """Measure each store with each number of runs and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--store", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=None, help="where the database is, instead of the usual place")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    measured: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        pairs = some_pairs(Path(folder))
        for kind in args.store:
            for count in args.runs:
                measured.append({})
                for found in _in_own_process(kind, count, args.workers, args.folder, pairs):
                    measured[-1] = found
                    sys.stdout.write(json.dumps(found if "cpu_ms_a_run" in found else found["tenths"][-1]) + "\n")
                    sys.stdout.flush()
                    if args.out is not None:
                        args.out.parent.mkdir(parents=True, exist_ok=True)
                        said = measured_by("benchmarks.orchestration") | {"measured": measured}
                        args.out.write_text(json.dumps(said, indent=2) + "\n")


def _in_own_process(*arguments: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - those of `measure`
    """What `measure` has found so far, after each tenth and at the end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_sent, args=(theirs, arguments))
    process.start()
    theirs.close()
    with suppress(EOFError):
        while True:
            yield ours.recv()
    process.join()


def _sent(connection: Any, arguments: tuple[Any, ...]) -> None:  # noqa: ANN401 - of multiprocessing
    kind, count, workers, folder, pairs = arguments
    connection.send(measure(kind, count, workers, folder, pairs, connection.send))


if __name__ == "__main__":
    main()
