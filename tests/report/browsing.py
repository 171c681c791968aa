"""What the tests of the page in a browser share: hostile text, and reading the page as a reader would."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from embudget.records import RunRecord

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
HARMFUL = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned=1'><a href=\"javascript:1\">%{x}"
FIRST_FIGURE = """
new MutationObserver((_, watching) => {
  if (!document.querySelector(".main-svg")) return;
  window.firstFigure = performance.now();
  watching.disconnect();
}).observe(document, { childList: true, subtree: true });
"""
MODELS = tuple(f"smollm2-135m:{depth}" for depth in (1, 2, 4, 8))
BUDGETS = (1.25e11, 2.5e11, 5e11, 1e12, 2e12)


class Written(NamedTuple):
    """A page of a study."""

    file: Path
    records: list[RunRecord]


Opened = Callable[..., "Page"]
"""Opens a page: `open_page` of the fixture `opened`."""


def drawn(page: "Page") -> None:
    page.wait_for_selector("html[data-drawn=all]", timeout=60_000)


def rows(page: "Page", column: str) -> list[str]:
    """The texts of a column of the table of runs, of the rows that are there."""
    texts: list[str] = page.evaluate(
        """(column) => {
          const table = document.querySelector(".run-table");
          const at = [...table.tHead.rows[0].cells].findIndex((head) => head.dataset.column === column);
          return [...table.tBodies[0].rows].map((row) => row.cells[at].textContent);
        }""",
        column,
    )
    return texts


def visible(page: "Page", method: str) -> set[object]:
    """How the traces of a method are shown, over all figures."""
    return set(
        page.evaluate(
            """(method) => [...document.querySelectorAll(".plot")].flatMap((plot) =>
              plot.data.filter((trace) => trace.legendgroup === method).map((trace) => trace.visible))""",
            method,
        )
    )
