"""The whole page in a browser: what a reader can do with it, and that nothing from outside can do anything to it."""

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from benchmarks.many_records import records as many_records
from embudget.laws import Laws, fit
from embudget.laws.builtin import find_laws
from embudget.records import RunRecord
from embudget.report import write_report
from tests.report.test_report import HOSTILE, failed, study

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Download, Page

pytestmark = pytest.mark.browser

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


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
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
    return record.model_copy(update={"config": record.config.model_copy(update={"model": model})})


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


@pytest.mark.parametrize("width", [390, 1600])
@pytest.mark.parametrize("name", ["1", "60", "2000", "hostile"])
def test_pages_of_any_size_are_drawn_and_no_wider_than_the_screen(opened: Opened, name: str, width: int) -> None:
    page = opened(name, width=width)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".plot .main-svg").count() > 0


def test_the_answer_is_first_and_where_it_comes_from_last_and_folded(opened: Opened) -> None:
    page = opened()
    assert page.locator("h2").all_inner_texts() == [
        "What to train with your budget",
        "Figures",
        "What the paper found, and what these runs say",
        "What to doubt, and what to do about it",
        "Runs",
        "Where this comes from",
    ]
    assert not page.is_visible(".provenance pre")
    page.click(".provenance summary")
    assert page.is_visible(".provenance pre")


def test_budget_and_constraints_are_answered_and_stand_in_the_address(opened: Opened) -> None:
    page = opened()
    page.fill("[name=amount]", "4e12")
    page.wait_for_function("location.hash.includes('amount=4e12')")
    page.fill("[name=max_params]", "8e6")
    page.wait_for_function("location.hash.includes('max_params=8e6')")
    command = page.inner_text(".answer-command")
    assert "--budget 4e12 --max-params 8e6" in command
    head = page.inner_text(".answer-head")
    page.reload()
    drawn(page)
    assert page.inner_text(".answer-head") == head
    assert page.input_value("[name=max_params]") == "8e6"
    page.focus("[name=slider]")
    page.keyboard.press("Home")
    page.wait_for_function("!location.hash.includes('amount=4e12')")
    assert float(page.input_value("[name=amount]")) == pytest.approx(BUDGETS[0] / 256, rel=0.05)


def test_the_command_is_copied(opened: Opened) -> None:
    page = opened()
    page.click(".answer-copy")
    page.wait_for_function("document.querySelector('.answer-copy').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()").startswith("embudget recipe laws.json --budget ")


def test_hovering_over_a_run_shows_its_record(opened: Opened, pages: dict[str, Written]) -> None:
    page = opened()
    point = page.locator("[data-figure=agreement] .scatterlayer .points path").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("[data-figure=agreement] .hovertext")
    text = page.locator("[data-figure=agreement] .hovertext").first.text_content() or ""
    (run,) = [one for one in pages["60"].records if one.id in text]
    assert run.loss is not None
    assert run.config.model in text
    assert f"measured {run.loss:.3f} nats" in text


def test_a_method_hidden_in_a_legend_is_hidden_everywhere_and_stays_so(opened: Opened) -> None:
    page = opened()
    assert visible(page, "full") == {True}
    legend = page.locator("[data-figure=frontier] .legend .traces", has_text="full")
    legend.locator(".legendtoggle").click()
    page.wait_for_function("location.hash === '#hide=full'")
    assert visible(page, "full") == {"legendonly"}
    assert visible(page, "lora:32") == {True}
    assert not page.is_visible("figure[data-method=full]")
    assert page.is_visible("figure[data-method='lora:32']")
    assert "full" not in rows(page, "method") and "lora:32" in rows(page, "method")
    page.reload()
    drawn(page)
    assert visible(page, "full") == {"legendonly"}
    assert page.get_attribute("[data-toggle=full]", "aria-pressed") == "false"
    page.focus("[data-toggle=full]")
    page.keyboard.press("Enter")
    assert visible(page, "full") == {True}
    assert "full" in rows(page, "method")
    assert page.evaluate("location.hash") == ""
    assert page.evaluate("document.querySelector('figure[data-method=full] .main-svg').clientWidth") > 300


def test_a_method_clicked_twice_in_a_legend_is_alone(opened: Opened) -> None:
    page = opened()
    legend = page.locator("[data-figure=agreement] .legend .traces", has_text="lora:32")
    legend.locator(".legendtoggle").dblclick()
    page.wait_for_function("location.hash === '#hide=full,freeze:0.5'")
    assert set(rows(page, "method")) == {"lora:32"}
    legend.locator(".legendtoggle").dblclick()
    page.wait_for_function("location.hash === ''")


COLORS = """
() => ({ paper: getComputedStyle(document.body).backgroundColor,
  ink: document.querySelector("[data-figure=frontier]").layout.font.color,
  full: document.querySelector("[data-figure=frontier]").data.find((one) => one.legendgroup === "full").line.color })
"""


def test_the_theme_is_the_systems_until_the_reader_chooses(opened: Opened) -> None:
    light = opened().evaluate(COLORS)
    page = opened(scheme="dark")
    dark = page.evaluate(COLORS)
    assert light["full"] == "#0072b2"
    assert all(light[part] != dark[part] for part in light)
    page.emulate_media(color_scheme="light")
    page.wait_for_function("document.querySelector('[data-figure=frontier]').layout.font.color === '#1d2129'")
    assert page.evaluate(COLORS) == light
    page.click(".theme >> text=Dark")
    assert page.evaluate(COLORS) == dark
    assert page.evaluate("location.hash") == "#theme=dark"
    page.reload()
    drawn(page)
    assert page.evaluate(COLORS) == dark
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(COLORS) == light
    assert page.evaluate("location.hash") == "#theme=light"


def test_paper_is_white_whatever_the_theme(opened: Opened) -> None:
    page = opened(fragment="#theme=dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    found = page.evaluate(COLORS)
    assert (found["paper"], found["ink"], found["full"]) == ("rgb(255, 255, 255)", "#1d2129", "#0072b2")
    assert not page.is_visible(".theme") and not page.is_visible(".filter")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(COLORS)["ink"] == "#e4e6ea"


def test_runs_are_found_by_text_kind_and_status(opened: Opened) -> None:
    page = opened()
    assert page.inner_text(".count") == "60 runs."
    page.fill("[name=find]", "smollm2-135m:8 LORA")
    assert set(rows(page, "model")) == {"smollm2-135m:8"}
    assert set(rows(page, "method")) == {"lora:32"}
    assert re.fullmatch(r"\d runs that match, of 60\.", page.inner_text(".count"))
    page.fill("[name=find]", "")
    page.select_option("[name=kind]", "freeze")
    assert set(rows(page, "method")) == {"freeze:0.5"}
    page.select_option("[name=kind]", "")
    page.select_option("[name=status]", "failed")
    assert rows(page, "error") == ["the machine went away"]
    assert page.evaluate("location.hash") == "#status=failed"
    page.fill("[name=find]", "no such run")
    assert page.inner_text(".count") == "0 runs that match, of 60."


def test_runs_are_sorted_by_a_column_and_what_is_missing_stays_last(opened: Opened) -> None:
    page = opened()
    head = page.locator("th[data-column=loss]")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    rising = rows(page, "loss")
    assert rising[-1] == "–" and rising[:-1] == sorted(rising[:-1], key=float)
    head.locator("button").press("Enter")
    assert rows(page, "loss") == [*reversed(rising[:-1]), "–"]
    assert page.evaluate("location.hash") == "#sort=-loss"


def saved(page: "Page", folder: Path) -> list[dict[str, str]]:
    with page.expect_download() as waiting:
        page.click("[data-save]")
    download: Download = waiting.value
    assert download.suggested_filename == "runs.csv"
    download.save_as(folder / "runs.csv")
    with (folder / "runs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_is_shown_is_saved_as_csv(opened: Opened, pages: dict[str, Written], tmp_path: Path) -> None:
    page = opened(fragment="#kind=lora&sort=loss")
    found = saved(page, tmp_path)
    records = {one.id: one for one in pages["60"].records if one.config.method == "lora:32"}
    assert {row["id"] for row in found} == set(records)
    losses = [float(row["loss"]) for row in found]
    assert losses == sorted(losses)
    for row in found:
        record = records[row["id"]]
        assert float(row["loss"]) == pytest.approx(record.loss, rel=1e-5)
        assert float(row["budget"]) == record.config.train_flops
        assert (row["model"], int(row["seed"])) == (record.config.model, record.config.seed)


def test_many_runs_are_listed_in_pieces_and_saved_whole(opened: Opened, tmp_path: Path) -> None:
    page = opened("2000")
    assert page.inner_text(".count") == "The first 200 of 2,000 runs."
    assert len(rows(page, "id")) == 200
    page.click("[data-more]")
    assert len(rows(page, "id")) == 400
    page.evaluate("document.querySelector('.run-table').parentNode.scrollTop = 1e6")
    page.wait_for_function("document.querySelector('.run-table').tBodies[0].rows.length === 600")
    assert len(saved(page, tmp_path)) == 2000


def test_the_first_figure_of_10000_runs_is_there_as_soon_as_of_60(opened: Opened, pages: dict[str, Written]) -> None:
    """Under 2 s on an idle machine, most of it for Plotly itself; here others may be at work."""
    first = {name: opened(name).evaluate("window.firstFigure") for name in ("60", "10000")}
    assert first["10000"] < 2 * first["60"] + 1000
    assert len(pages["10000"].records) == 10_000
    assert pages["10000"].file.stat().st_size < 12e6


def test_text_from_outside_stays_text(opened: Opened, tmp_path: Path) -> None:
    fragment = "#theme=<b>&hide=<script>,full&sort=__proto__&kind=<x>&amount=1e12&find=<img src=x onerror=alert(1)>"
    page = opened("hostile", fragment=fragment.replace(" ", "%20"))
    assert page.input_value("[name=find]") == "<img src=x onerror=alert(1)>"
    assert rows(page, "id") == []
    page.evaluate("location.hash = ''")
    page.wait_for_function("document.querySelector('.run-table').tBodies[0].rows.length === 60")
    assert HARMFUL in rows(page, "model")
    assert "=" + HOSTILE + HARMFUL in rows(page, "error")
    point = page.locator("[data-figure=agreement] .scatterlayer .points path").first
    point.scroll_into_view_if_needed()
    page.evaluate(
        """() => {
          const plot = document.querySelector("[data-figure=agreement]");
          const at = (trace) => (trace.hovertext || []).findIndex((text) => text.includes("pwned"));
          const curve = plot.data.findIndex((trace) => at(trace) >= 0);
          Plotly.Fx.hover(plot, [{ curveNumber: curve, pointNumber: at(plot.data[curve]) }]);
        }"""
    )
    assert "javascript:1" in (page.locator(".hovertext").first.text_content() or "")
    assert "%{x}" in (page.locator(".hovertext").first.text_content() or "")
    assert page.evaluate("window.pwned") is None
    assert page.locator("img, a[href^=javascript]").count() == 0
    (row,) = [row for row in saved(page, tmp_path) if row["error"]]
    assert row["error"].startswith("'=RunError"), "a spreadsheet would take it for a formula"
