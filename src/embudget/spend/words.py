"""How is a decision said in plain words? What leads, and what a run is to tell."""

from collections.abc import Sequence

from embudget.laws.rates import rate_text
from embudget.spend.allocation import Allocation, Arm, Measurement, Setting


def leader(best: Setting, standings: Sequence[tuple[str, str, float, float]]) -> str:
    """What would be trained to the end now, and what may be better."""
    chance = next((one[2] for one in standings if one[:2] == (best.model, best.method)), 0.0)
    others = [one for one in standings if one[:2] != (best.model, best.method)]
    said = f"{best.method} on {best.model} has the lowest expected loss, and is best with {chance:.0%}"
    if others and others[0][2] > 0:
        said += f" ({others[0][1]} on {others[0][0]} with {others[0][2]:.0%})"
    return said


def purchase(allocation: Allocation, setting: Setting, flops: float, measured: Sequence[Measurement]) -> str:
    """What a run is: its trunk's next budget, another rate of an arm, or the first run of one."""
    at = f"at 1/{allocation.budget / flops:.3g} of the budget"
    own = [one.purchase.setting for one in measured]
    if setting in own:
        return f"{setting.method} on {setting.model} goes on from its trunk, to be measured {at}"
    rate = rate_text(setting.learning_rate)
    if any((one.model, one.method) == (setting.model, setting.method) for one in own):
        return f"{setting.method} on {setting.model} at another rate, {rate}, {at}"
    return f"first run of {setting.method} on {setting.model}, at the rate {rate}, {at}"


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
