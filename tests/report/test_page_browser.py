"""The whole page in a browser: what a reader can do with its answer, its figures and its theme."""

import pytest

from tests.report.browsing import BUDGETS, Opened, Written, drawn, rows, visible

pytestmark = pytest.mark.browser


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


def test_the_first_figure_of_10000_runs_is_there_as_soon_as_of_60(opened: Opened, pages: dict[str, Written]) -> None:
    """Under 2 s on an idle machine, most of it for Plotly itself; here others may be at work."""
    first = {name: opened(name).evaluate("window.firstFigure") for name in ("60", "10000")}
    assert first["10000"] < 2 * first["60"] + 1000
    assert len(pages["10000"].records) == 10_000
    assert pages["10000"].file.stat().st_size < 12e6
