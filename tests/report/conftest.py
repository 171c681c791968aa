"""Pages of several sizes, and a browser that opens them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from benchmarks.many_records import records as many_records
from embudget.laws import Laws, fit
from embudget.laws.builtin import find_laws
from embudget.records import RunRecord
from embudget.report import write_report
from tests.report.browsing import BUDGETS, CHROMIUM, FIRST_FIGURE, HARMFUL, MODELS, Opened, Written, drawn
from tests.report.test_report import HOSTILE, failed, study

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def records() -> list[RunRecord]:
    return study()


@pytest.fixture(scope="module")
def laws(records: list[RunRecord]) -> Laws:
    return fit(records, draws=20)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    """Pages of 1, 60 and 2,000 runs; one of 60 with hostile texts; and one of 10,000."""
    folder = tmp_path_factory.mktemp("pages")
    sixty = [*study(models=MODELS, budgets=BUDGETS)[:59]]
    sixty.append(failed(sixty[0].config, "the machine went away"))
    hostile = [_renamed(one) for one in sixty[:-1]] + [failed(_renamed(sixty[0]).config, "=" + HOSTILE + HARMFUL)]
    large = list(many_records(10_000, groups=2))
    laws = fit(large[:2000], draws=20, forms=["chinchilla"])
    made: dict[str, tuple[list[RunRecord], Laws, str]] = {
        "1": (sixty[:1], find_laws("smollm2"), "smollm2"),
        "60": (sixty, fit(sixty, draws=20), "laws.json"),
        "hostile": (hostile, fit(hostile, draws=20), HARMFUL),
        "2000": (large[:2000], laws, "laws.json"),
        "10000": (large, laws, "laws.json"),
    }
    return {
        name: Written(write_report(folder / f"{name}.html", records, of, source=source), records)
        for name, (records, of, source) in made.items()
    }


def _renamed(record: RunRecord) -> RunRecord:
    model = HARMFUL if record.config.model == MODELS[0] else record.config.model
    hostile = {"model": model, "query_prompt": "=HYPERLINK(1)" if model == HARMFUL else "+1"}
    return record.model_copy(update={"config": record.config.model_copy(update=hostile)})


@pytest.fixture
def opened(browser: "Browser", pages: dict[str, Written]) -> Iterator[Opened]:
    """Open a page; at the end none may have said anything on its console or asked for anything but itself."""
    said: list[str] = []
    contexts = []

    def open_page(name: str = "60", width: int = 1280, fragment: str = "", scheme: str = "light") -> "Page":
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(FIRST_FIGURE)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda one: said.append(one.url) if not one.url.startswith(("file:", "blob:")) else None)
        page.goto(pages[name].file.as_uri() + fragment)
        drawn(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
