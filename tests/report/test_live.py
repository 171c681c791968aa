"""The page of a study under way: small until there are laws, then whole, and never half a file."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from embudget.contents import PAGE, contents_of
from embudget.records import RunRecord
from embudget.report.live import live_pages
from embudget.study import Store
from embudget.study.leases import Hold
from tests.report.test_report import HOSTILE, Page, failed, study
from tests.study.test_progress import PLACE, set_lease
from tests.study.test_schedule import config

FEW = 3
"""Runs that determine no law."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "s.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def records() -> list[RunRecord]:
    return study(seeds=1)


def adding(store: Store, parts: list[list[RunRecord]]) -> Callable[[float], bool]:
    """A wait in which a part of the runs ends; behind the last part it says to stop."""

    def wait(seconds: float) -> bool:
        if not parts:
            return True
        for record in parts.pop(0):
            store.add(record)
        return False

    return wait


def test_the_small_page_says_what_is_there_and_what_is_missing_and_makes_way(
    store: Store, records: list[RunRecord], tmp_path: Path
) -> None:
    out, seen = tmp_path / "report.html", []
    for record in records[:FEW]:
        store.add(record)
    pages = live_pages(out, store, every=0.0, wait=adding(store, [records[FEW:]]), until_over=False)
    for page in pages:
        seen.append((Page(out), page))
        assert contents_of(out) == PAGE
    (small, first), *others = seen
    text = " ".join("".join(small.text).split())
    assert "too few" in first.no_laws or "needs at least" in first.no_laws
    assert first.no_laws in text
    assert records[0].config.model in text and f"{records[0].loss:.3f}" in text
    assert ("meta", {"http-equiv": "refresh", "content": "1"}) in small.tags
    assert len(small.source) < 20_000, "no plotly"
    assert [page.no_laws for _, page in others] == [""], "one page for all runs that have ended since"
    assert "The best size at a fixed budget" in "".join(others[0][0].text)


def test_an_empty_store_has_a_page_too(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    (page,) = live_pages(out, store, wait=lambda seconds: False)
    assert page.no_laws and "no records at all" in "".join(Page(out).text)
    assert 'http-equiv="refresh"' not in out.read_text(), "no more runs come"


def test_the_title_of_the_small_page_counts_its_runs(store: Store, records: list[RunRecord], tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    store.add(records[0])
    next(live_pages(out, store, wait=lambda seconds: False))
    assert "<title>embudget: 1 run so far</title>" in out.read_text()


def test_what_runs_and_what_failed_is_escaped(store: Store, tmp_path: Path) -> None:
    out, run = tmp_path / "report.html", config("micro-1m")
    store.queue().add([run], PLACE)
    store.add(failed(run, HOSTILE))
    with store.leases("<script>node</script>") as holder:
        assert holder.claim(run) is Hold.OURS
        set_lease(store, run, share=0.25, loss=2.5, pace=0.01)
        next(live_pages(out, store, wait=lambda seconds: True))
    page = Page(out)
    text = "".join(page.text)
    assert page.count("script") == 0
    assert HOSTILE in text and "<script>node</script>" in text
    assert "25 %" in text and "2.50" in text


def test_a_page_is_written_no_more_often_than_asked(
    store: Store, records: list[RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    parts = [[record] for record in records[:13]]
    add = adding(store, parts)

    def wait(seconds: float) -> bool:
        nonlocal now
        now += 10.0
        return add(seconds)

    times = [now for _ in live_pages(tmp_path / "r.html", store, every=30.0, wait=wait, until_over=False)]
    assert times == [1000.0, 1030.0, 1060.0, 1090.0, 1120.0, 1140.0], "the last one at once"


def test_nothing_new_is_no_new_page(store: Store, records: list[RunRecord], tmp_path: Path) -> None:
    for record in records:
        store.add(record)
    looks = iter([False] * 5 + [True])
    pages = list(live_pages(tmp_path / "r.html", store, every=0.0, wait=lambda _: next(looks), until_over=False))
    assert len(pages) == 1


def test_a_page_that_cannot_be_written_is_tried_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, clock = tmp_path / "later", count()
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    looks = 0

    def wait(seconds: float) -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            folder.mkdir()
        for _ in range(20):  # a page that took a second is due again ten seconds later
            next(clock)
        return looks > 3

    pages = list(live_pages(folder / "r.html", store, every=0.0, wait=wait, until_over=False))
    assert [bool(page.failure) for page in pages] == [True, True, False, False], "the last page loads itself no more"
    assert "later" in pages[0].failure
    assert contents_of(folder / "r.html") == PAGE
