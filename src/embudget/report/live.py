"""The page of a study that is under way: written anew as its runs end.

As long as they are too few for laws it is a small page, of what is there and what is missing, which loads itself anew
in the browser. From then on it is the page of `embudget.report.page`, with laws that are fitted anew each time.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from embudget.errors import EmbudgetError, FitError, StoreError
from embudget.files import save_text
from embudget.laws import Laws, fit
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.report.page import write_report
from embudget.report.rendering import rendered
from embudget.runs import RunTable
from embudget.study import Store
from embudget.study.progress import StoreProgress

EVERY_SECONDS = 30.0
"""Least time between two pages: about as long as somebody waits before he looks again."""
SHARE = 0.1
"""Share of the time that pages may take, so that a large study with slow fits does not keep a core busy."""
LOOK_SECONDS = 3.0
"""Time between two looks at the store."""
MOST_CELLS, MOST_RUNNING = 300, 40
"""Rows that the small page lists; a study of more cells has laws, unless something is wrong with it."""


class PageWritten(NamedTuple):
    """A page as it was written, or why it could not be."""

    progress: StoreProgress
    no_laws: str = ""
    """Why it is the small page; empty where it is the whole one."""
    failure: str = ""
    """Why the file could not be written; what was there before stays."""


def live_pages(
    out: Path,
    store: Store,
    laws: Laws | None = None,
    recipe: Recipe | None = None,
    measured: RunRecord | None = None,
    source: str = "laws.json",
    *,
    every: float = EVERY_SECONDS,
    wait: Callable[[float], bool],
    until_over: bool = True,
) -> Iterator[PageWritten]:
    """Write the page of a store whenever runs have ended, and tell of each time.

    A page that cannot be written is tried again at the next look that is due.

    Args:
        out: the file, replaced whole or not at all.
        store: of the study.
        laws: of earlier runs; by default they are fitted to the store's, anew for each page.
        recipe: shown beside, as for `write_report`; and so are the next two.
        measured: the record of the recipe's run.
        source: file or name of the laws.
        every: seconds between two pages at least; ten times what the last page took, where that is more.
        wait: waits so many seconds, and says whether to stop behind a last page.
        until_over: whether to end when no run is left.

    Raises:
        StoreError: the store cannot be read.

    Example:
        >>> for page in live_pages(Path("report.html"), store, wait=lambda seconds: bool(time.sleep(seconds))):
        ...     print(page.progress.ended, page.no_laws or "the whole page")
    """
    reader = store.progress()
    due, last, page, shown = 0.0, False, PageWritten(reader.look()), None
    while True:
        now = reader.look()
        last = last or (until_over and now.over)
        state = _state(now, last, whole=not page.no_laws)
        if (state != shown or page.failure) and (last or time.monotonic() >= due):
            started = time.monotonic()
            page = _write(out, store, now, laws, recipe, measured, source, None if last else every)
            shown = _state(now, last, whole=not page.no_laws)
            took = time.monotonic() - started
            due = started + max(every, took / SHARE)
            yield page
        if last:
            return
        last = wait(LOOK_SECONDS)


def _state(now: StoreProgress, last: bool, *, whole: bool) -> tuple[object, ...]:
    """What a page shows of a study that may change; the whole page knows only of runs that have ended."""
    return (now.ended,) if whole else (now.ended, len(now.running), now.waiting, last)


def _write(
    out: Path,
    store: Store,
    now: StoreProgress,
    laws: Laws | None,
    recipe: Recipe | None,
    measured: RunRecord | None,
    source: str,
    again: float | None,
) -> PageWritten:
    table, no_laws, failure = None, "", ""
    if laws is None:
        try:
            table = RunTable.of_rows(store.rows())
            laws = fit(table)
        except FitError as error:
            no_laws = str(error)
    try:
        if laws is None:
            save_text(out, progress_page(now, table, no_laws, again))
        else:
            write_report(out, store, laws, recipe, measured, source)
    except StoreError:
        raise
    except (EmbudgetError, OSError) as error:
        failure = str(error)
    return PageWritten(now, no_laws, failure)


def progress_page(now: StoreProgress, table: RunTable | None, no_laws: str, again: float | None = None) -> str:
    """The small page of a study with too few runs for laws, as HTML.

    Args:
        now: how far it is.
        table: its cells; None where no run counts yet.
        no_laws: why there are no laws.
        again: seconds after which the browser loads it anew; None where no more runs come.
    """
    cells = [] if table is None else sorted(table.cells, key=lambda cell: (cell.budget, cell.loss))
    return rendered(
        "progress.html",
        now=now,
        counts=_counts(now),
        no_laws=no_laws,
        again=None if again is None else max(int(again), 1),
        running=now.running[:MOST_RUNNING],
        cells=cells[:MOST_CELLS],
        all_cells=len(cells),
        written=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    )


def _counts(now: StoreProgress) -> dict[str, int]:
    """How many runs are where; what does not occur is left out but for those that are done."""
    every = {
        "done": now.done, "no better than chance": now.no_gain, "diverged": now.diverged, "failed": now.failed,
        "running": len(now.running), "waiting": now.waiting,
    }  # fmt: skip
    return {name: count for name, count in every.items() if count or name == "done"}
