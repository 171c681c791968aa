"""What to do with a budget: the recipe by the laws of one lineage, or the best one of several.

`embudget.recipe.answer` finds that of a lineage, `embudget.recipe.starts` compares lineages.
"""

from typing import Unpack

from embudget.errors import UnsupportedError
from embudget.laws import Laws
from embudget.recipe.answer import of_one_lineage
from embudget.recipe.clock import flops_and_clock
from embudget.recipe.options import Question
from embudget.recipe.recipe import Recipe
from embudget.recipe.starts import best_start
from embudget.recipe.wishes import Wishes


def recommend(
    laws: Laws,
    budget: str | float | None = None,
    *,
    suite: str | None = None,
    hours: float | None = None,
    gpu_hours: float | None = None,
    dollars: float | None = None,
    device: str | None = None,
    mfu: float | None = None,
    dollars_per_hour: float | None = None,
    **wishes: Unpack[Wishes],
) -> Recipe:
    """Find the best way to spend a budget, by the laws.

    For many budgets at once use `recipe_curve`, which looks the members up only once.

    Args:
        laws: fitted to a study, or built-in ones.
        budget: in FLOP; or give ``hours``, or ``gpu_hours`` of one ``device``, or ``dollars`` to spend on it.
        suite: whose members are considered, a name or a folder. By default, of each measured lineage, its measured
            models and the built-in suites that hold all of them.
        hours: budget as time on a device like the one that the measured runs were trained on, at their speeds: a slow
            choice gets fewer FLOP out of it.
        gpu_hours: budget as time of a device of the table, at a share of its peak.
        dollars: budget as money.
        device: a name in `embudget.flops.DEVICES`.
        mfu: share of the device's peak that training reaches; 0.4 by default.
        dollars_per_hour: price of the device, instead of the table's.
        wishes: constraints and what to prefer: ``max_params``, ``pairs_available``, ``max_epochs``, ``device_memory``,
            ``serve_tokens``, ``prefer``, ``min_steps``, ``allow_unmeasured_sizes`` and ``force``; see `Wishes`.

    Raises:
        BudgetError: not exactly one budget, or one that cannot be read.
        UnsupportedError: the runs support no recipe, because the budget is over 16 times outside those measured of the
            method, or no model of the family was measured. `embudget.pilot` plans the study that would.
        ModelError: the suite is unknown, or a measured model is not there any more.
        ConfigError: a wish breaks its rule, the suite is not given where the measured models are no known members, or
            the budget is hours and no run was timed.
        InfeasibleError: no choice meets your constraints; the error names the one that failed and the nearest budget at
            which it would hold.

    Example:
        >>> import embudget as eb
        >>> recipe = eb.recommend(eb.find_laws("smollm2"), 4e13, max_params=5e7)
        >>> recipe.model, recipe.method
        ('smollm2-135m:2', 'freeze:0.5')
    """
    flops, clock = flops_and_clock(
        laws, budget, hours=hours, gpu_hours=gpu_hours, dollars=dollars, device=device, mfu=mfu,
        dollars_per_hour=dollars_per_hour,
    )  # fmt: skip
    if laws.others:
        recipe, _ = best_start(laws, flops, suite, wishes, clock=clock)
    else:
        recipe, _ = of_one_lineage(Question.of(laws, wishes, suite, clock=clock), flops)
    if not recipe.supported and not wishes.get("force"):
        raise UnsupportedError(recipe.warnings[0])
    return recipe
