"""The first screen in a browser: it says what `embudget recipe` says, and a reader can work it."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from embudget.errors import EmbudgetError
from embudget.laws import Laws, fit
from embudget.laws.builtin import find_laws
from embudget.recipe import Recipe, recommend
from embudget.report.answer import DATA, answer_script, answer_section, answer_style
from studies.publish.files import read_records
from tests.laws.test_lineages import study
from tests.recipe.test_untrained import with_start
from tests.report.questions import Question, compared, question

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

Opened = Callable[..., "Page"]
"""Opens a page of laws: `open_page` of the fixture `opened`."""
STARTS = Path(__file__).parents[2] / "results" / "starts"
COUNTS = {"micro": 220, "smollm2": 140, "starts": 140}
"""Questions to each of the laws, 500 together."""
ASK = """
([every, asked]) => Object.entries(asked).map(([name, questions]) => {
  const ready = embudgetAnswer.prepared(every[name]);
  return questions.map(([given, wishes]) => {
    try {
      const recipe = embudgetAnswer.recommend(ready, given, wishes);
      return { ...recipe, asked: null, pays: recipe.untrained && embudgetAnswer.paysFrom(recipe) };
    } catch (error) {
      return { refusal: error.message, kind: error.kind ?? error.stack };
    }
  });
})
"""


def document(laws: Laws, source: str, budget: float | None = None) -> str:
    """A page of the section alone."""
    html, data = answer_section(laws, source, budget=budget)
    written = json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>answer</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{answer_style()}</style>'
        f'{html}<script type="application/json" id="{DATA}">{written}</script><script>{answer_script()}</script></html>'
    )


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Iterator[Opened]:
    """Open a page of laws; at the end no page may have said anything on its console."""
    said: list[str] = []
    contexts = []

    def open_page(laws: Laws, source: str = "smollm2", width: int = 1280, budget: float | None = None) -> "Page":
        file = tmp_path / "page.html"
        file.write_text(document(laws, source, budget), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture(scope="module")
def smollm2() -> Laws:
    return find_laws("smollm2")


def answered(laws: Laws, asked: Question) -> Recipe | EmbudgetError:
    try:
        return recommend(laws, **asked[0], **asked[1])
    except EmbudgetError as error:
        return error


@pytest.mark.slow
def test_500_random_questions_have_the_same_answers_as_the_command(browser: "Browser", smollm2: Laws) -> None:
    laws = {"micro": find_laws("micro"), "smollm2": smollm2, "starts": fit(read_records(STARTS), draws=60)}
    rng = random.Random(23)
    asked = {name: [question(rng, laws[name]) for _ in range(count)] for name, count in COUNTS.items()}
    page = browser.new_page()
    page.set_content("<title>questions</title>")
    page.add_script_tag(content=answer_script())
    found = page.evaluate(ASK, [{name: answer_section(one, name)[1] for name, one in laws.items()}, asked])
    page.close()
    differences, kinds = [], Counter[str]()
    for name, answers in zip(asked, found, strict=True):
        for one, answer in zip(asked[name], answers, strict=True):
            expected = answered(laws[name], one)
            kinds[type(expected).__name__] += 1
            differences += [f"{name} {one}: {what}" for what in compared(laws[name], one, expected, answer)]
    assert differences == []
    assert kinds["Recipe"] > 200
    assert min(kinds[refusal] for refusal in ("InfeasibleError", "UnsupportedError")) > 0


WRONG: list[Question] = [
    ({"budget": -1.0}, {}),
    ({"budget": 1e31}, {}),
    ({"budget": 1e13, "hours": 1.0}, {}),
    ({"hours": 0.0}, {}),
    ({"gpu_hours": 1.0}, {}),
    ({"gpu_hours": 1.0, "device": "h999"}, {}),
    ({"gpu_hours": 1.0, "device": "h100", "mfu": 1.5}, {}),
    ({"dollars": 1.0, "device": "h100", "dollars_per_hour": 0.0}, {}),
    ({"budget": 1e13}, {"max_params": 0.5}),
    ({"budget": 1e13}, {"serve_tokens": 0.0}),
    ({"budget": 1e13}, {"device_memory": "24 parsecs"}),
    ({"budget": 1e13}, {"device_memory": "24"}),
    ({"budget": 1e13}, {"pairs_available": 3}),
    ({"budget": 1e13}, {"max_epochs": 10**7}),
    ({"budget": 1e22}, {"serve_tokens": 1e3}),
]


def test_what_is_no_question_is_refused_in_the_same_words(browser: "Browser", smollm2: Laws) -> None:
    page = browser.new_page()
    page.add_script_tag(content=answer_script())
    (found,) = page.evaluate(ASK, [{"smollm2": answer_section(smollm2, "smollm2")[1]}, {"smollm2": WRONG}])
    page.close()
    for one, answer in zip(WRONG, found, strict=True):
        expected = answered(smollm2, one)
        assert isinstance(expected, EmbudgetError), one
        assert compared(smollm2, one, expected, answer) == []


def test_a_typed_budget_is_answered_at_once(opened: Opened, smollm2: Laws) -> None:
    page = opened(smollm2)
    page.fill("[name=amount]", "4e13")
    recipe = recommend(smollm2, 4e13)
    page.wait_for_function("document.querySelector('.answer-command').textContent.includes('4e13')")
    assert page.inner_text(".answer-head") == f"Train {recipe.model} by {recipe.method}"
    facts = page.inner_text(".answer-facts")
    low, high = recipe.predicted_interval
    for said in (f"{recipe.predicted_loss:.3f} nats", f"{low:.3f} to {high:.3f}", f"{recipe.pairs:,} pairs"):
        assert said in facts


def test_the_slider_moves_the_budget_and_the_budget_the_slider(opened: Opened, smollm2: Laws) -> None:
    page = opened(smollm2)
    page.fill("[name=amount]", "1e12")
    before = int(page.input_value("[name=slider]"))
    page.focus("[name=slider]")
    page.keyboard.press("ArrowRight")
    assert int(page.input_value("[name=slider]")) == before + 1
    assert 1e12 <= float(page.input_value("[name=amount]")) < 1.1e12
    page.keyboard.press("End")
    assert float(page.input_value("[name=amount]")) == pytest.approx(256 * 1.6e13, rel=0.05)


def test_beyond_the_runs_the_pilot_is_shown_instead(opened: Opened, smollm2: Laws) -> None:
    page = opened(smollm2, budget=1e17)
    assert "pilot" in page.inner_text(".answer-head")
    assert "these runs do not support a recipe for 1e+17 FLOP" in page.inner_text(".answer-out")
    assert "embudget recipe smollm2 --budget 1e17 --out pilot.yaml" in page.inner_text(".answer-command")
    assert page.query_selector(".answer-facts") is None


def test_constraints_narrow_the_choice_or_are_refused_as_by_the_command(opened: Opened, smollm2: Laws) -> None:
    page = opened(smollm2, budget=4e13)
    page.fill("[name=max_params]", "4e6")
    expected = recommend(smollm2, 4e13, max_params=4e6)
    page.wait_for_function("document.querySelector('.answer-command').textContent.includes('--max-params 4e6')")
    assert page.inner_text(".answer-head") == f"Train {expected.model} by {expected.method}"
    assert "Constraints: 1 set" in page.inner_text(".answer-wishes summary")
    page.fill("[name=max_params]", "1e3")
    page.wait_for_selector(".answer-refusal")
    with pytest.raises(EmbudgetError) as refusal:
        recommend(smollm2, 4e13, max_params=1e3)
    assert page.inner_text(".answer-refusal") == str(refusal.value)


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("amount", "a lot", "budget must be a number of FLOP such as 1e17, got 'a lot'"),
        ("amount", "-1", "budget must be finite and > 0, got -1"),
        ("amount", "", "give exactly one of budget, hours, gpu_hours and dollars, got none"),
        ("device_memory", "24", "device_memory without a unit is in bytes, got '24': did you mean 24GB?"),
        ("pairs_available", "1.5", "pairs_available must be a whole number, got 1.5"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    opened: Opened, smollm2: Laws, field: str, typed: str, said: str
) -> None:
    page = opened(smollm2)
    page.evaluate("document.querySelector('.answer-wishes').open = true")
    page.fill(f"[name={field}]", typed)
    page.wait_for_selector(".answer-refusal")
    assert page.inner_text(".answer-refusal") == said


def test_a_budget_keeps_its_worth_in_another_unit(opened: Opened, smollm2: Laws) -> None:
    page = opened(smollm2, budget=4e16)
    page.select_option("[name=unit]", "gpu_hours")
    hours = 4e16 / (989.4e12 * 0.4 * 3600)
    assert float(page.input_value("[name=amount]")) == pytest.approx(hours, rel=0.01)
    page.wait_for_function("document.querySelector('.answer-command').textContent.includes('--gpu-hours')")
    assert "--device h100 --mfu 0.4" in page.inner_text(".answer-command")
    assert page.is_visible("[name=device]")
    assert not page.is_visible("[name=dollars_per_hour]")
    page.select_option("[name=unit]", "budget")
    assert float(page.input_value("[name=amount]")) == pytest.approx(4e16, rel=0.02)


def test_where_training_does_not_pay_the_start_is_named_and_from_when_it_does(opened: Opened) -> None:
    laws = with_start(fit(study(), draws=40, forms=["rectified"]), 1.04)
    page = opened(laws, source="laws.json", budget=4e13)
    recipe = recommend(laws, 4e13)
    assert recipe.untrained is not None
    assert page.inner_text(".answer-head") == f"Use {recipe.untrained.model} as it is"
    page.wait_for_function("document.querySelector('.answer-pays').textContent !== ''")
    assert page.inner_text(".answer-pays") == f"{recipe.untrained.pays}."
    assert f"embudget export {recipe.untrained.model} --to" in page.inner_text(".answer-command")
    rows = page.eval_on_selector_all(
        "h3 + .answer-scroll tbody tr", "rows => rows.map(row => row.firstChild.textContent)"
    )
    assert rows[-2:] == [one.lineage for one in recipe.starts]


def test_the_command_is_copied_and_asks_the_same(opened: Opened, smollm2: Laws) -> None:
    page = opened(smollm2, budget=4e13)
    page.evaluate("document.querySelector('.answer-wishes').open = true")
    page.fill("[name=pairs_available]", "5e4")
    page.wait_for_function("document.querySelector('.answer-command').textContent.includes('50000')")
    page.click(".answer-copy")
    page.wait_for_function("document.querySelector('.answer-copy').textContent === 'Copied'")
    first, second = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert first == "embudget recipe smollm2 --budget 4e13 --pairs-available 50000 --out recipe.yaml"
    assert second == "embudget train recipe.yaml --pairs DIR --out model/"


def test_every_choice_is_taken_or_as_good_or_has_a_reason(opened: Opened, smollm2: Laws) -> None:
    page = opened(smollm2, budget=4e13)
    recipe = recommend(smollm2, 4e13)
    page.click(".answer-rejected summary")
    rows = page.eval_on_selector_all(".answer-rejected tbody tr", "rows => rows.map(row => row.lastChild.textContent)")
    assert rows == [one.reason for one in recipe.rejected]


@pytest.mark.parametrize("width", [390, 1600])
def test_nothing_is_wider_than_the_screen(opened: Opened, smollm2: Laws, width: int) -> None:
    page = opened(smollm2, source="a/very/long/path/" * 12, width=width, budget=4e13)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_text_from_outside_stays_text(opened: Opened, smollm2: Laws) -> None:
    hostile = "</script><img src=x onerror=alert(1)>'; rm -rf ~ #"
    page = opened(smollm2, source=hostile, budget=4e13)
    assert page.query_selector("img") is None
    assert "'</script><img src=x onerror=alert(1)>'\\''; rm -rf ~ #' --budget 4e13" in page.inner_text(
        ".answer-command"
    )


def test_the_state_goes_out_and_comes_back(opened: Opened, smollm2: Laws) -> None:
    page = opened(smollm2, budget=4e13)
    assert page.evaluate("embudgetAnswer.state()") == {}
    state = {"amount": "2e13", "max_params": "1e7", "prefer": "small"}
    page.evaluate("state => embudgetAnswer.restore(state)", state)
    assert page.evaluate("embudgetAnswer.state()") == state
    assert "--budget 2e13 --max-params 1e7 --prefer small" in page.inner_text(".answer-command")
    page.evaluate("embudgetAnswer.restore({unit: 'parsecs', prefer: 'none'})")
    assert page.evaluate("embudgetAnswer.state()") == {}
