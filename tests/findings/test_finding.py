"""The draws decide a verdict, and its text says how."""

import numpy as np
import pytest
from numpy.typing import NDArray

from embudget.findings.finding import WIDTH, assertion, conclude, untested


def share(of: int) -> NDArray[np.bool_]:
    """A claim that holds in the first so many of 100 draws."""
    return np.arange(100) < of


@pytest.mark.parametrize(
    ("holds", "verdict"),
    [
        ((100,), "reproduced"),
        ((90,), "reproduced"),
        ((89,), "undetermined"),
        ((11,), "undetermined"),
        ((10,), "not reproduced"),
        ((95, 92), "reproduced"),
        ((95, 5), "not reproduced"),
        ((95, 6), "undetermined"),  # with two claims, refuting one takes 95 %
        ((95, 40), "undetermined"),
    ],
)
def test_the_claims_decide_together_or_one_refutes(holds: tuple[int, ...], verdict: str) -> None:
    finding = conclude(5, [assertion(f"claim {place}", share(of)) for place, of in enumerate(holds)], "numbers")
    assert finding.verdict == verdict
    assert finding.share == min(holds) / 100
    assert (finding.why is not None) == (verdict == "undetermined")
    assert [claim.holds for claim in finding.claims] == [of / 100 for of in holds]


def test_claims_that_hold_in_different_draws_do_not_hold_together() -> None:
    finding = conclude(5, [assertion("one", share(50)), assertion("other", ~share(50))], "numbers")
    assert (finding.verdict, finding.share) == (
        "undetermined",
        0,
    )  # hardly any draw has both, but neither clearly fails


def test_what_was_not_seen_neither_holds_nor_fails() -> None:
    finding = conclude(2, [assertion("it grows", share(5), np.zeros(100, dtype=bool))], "numbers")
    assert finding.verdict == "undetermined"
    assert finding.why is not None
    assert "that it grows is left open by 95 %" in finding.why


def test_an_open_verdict_says_what_it_would_take() -> None:
    """With ten claims, one must fail in 99 % of the draws: that it does in 98 % is no mistake."""
    one = conclude(5, [assertion("it is so", share(11))], "numbers").why
    ten = conclude(
        5, [assertion("it is so", share(2)), *(assertion("true", share(100)) for _ in range(9))], "numbers"
    ).why
    assert one is not None and one.endswith("in 89 %, is that it is so; it takes 90 % to refute the statement")
    assert ten is not None and "in 98 %, is that it is so; of 10 claims one must fail in 99 % to refute" in ten


def test_the_text_is_a_paragraph_with_the_verdict_first() -> None:
    found = conclude(5, [assertion("bias is worse than full at 1e+12 FLOP", share(3))], "by 3.1 % at 1e+12 FLOP")
    text = str(found)
    assert text.startswith("NOT REPRODUCED: 5. Bias-only tuning")
    assert "That bias is worse than full at 1e+12 FLOP holds in 3 % of the draws; by 3.1 %" in text.replace("\n  ", "")
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "\n\n" not in text


def test_an_untested_finding_says_what_is_missing() -> None:
    finding = untested(5, "the study has no runs of bias-only tuning")
    assert (finding.verdict, finding.share, finding.claims) == ("undetermined", None, ())
    assert "The study has no runs of bias-only tuning." in " ".join(str(finding).split())
