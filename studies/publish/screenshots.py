"""Pictures of the page that `embudget report` writes, for README and docs: the study in `results/smollm2`.

    .venv/bin/python -m studies.publish.screenshots --out docs/images

It writes `page-{theme}-{width}.png`, the first screen of the page in both themes at 390 and 1,600 pixels, and
`figures-{theme}-{width}.png`, the same of its figures. It needs Debian's Chromium, as the tests in a browser do.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from embudget.laws.builtin import find_laws
from embudget.report import write_report
from studies.publish.files import read_lines

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = "/usr/bin/chromium"
STUDY = Path(__file__).parents[2] / "results" / "smollm2" / "records.jsonl"
LAWS = "smollm2"
WIDTHS = {390: 844, 1600: 1000}
"""Width of the screen -> its height, in pixels: a telephone and a desk."""
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MOST_BYTES = 300_000
"""A picture must not be larger than this: it is committed, and every reader of the site loads it."""
PARTS = {"page": "body", "figures": ".figures"}
"""Name of a picture -> the element that it begins at."""


def main() -> None:
    """Write the page, and its pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder of the pictures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = write_report(Path(folder) / "report.html", read_lines(STUDY), find_laws(LAWS), source=LAWS)
        for picture in take_pictures(page, options.out):
            sys.stdout.write(f"{picture}: {picture.stat().st_size / 1000:.0f} kB\n")


def take_pictures(page: Path, out: Path) -> Iterator[Path]:
    """Write all pictures of a page into a folder.

    Raises:
        ValueError: a picture is larger than `MOST_BYTES`.
    """
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for theme in THEMES:
            for width in WIDTHS:
                yield from _pictures(browser, page, out, theme, width)
        browser.close()


def _pictures(browser: "Browser", page: Path, out: Path, theme: Literal["light", "dark"], width: int) -> Iterator[Path]:
    screen = browser.new_page(viewport={"width": width, "height": WIDTHS[width]}, color_scheme=theme)
    screen.goto(page.as_uri())
    screen.wait_for_selector("html[data-drawn=all]")
    for name, begin in PARTS.items():
        screen.evaluate("(begin) => scrollTo(0, document.querySelector(begin).offsetTop - 16)", begin)
        file = out / f"{name}-{theme}-{width}.png"
        screen.screenshot(path=file)
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"{file} has {file.stat().st_size:,} bytes, more than {MOST_BYTES:,}")
        yield file
    screen.close()


if __name__ == "__main__":
    main()
