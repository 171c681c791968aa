"""Finding 5: the best loss of bias-only tuning against that of every other kind of method, at each measured budget."""

from embudget.choices import Choices, considered
from embudget.choices.table import Array
from embudget.findings.finding import Finding, assertion, conclude, percent, untested
from embudget.findings.measured import KINDS, Candidates, lacking, measured_kinds, of_kind, shared_budgets
from embudget.laws import Laws


def bias_only(laws: Laws, candidates: Candidates) -> Finding:
    """Bias-only tuning against the rest."""
    if why := lacking(laws, ("bias",)):
        return untested(5, why)
    bias = of_kind(candidates, "bias")
    claims, texts = [], []
    for kind in (kind for kind in measured_kinds(laws) if kind != "bias"):
        other = of_kind(candidates, kind)
        budgets = considered(bias, considered(other, shared_budgets(laws, ("bias", kind))))
        if not budgets:
            continue
        excess = _best(laws, bias, budgets) - _best(laws, other, budgets)
        claims += [
            assertion(f"bias-only tuning is worse than {KINDS[kind]} at {budget:.3g} FLOP", excess[:, place] > 0)
            for place, budget in enumerate(budgets)
        ]
        ends = dict.fromkeys((0, len(budgets) - 1))
        told = " and ".join(f"{percent(excess[:, end])} at {budgets[end]:.3g} FLOP" for end in ends)
        texts.append(f"its best loss against that of {KINDS[kind]}: {told}")
    if not claims:
        return untested(5, "bias-only tuning was measured at no budget at which another method was")
    return conclude(5, claims, "; ".join(texts))


def _best(laws: Laws, candidates: Candidates, budgets: list[float]) -> Array:
    return Choices.of(laws.on_study, candidates, budgets).lowest()
