"""A finding: a statement about fine-tuning, and whether a study bears it out.

A statement is cut into claims that hold or fail in each draw of the laws (or, rarely, leave open: an optimum that lies
beyond the measured sizes has not been seen to move). The verdict is

    reproduced        all claims hold together in at least 90 % of the draws
    not reproduced    some claim fails in at least 1 - 10 % / k of the draws, k the number of claims
    undetermined      neither, or the study lacks what the statement is about

A negative verdict asks for one claim that clearly fails. If a statement has many claims, each an open question, then
hardly any draw has them all, and by chance one of them fails in 90 % of the draws; hence Bonferroni's k.
"""

import textwrap
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from embudget.choices.table import Array
from embudget.frozen import Frozen

SURE = 0.9
"""Share of the draws that decides about one claim."""
WIDTH = 100
"""Columns of the text."""

Verdict = Literal["reproduced", "not reproduced", "undetermined"]
Mask = NDArray[np.bool_]

STATEMENTS = {
    1: "Full fine-tuning is best at low budgets and LoRA at high ones, with one switch between them.",
    2: "The larger the budget, the larger the model with the lowest loss, whatever the method.",
    3: "Freezing blocks is worse than full fine-tuning, except for large models at small budgets.",
    4: "The larger the model, the slightly smaller the best fraction of active blocks.",
    5: "Bias-only tuning ends at a higher loss than every other method.",
    6: "The smallest and the largest LoRA ranks are worse than those between, the largest most so at low budgets.",
    7: "The best loss of a method against the budget is a falling straight line in log-log.",
    8: "A lower contrastive loss goes with a better downstream score.",
}
"""What is claimed, by the number that the report and the documentation use."""


class Claim(Frozen):
    """A part of a statement."""

    text: str = Field(description="e.g. LoRA is best at 1.6e+13 FLOP")
    holds: float = Field(ge=0, le=1, description="share of the draws")
    fails: float = Field(ge=0, le=1, description="share of the draws; the rest leaves it open")


class Finding(Frozen):
    """One statement and what the study says of it."""

    number: int = Field(ge=1, le=8, description="of the paper's finding")
    statement: str = Field(description="what the paper found")
    verdict: Verdict = Field(description="what the study says of it, see `embudget explain --help`")
    share: float | None = Field(default=None, description="of the draws in which the statement holds; None if untested")
    numbers: str = Field(default="", description="what decides it, with units")
    why: str | None = Field(default=None, description="why it is undetermined")
    claims: tuple[Claim, ...] = Field(default=(), description="the parts of the statement that were tested")

    def __str__(self) -> str:
        """One paragraph, the verdict first."""
        text = f"{self.verdict.upper()}: {self.number}. {self.statement}"
        for part in (self.why, self.numbers):
            text += f" {part[:1].upper()}{part[1:]}." if part else ""
        return textwrap.fill(text, WIDTH, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)


class Assertion(NamedTuple):
    """A claim in every draw (draws,)."""

    text: str
    holds: Mask
    fails: Mask


def assertion(text: str, holds: Mask, fails: Mask | None = None) -> Assertion:
    """A claim by its draws; it fails in all draws in which it does not hold, unless ``fails`` says otherwise."""
    return Assertion(text, holds, ~holds if fails is None else fails)


def conclude(number: int, tests: Sequence[Assertion], numbers: str) -> Finding:
    """The finding that the draws of its claims lead to; ``numbers`` says in words what decides it."""
    claims = tuple(Claim(text=one.text, holds=one.holds.mean(), fails=one.fails.mean()) for one in tests)
    share = float(np.logical_and.reduce([one.holds for one in tests]).mean())
    worst = max(claims, key=lambda claim: (claim.fails, -claim.holds))
    verdict: Verdict = "undetermined"
    why, decides = None, ""
    if share >= SURE:
        verdict, decides = "reproduced", f"holds in {100 * share:.0f} % of the draws; "
    elif worst.fails >= refuting(len(claims)) - 1e-9:
        verdict, decides = "not reproduced", f"that {worst.text} holds in {100 * worst.holds:.0f} % of the draws; "
    else:
        why = _open(share, worst, len(claims))
    return Finding(
        number=number, statement=STATEMENTS[number], verdict=verdict, share=share, numbers=decides + numbers, why=why,
        claims=claims,
    )  # fmt: skip


def refuting(claims: int) -> float:
    """The share of the draws in which one of so many claims must fail to refute the statement."""
    return 1 - (1 - SURE) / claims


def _open(share: float, worst: Claim, claims: int) -> str:
    text = f"the draws do not decide: it holds in {100 * share:.0f} % of them"
    if worst.fails == 0 and worst.holds < 1:
        return f"{text}; that {worst.text} is left open by {100 * (1 - worst.holds - worst.fails):.0f} %"
    fails = f"what fails most often, in {100 * worst.fails:.3g} %, is that {worst.text}"
    needed = f"{100 * refuting(claims):.4g} % to refute the statement"
    return f"{text}; {fails}; " + (
        f"of {claims} claims one must fail in {needed}" if claims > 1 else f"it takes {needed}"
    )


def untested(number: int, why: str, numbers: str = "") -> Finding:
    """A finding that the study cannot decide for lack of what it is about."""
    return Finding(number=number, statement=STATEMENTS[number], verdict="undetermined", numbers=numbers, why=why)


def spread(values: Array, digits: int = 2, unit: str = "") -> str:
    """The median of the draws and 90 % of them, as text."""
    middle, low, high = np.quantile(values, (0.5, 0.05, 0.95))
    return f"{_short(middle, digits)}{unit} (90 %: {_short(low, digits)} to {_short(high, digits)}{unit})"


def _short(value: float, digits: int) -> str:
    return "0" if abs(value) < 1e-9 else f"{value:.{digits}g}"


def percent(logs: Array) -> str:
    """Differences of log losses as text, in percent."""
    middle, low, high = 100 * np.expm1(np.quantile(logs, (0.5, 0.05, 0.95)))
    return f"{middle:+.1f} % ({low:+.1f} to {high:+.1f} %)"
