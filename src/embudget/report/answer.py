"""The page's first screen: a budget and wishes on the left, the recipe they give beside, worked out by the page itself.

    answer_section      its HTML and its data, to be put into a page
    answer_script       the script that evaluates the laws and fills the section in
    answer_style        its style sheet, on the page's colours where it has them

What the script answers is what `embudget recipe` answers: tests/report/test_answer_browser.py asks both 500 questions.
"""

from functools import cache
from typing import Any

from embudget.laws import Laws
from embudget.limits import MOST_FLOPS
from embudget.report.answer_data import answer_data
from embudget.report.rendering import one_scope, rendered, template_text

DATA = "answer-data"
"""The id of the section's data in a page."""
SPAN = 256.0
"""Times below the smallest and above the largest measured budget at which the slider ends: beyond a factor of 16 the
page shows the pilot, so that the reader sees where recipes end."""
_SCRIPTS = (
    "text", "elements", "law", "correction", "pairs", "options", "rates", "doubts", "nearest", "recipe", "starts",
    "pays", "shown", "page",
)  # fmt: skip


def answer_section(
    laws: Laws, source: str = "laws.json", suite: str | None = None, budget: float | None = None
) -> tuple[str, dict[str, Any]]:
    """The section that answers, as HTML, and the data that its script needs.

    A page holds the HTML, the data as JSON in the script element with the id `DATA`, `answer_style` and, behind all of
    them, `answer_script`.

    Args:
        laws: fitted to a study, or built-in ones.
        source: the laws' file or name, in the command on the page.
        suite: whose members are considered, as for `recommend`.
        budget: FLOP that the page first shows; by default four times the largest measured.

    Raises:
        ConfigError, ModelError, UnsupportedError: no budget has a recipe, as where the measured models are no known
            members and no suite is given.

    Example:
        >>> html, data = answer_section(eb.find_laws("smollm2"), "smollm2")
        >>> len(data["lineages"])
        1
    """
    data = answer_data(laws, source, suite)
    low = min(one["budgets"][0] for one in data["lineages"]) / SPAN
    high = min(max(one["budgets"][1] for one in data["lineages"]) * SPAN, MOST_FLOPS)
    shown = 4 * high / SPAN if budget is None else budget
    data |= {"budget": shown, "span": [low, high]}
    return rendered("answer.html", data=data, amount=_written(shown)), data


def _written(flops: float) -> str:
    """A budget as people type it, as 1.1e11, exact to 12 digits."""
    mantissa, exponent = f"{flops:.11e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


@cache
def answer_script() -> str:
    """The script as text, its parts in one scope; it offers `embudgetAnswer` to others on the page."""
    return one_scope(*answer_scripts())


def answer_scripts() -> list[str]:
    """The files of the script, in their order."""
    return [f"answer_{name}.js" for name in _SCRIPTS]


@cache
def answer_style() -> str:
    """The style sheet as text."""
    return template_text("answer.css")
