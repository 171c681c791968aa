"""A budget in hours: what each choice makes of them, at the speeds of the measured runs.

Their records hold how long each run trained, so that the study is its own probe: the rule of `embudget.speed` carries
its steps over to members and methods that were not run. Hours are those of one device like the one that the study ran
on, in its precision and with its threads.

Recipes compare choices at one number of FLOP. So hours become the FLOP that the median run got out of them, and each
choice gets as many times more or fewer as it is faster or slower (`Clock.pace`).
"""

from typing import NamedTuple, Self, TypedDict, Unpack

import numpy as np

from embudget.choices import Candidate
from embudget.errors import ConfigError
from embudget.laws import Laws
from embudget.means import find_means
from embudget.methods import parse_method
from embudget.recipe.hyperparameters import Practice
from embudget.speed import Speeds, Step, TimedStep
from embudget.suite import known_shape


class TimeOrMoney(TypedDict, total=False):
    """A budget that is not FLOP, as `embudget.recommend` takes it."""

    hours: float | None
    gpu_hours: float | None
    dollars: float | None
    device: str | None
    mfu: float | None
    dollars_per_hour: float | None


class Clock(NamedTuple):
    """The speeds of a study."""

    speeds: Speeds
    flops_per_second: float
    """Algorithmic FLOP/s of its median run: what hours are turned into FLOP by."""

    @classmethod
    def of(cls, laws: Laws) -> Self:
        """The clock of the runs that the laws, of all lineages, were fitted to.

        Raises:
            ConfigError: none of them was timed on a model that is known.
        """
        timed = [one for laws_of_lineage in laws.every for one in _timed(laws_of_lineage)]
        if not timed:
            raise ConfigError(
                "hours need runs that were timed on known models, and these laws hold none: give gpu_hours with a "
                "device, or a budget in FLOP"
            )
        return cls(Speeds(timed), float(np.median([one.step.train_flops / one.seconds for one in timed])))

    def seconds_per_flop(self, candidate: Candidate, tokens_per_step: float) -> float:
        """Seconds that an algorithmic FLOP of training a candidate takes."""
        assert candidate.shape is not None, "a recipe is for a model that can be trained"
        return self.speeds.seconds_per_flop(Step(candidate.shape, candidate.method, tokens_per_step))

    def hours(self, flops: float) -> float:
        """The hours that stand for so many FLOP."""
        return flops / self.flops_per_second / 3600

    def flops(self, hours: float) -> float:
        """The FLOP that stand for hours."""
        return hours * 3600 * self.flops_per_second

    def pace(self, candidate: Candidate, tokens_per_step: float) -> float:
        """How many times as fast as the median run a candidate trains."""
        return 1 / (self.flops_per_second * self.seconds_per_flop(candidate, tokens_per_step))


def flops_and_clock(
    laws: Laws, budget: str | float | None = None, **given: Unpack[TimeOrMoney]
) -> tuple[float, Clock | None]:
    """Read a budget of a recipe: FLOP; and of hours the clock, by whose median run they are turned into FLOP.

    Raises:
        BudgetError: as `embudget.means.find_means`.
        ConfigError: hours are given, and no run was timed.
    """
    means = find_means(budget, **given)
    if means.hours is None:
        return means.amount, None
    clock = Clock.of(laws)
    return clock.flops(means.hours), clock


def _timed(laws: Laws) -> list[TimedStep]:
    a_pair = Practice.of(laws).tokens_per_pair
    found = []
    for cell in laws.cells:
        shape = known_shape(cell.model)
        steps = cell.steps or (cell.tokens / (a_pair * cell.batch_size) if cell.batch_size else 0.0)
        if shape is not None and cell.seconds and steps:
            found.append(TimedStep(Step(shape, parse_method(cell.method), cell.tokens / steps), cell.seconds / steps))
    return found
