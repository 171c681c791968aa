"""Very many runs: what is read of a store grows with them and no faster, and a page does not grow at all."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.many_records import configs, fill, measure, records
from embudget.cli.records import lines_of
from embudget.laws import Laws, fit
from embudget.report import write_report
from embudget.report.shown import MOST_FAILED, MOST_RUNS, counted
from embudget.runs import RunTable
from embudget.study import Store

FEW, MANY = 3000, 12_000


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    folder = tmp_path_factory.mktemp("stores")
    few, many = Store(folder / "few.db"), Store(folder / "many.db")
    assert (fill(few, records(FEW, groups=2)), fill(many, records(MANY, groups=2))) == (FEW, MANY)
    return few, many


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


@pytest.mark.parametrize(
    "work",
    [
        lambda store: sum(1 for _ in store.rows()),
        lambda store: sum(1 for _ in lines_of(store)),
        lambda store: RunTable.of_rows(store.rows()),
        lambda store: counted(store).listed,
    ],
    ids=["rows", "records", "cells", "page"],
)
def test_four_times_the_runs_take_about_four_times_as_long(
    stores: tuple[Store, Store], work: Callable[[Store], object]
) -> None:
    """Three times that would still be the machine's fault; 16 times, as of anything quadratic, would not."""
    few, many = stores
    work(few)
    assert cpu_seconds(lambda: work(many)) < 12 * cpu_seconds(lambda: work(few)) + 0.1


@pytest.fixture(scope="module")
def laws(stores: tuple[Store, Store]) -> Laws:
    return fit(RunTable.of_rows(stores[0].rows()), draws=20, forms=["chinchilla"])


def test_a_page_lists_the_best_of_each_cell_and_says_so(
    stores: tuple[Store, Store], laws: Laws, tmp_path: Path
) -> None:
    few, many = (write_report(tmp_path / f"{store.location[-6:]}.html", store, laws) for store in stores)
    assert many.stat().st_size < 1.05 * few.stat().st_size < 8e6
    found = counted(stores[1])
    done = [row for row in stores[1].rows() if row["status"] == "done"]
    best: dict[tuple[str, str, float], dict[str, Any]] = {}
    for row in done:
        cell = row["model"], row["method"], row["budget"]
        best[cell] = min(best.get(cell, row), row, key=lambda one: one["loss"])
    assert len(best) <= MOST_RUNS < MANY
    assert set(found.listed) == {row["id"] for row in best.values()}
    page = many.read_text()
    assert f"Of {MANY:,} runs the page lists and draws the best run of each of {len(best):,} cells" in page
    assert page.count("simulated failure") == len(found.failed) <= MOST_FAILED
    assert f"{MANY - len(done):,} failed" in page


def test_the_store_and_its_records_make_the_same_page(stores: tuple[Store, Store], laws: Laws, tmp_path: Path) -> None:
    few = stores[0]
    pages = [write_report(tmp_path / name, runs, laws) for name, runs in (("a", few), ("b", few.records()))]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_fewer_runs_are_the_first_of_more() -> None:
    from itertools import islice

    from benchmarks.many_records import WORLD
    from embudget.design import World

    world = World.from_yaml(WORLD)
    assert len({config.id for config in islice(configs(world), 2000)}) == 2000


@pytest.mark.slow
def test_a_hundred_thousand_runs_are_printed_fitted_and_reported(tmp_path: Path) -> None:
    """Within 20, 60 and 30 s on an idle machine of two cores (`results/orchestration`); here it may be busy."""
    found = measure(100_000, 0, tmp_path)
    for command, seconds in (("records", 60), ("records --csv", 60), ("fit", 180), ("report", 90)):
        assert found[command]["seconds"] < seconds, command
        assert found[command]["peak_gb"] < 1, command
    assert found["page_mb"] < 8
