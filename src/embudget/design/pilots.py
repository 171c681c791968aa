"""The pilot study: where the measured runs support no recipe for a budget, the study that would.

It is laid out around the far recipe (`embudget.design.layout`), which the laws give where they are asked beyond their
reach, and what to expect of it is simulated before it is paid for (`embudget.design.guesses`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from embudget.design.guesses import worth
from embudget.design.layout import laid_out
from embudget.design.pilot_study import Pilot, described
from embudget.errors import ConfigError, InfeasibleError
from embudget.laws import Laws
from embudget.recipe import Wishes
from embudget.recipe.answer import near_or_guess
from embudget.recipe.batch_size import far_batch
from embudget.recipe.clock import flops_and_clock
from embudget.recipe.nearest import nearest_feasible
from embudget.recipe.options import Question
from embudget.recipe.starts import leading
from embudget.recipe.support import guessing

WORLDS = 8
"""Simulated worlds that the pilot's regret is the mean of."""


def pilot(
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
    pairs: str | Path = "pairs",
    worlds: int = WORLDS,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
    **wishes: Unpack[Wishes],
) -> Pilot:
    """Plan the study that would support a recipe for a budget, and simulate what it would be worth.

    For a budget that the measured runs do support use `recommend`. It takes seconds, for the simulated studies.

    Runs that exist already count where they reach nearly far enough: then the pilot adds one run to them, at 1/16 of
    the budget and at their settings, and all are fitted together.

    Args:
        laws: fitted to a study, or built-in ones: what is guessed from.
        budget: as for `recommend`, and likewise ``hours``, ``gpu_hours``, ``dollars``, ``device``, ``mfu`` and
            ``dollars_per_hour``.
        suite: as for `recommend`.
        hours: budget as time at the speeds of the measured runs.
        gpu_hours: budget as time.
        dollars: budget as money.
        device: a name in `embudget.flops.DEVICES`.
        mfu: share of the device's peak that training reaches; 0.4 by default.
        dollars_per_hour: price of the device, instead of the table's.
        pairs: folder of the study's text pairs, relative to the study's file.
        worlds: simulated ones; 0 leaves the regret unknown.
        seed: of the simulation.
        progress: called with the number of worlds done.
        wishes: that the recipe will keep to, as for `recommend`.

    Raises:
        BudgetError: not exactly one budget, or one that cannot be read.
        ModelError: the suite is unknown, or a measured model is not there any more.
        ConfigError: the runs support a recipe at this budget; a wish breaks its rule, or the suite is not given where
            the measured models are no known members.
        InfeasibleError: no choice meets your constraints, or the budget is so small that a pilot has too few runs.

    Example:
        >>> pilot = eb.pilot(eb.find_laws("smollm2"), 1e17, suite="pythia")
        >>> pilot.study.members
        ('pythia-14m', 'pythia-31m', 'pythia-160m')
    """
    flops, clock = flops_and_clock(
        laws, budget, hours=hours, gpu_hours=gpu_hours, dollars=dollars, device=device, mfu=mfu,
        dollars_per_hour=dollars_per_hour,
    )  # fmt: skip
    if worlds < 0:
        raise ConfigError(f"worlds must be >= 0, got {worlds}")
    if laws.others:
        laws = leading(laws, flops, suite, wishes, clock)
    asked = Question.of(laws, wishes, suite, clock=clock)
    try:
        recipe, _ = near_or_guess(asked, flops)
    except InfeasibleError as error:
        raise InfeasibleError(f"{error}; {nearest_feasible(guessing(asked), flops)}") from None
    if recipe.supported:
        raise ConfigError(
            f"these runs support a recipe for {recipe.train_flops:.3g} FLOP: use recommend (embudget recipe), no pilot "
            "is needed"
        )
    asked = asked._replace(pairs=asked.limits.pairs_available, clock=None)  # from here on it is for the guess's FLOP
    question = guessing(asked)
    seen = recipe.tokens / question.practice.tokens_per_pair
    batch = far_batch(laws.cells, recipe.train_flops, seen, asked.limits.min_steps or 1)
    layout = laid_out(question, recipe, batch.size, Path(pairs))
    outcomes = []
    for world in range(worlds):
        outcomes.append(worth(asked, recipe, layout.configs, seed + world, layout.measured))
        progress(world + 1)
    return described(question, recipe, layout, batch, outcomes, suite, recipe.warnings[0])
