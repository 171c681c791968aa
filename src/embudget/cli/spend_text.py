"""What `embudget spend` says of a budget, of a round and of a run, in words."""

from typing import TYPE_CHECKING

from embudget.duration import duration
from embudget.plural import plural
from embudget.spending.allocation import Allocation, Decision, Measurement, Setting
from embudget.spending.changes import hung, named

if TYPE_CHECKING:
    from embudget.spending.prepare import Prepared

MOST_STANDINGS = 3
"""Arms that are listed each round."""


def labelled(label: str, text: str) -> str:
    """A line of a round."""
    return hung(f"  {label:8}  {text}")


def described(setting: Setting) -> str:
    """A setting in a few words."""
    negatives = f", {setting.negatives} negatives" if setting.negatives else ""
    seed = f", seed {setting.seed}" if setting.seed else ""
    where = named(setting.model, setting.method)
    return f"{where}, rate {setting.learning_rate:.3g}, batch {setting.batch_size}{negatives}{seed}"


def outcome(measurement: Measurement) -> str:
    """What came of a purchase in a few words."""
    if measurement.loss is None:
        return measurement.status
    return f"loss {measurement.loss:.3f}" + (f" ± {measurement.error:.3f}" if measurement.error else "")


def standings(decision: Decision) -> list[str]:
    """The leading arms, a line each: the loss expected at the end, the chance to be best, and which it is."""
    best = decision.best.model, decision.best.method
    known = list(decision.standings)
    if best not in [one[:2] for one in known]:  # the standings are of the highest chances, which its need not be
        known.append((*best, decision.probability, decision.expected_loss))
    shown = sorted(known, key=lambda one: one[3])[:MOST_STANDINGS]
    told = [
        f"{loss:.3f} at the end, best with {100 * chance:3.0f} %: {named(model, method)}"
        for model, method, chance, loss in shown
    ]
    return [labelled("" if number else "leading", line) for number, line in enumerate(told)]


def describe(allocation: Allocation) -> str:
    """What a budget may buy, in a few lines."""
    members = sorted({(arm.model_params, arm.model) for arm in allocation.arms})
    methods = list(dict.fromkeys(arm.method for arm in allocation.arms))
    batch = min(allocation.batch_sizes)
    least = min(allocation.arms, key=lambda arm: allocation.charged(arm, allocation.least(arm, batch)))
    flops = allocation.least(least, batch)
    names = ", ".join(name for _, name in members)
    share = (
        "until no run pays for itself"
        if allocation.search_share is None
        else f"{100 * allocation.search_share:g} % of the budget at most"
    )
    runs = "" if allocation.max_runs is None else f", {plural(allocation.max_runs, 'run')} at most"
    return "\n".join(
        [
            f"budget     {_budget(allocation)} for search and final run together",
            f"members    {names}",
            f"methods    {', '.join(methods)}",
            f"arms       {len(allocation.arms)}: each a member with a method that it can be trained by",
            f"shortest   {allocation.min_steps} steps of {batch} pairs: {flops:.3g} FLOP with "
            f"{named(least.model, least.method)}, 1/{allocation.budget / allocation.charged(least, flops):.0f} of the "
            "budget",
            hung(
                "search     each round buys the runs that are expected to lower the final loss most for what they "
                f"cost, {share}{runs}; what is left trains the choice of the lowest expected loss",
                indent=11,
            ),
        ]
    )


def describe_first(prepared: "Prepared") -> str:
    """What a budget may buy, what is believed before any run, and what the first round would buy."""
    decision = prepared.decide(prepared.allocation, ())
    first = [f"            {described(one.setting)}, {one.train_flops:.3g} FLOP" for one in decision.purchases]
    return "\n".join(
        [
            describe(prepared.allocation),
            *(line.replace("  leading ", "leading   ") for line in standings(decision)),
            f"first      {plural(len(first), 'run')} of the {'final' if decision.final else 'search'}:",
            *first,
        ]
    )


def _budget(allocation: Allocation) -> str:
    if allocation.unit == "seconds":
        return duration(allocation.budget)
    return f"{allocation.budget:.3g} FLOP"
