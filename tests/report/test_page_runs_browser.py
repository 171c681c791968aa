"""The table of runs in a browser: finding, sorting, saving; and that no text of a run can do anything to the page."""

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.report.browsing import HARMFUL, Opened, Written, rows
from tests.report.test_report import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Download, Page

pytestmark = pytest.mark.browser


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
    assert page.inner_text(".count") == "1 run that matches, of 60."
    assert page.evaluate("location.hash") == "#status=failed"
    page.fill("[name=find]", "no such run")
    assert page.inner_text(".count") == "0 runs that match, of 60."


def test_one_run_is_counted_as_one(opened: Opened) -> None:
    assert opened("1").inner_text(".count") == "1 run."


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
    found = saved(page, tmp_path)
    (row,) = [row for row in found if row["error"]]
    assert row["error"].startswith("'=RunError"), "a spreadsheet would take it for a formula"
    assert {row["query_prompt"] for row in found} == {"'=HYPERLINK(1)", "'+1"}
