"""How is a decision said in words, for the screen and decisions.jsonl? What leads, what changed, what a run is for."""

import math
import textwrap
from collections.abc import Sequence

from embudget.spending.allocation import Arm, Decision, Measurement, Setting, trunk_of

SAME_RATE = 0.05
"""e-folds below which two rates are not told apart: the loss changes by a ten-thousandth."""

WIDTH = 100
"""Columns that a line may take."""


def named(model: str, method: str) -> str:
    """An arm as the screen says it.

    Example:
        >>> named("smollm2-135m:4", "lora:32")
        'lora:32 on smollm2-135m:4'
    """
    return f"{method} on {model}"


def chance_to_lead(decision: Decision) -> float:
    """The chance of the leading arm to be best, as the standings beside it say it.

    `Decision.probability` is larger: it counts ties within 0.5 % as won, and would seem a contradiction on a screen.
    """
    best = _arm(decision.best)
    return next((share for *arm, share, _ in decision.standings if tuple(arm) == best), decision.probability)


def hung(line: str, indent: int = 12) -> str:
    """A line that is too long for a terminal of `WIDTH` columns, continued below its text."""
    return textwrap.fill(
        line, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False,
        replace_whitespace=False, drop_whitespace=True,
    )  # fmt: skip


def what_changed(before: Decision | None, now: Decision) -> str:
    """Say what a round of measurements did to the choice: another arm leads, or the same one is surer or less sure.

    Args:
        before: the decision before the measurements; None at the beginning, which says who leads.
        now: the decision after them.

    Returns:
        One sentence without its full stop, such as "lora:32 on smollm2-135m:4 now best with 62 %, was 31 %".
    """
    best, chance = _arm(now.best), 100 * chance_to_lead(now)
    if before is None:
        return f"{named(*best)} leads before any run, best with {chance:.0f} %"
    earlier = {(model, method): share for model, method, share, _ in before.standings}
    was = f"was {100 * earlier[best]:.0f} %" if best in earlier else "was not among the leading"
    if best == _arm(before.best):
        rate = _rates(before.best, now.best)
        return f"{named(*best)} still best with {chance:.0f} %, {was}{rate}"
    return f"{named(*best)} now best with {chance:.0f} %, {was}; before it {named(*_arm(before.best))}"


def leader(best: Setting, standings: Sequence[tuple[str, str, float, float]]) -> str:
    """Say what would be trained to the end now, and what may be better."""
    chance = next((one[2] for one in standings if one[:2] == _arm(best)), 0.0)
    others = [one for one in standings if one[:2] != _arm(best)]
    said = f"{named(*_arm(best))} has the lowest expected loss, and is best with {chance:.0%}"
    if others and others[0][2] > 0:
        said += f" ({named(*others[0][:2])} with {others[0][2]:.0%})"
    return said


def why_bought(setting: Setting, measured: Sequence[Measurement]) -> str:
    """Say what a run is to tell beyond those before it: of an arm, a rate, or how its loss goes on falling.

    Example:
        >>> why_bought(setting, ())
        'the first run of this model and method'
    """
    own = [one.purchase for one in measured if _arm(one.purchase.setting) == _arm(setting)]
    if not own:
        return "the first run of this model and method"
    if trunk := trunk_of(setting, measured):
        return f"goes on from its run of {trunk:.3g} FLOP"
    if same := [one.train_flops for one in own if one.setting == setting]:
        return f"begins anew, since nothing is kept of its run of {max(same):.3g} FLOP to go on from"
    rates = sorted({one.setting.learning_rate for one in own})
    if setting.learning_rate not in rates:
        return f"another rate than {', '.join(f'{rate:.3g}' for rate in rates)}"
    return "another batch, number of negatives or seed of a rate that was tried"


def untrained(arms: Sequence[Arm], expected_loss: float) -> str | None:
    """The start that is better as it is than what is left can train; None where training pays.

    Args:
        arms: with the losses of their starts, where these are known.
        expected_loss: of the final run, nats.
    """
    known = [arm for arm in arms if arm.base_loss is not None]
    best = min(known, key=lambda arm: (arm.base_loss or 0.0, arm.model_params), default=None)
    if best is None or best.base_loss is None or best.base_loss >= expected_loss:
        return None
    return (
        f"{best.model} as it is: training does not pay at this budget. Its held-out loss is {best.base_loss:.3f}, and "
        f"the best trained choice is expected at {expected_loss:.3f}"
    )


def _arm(setting: Setting) -> tuple[str, str]:
    return setting.model, setting.method


def _rates(before: Setting, now: Setting) -> str:
    """What became of the best rate, where that is more than a rounding."""
    if abs(math.log(now.learning_rate / before.learning_rate)) < SAME_RATE:
        return ""
    return f", its rate {now.learning_rate:.3g} instead of {before.learning_rate:.3g}"
