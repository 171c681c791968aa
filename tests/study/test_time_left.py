"""The time that a real sweep has left, as it is told while it trains, against the time that it then took."""

import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from embudget.pairs import Pairs
from embudget.study import Store, Study, sweep
from tests.study.studies import tiny_study


class Told(NamedTuple):
    """What was told at a moment, in seconds."""

    at: float
    ended: int
    left: float | None


def told_of(study: Study, place: Path) -> tuple[list[Told], float]:
    """Sweep a study, and look at its store each second as `embudget watch` does; what was told, and the end."""
    told: list[Told] = []
    over = threading.Event()

    def look_on() -> None:
        with Store(place) as store:
            reader = store.progress()
            while not over.wait(1.0):
                now = reader.look(1)
                told.append(Told(time.monotonic(), now.ended, now.seconds_left))

    watcher = threading.Thread(target=look_on)
    watcher.start()
    try:
        records = sweep(study, place)
    finally:
        over.set()
        watcher.join()
    assert all(record.loss is not None for record in records)
    return told, time.monotonic()


@pytest.mark.slow
def test_the_time_left_is_known_within_a_quarter_after_a_tenth_of_the_work(
    tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """42 runs of four members that reach very different speeds; nothing is known of any before.

    The clock counts the processor's seconds: what others do on this machine meanwhile is not to be foreseen.
    """
    monkeypatch.setattr(time, "monotonic", time.process_time)
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    members = ["micro-200k", "micro-450k", "micro-1m", "micro-3m"]
    study = tiny_study(
        members[0],
        tiny_pairs,
        members=members,
        methods=["full", "freeze:0.5", "lora:8"],
        budgets=[5e9, 2e10],
        seeds=[0, 1],
        max_epochs=100,
    )
    told, end = told_of(study, tmp_path / "s.db")
    runs = told[-1].ended + 1
    now = next(one for one in told if one.ended >= 0.1 * runs)
    assert now.left == pytest.approx(end - now.at, rel=0.25)
