"""Finding 6: the smallest and the largest rank of LoRA against the best of those between.

Every rank is represented by its best size. The claims, in each draw: on average of the log losses over the measured
budgets, both extreme ranks are worse than the best middle one; and the largest rank loses more to it at the lowest
budget than at the highest. The paper's ranks run from 8 to 2048. A study of fewer ranks may reproduce the finding but
cannot refute it, since ranks beyond its own may still be worse.
"""

import numpy as np

from embudget.choices import Choices, considered, in_order
from embudget.findings.finding import Finding, assertion, conclude, percent, untested
from embudget.findings.measured import Candidates, lacking, of_kind, shared_budgets
from embudget.laws import Laws
from embudget.methods import LoRA

LOWEST, HIGHEST = 8, 2048
"""The paper's ranks."""
MIN_RANKS = 3


def lora_ranks(laws: Laws, candidates: Candidates) -> Finding:
    """The extreme ranks against the middle ones."""
    if why := lacking(laws, ("lora",)):
        return untested(6, why)
    methods = in_order(one.method for one in of_kind(candidates, "lora"))
    plain = [method for method in methods if isinstance(method, LoRA) and method == LoRA(method.rank)]
    names = [str(method) for method in plain]
    if len(names) < MIN_RANKS:
        return untested(6, f"extremes need at least {MIN_RANKS} ranks, and the study has {', '.join(names)}")
    budgets = shared_budgets(laws, names)
    by_rank = [[one for one in candidates if one.method == method] for method in plain]
    for mine in by_rank:
        budgets = considered(mine, budgets)
    if len(budgets) < 2:
        return untested(6, f"{', '.join(names)} share {len(budgets)} budgets, and 2 are needed")
    logs = np.stack([Choices.of(laws.on_study, mine, budgets).lowest() for mine in by_rank], axis=1)
    means = logs.mean(axis=2)
    middle = 1 + means[:, 1:-1].argmin(axis=1)
    over = logs - logs[np.arange(len(logs)), middle][:, None]
    small, large = over[:, 0], over[:, -1]
    claims = [
        assertion(f"{names[0]} is worse than the ranks between", small.mean(axis=1) > 0),
        assertion(f"{names[-1]} is worse than the ranks between", large.mean(axis=1) > 0),
        assertion(f"{names[-1]} loses most at the lowest budget", large[:, 0] > large[:, -1]),
    ]
    numbers = (
        f"against the best rank between, on average over {len(budgets)} budgets: {names[0]} "
        f"{percent(small.mean(axis=1))}, {names[-1]} {percent(large.mean(axis=1))}; {names[-1]} "
        f"{percent(large[:, 0])} at {budgets[0]:.3g} FLOP and {percent(large[:, -1])} at {budgets[-1]:.3g}"
    )
    finding = conclude(6, claims, numbers)
    if finding.verdict == "not reproduced" and (plain[0].rank > LOWEST or plain[-1].rank < HIGHEST):
        why = f"it does not show between {names[0]} and {names[-1]}, and ranks {LOWEST} to {HIGHEST} were not measured"
        return finding.model_copy(update={"verdict": "undetermined", "why": why})
    return finding
