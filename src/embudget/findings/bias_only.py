"""Finding 5: the best loss of bias-only tuning against that of every other kind of method, at each measured budget."""

from embudget.findings.choices import KINDS, Choices, lacking, measured_kinds, shared_budgets
from embudget.findings.finding import Finding, assertion, judge, percent, untested
from embudget.laws import Laws


def bias_only(laws: Laws, choices: Choices) -> Finding:
    """Bias-only tuning against the rest."""
    if why := lacking(laws, ("bias",)):
        return untested(5, why)
    bias = choices.of_kind("bias")
    claims, texts = [], []
    for kind in (kind for kind in measured_kinds(laws) if kind != "bias"):
        budgets = bias.considered(choices.of_kind(kind).considered(shared_budgets(laws, ("bias", kind))))
        if not budgets:
            continue
        excess = bias.best(budgets) - choices.of_kind(kind).best(budgets)
        claims += [
            assertion(f"bias-only tuning is worse than {KINDS[kind]} at {budget:.3g} FLOP", excess[:, place] > 0)
            for place, budget in enumerate(budgets)
        ]
        ends = dict.fromkeys((0, len(budgets) - 1))
        told = " and ".join(f"{percent(excess[:, end])} at {budgets[end]:.3g} FLOP" for end in ends)
        texts.append(f"its best loss against that of {KINDS[kind]}: {told}")
    if not claims:
        return untested(5, "bias-only tuning was measured at no budget at which another method was")
    return judge(5, claims, "; ".join(texts))
