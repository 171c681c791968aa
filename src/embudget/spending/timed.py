"""The arms of a budget with what they cost on this machine: seconds of a FLOP, and of loading and measuring a run."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from embudget.means import Means
from embudget.pairs import Pairs
from embudget.spending.allocation import Arm
from embudget.spending.arms import Sources, batch_sizes
from embudget.spending.probe import Probe, probe
from embudget.study import Study
from embudget.training.job import lengths_of

GUESSED = 4e10
"""assumption: FLOP/s by which hours are worth FLOP before anything is timed, for the rule of the batch alone; a study's
default."""


class TimedArms(NamedTuple):
    """Arms with their speeds here."""

    arms: tuple[Arm, ...]
    probe: Probe
    flops_per_second: float
    """The median arm's."""

    def __str__(self) -> str:
        """For a person."""
        rates = sorted(1 / arm.seconds_per_flop for arm in self.arms if arm.seconds_per_flop is not None)
        error = self.probe.speeds.error
        sure = "" if error is None else f", give or take {100 * error:.0f} % where a member was not timed"
        return f"{rates[0]:.2g} to {rates[-1]:.2g} FLOP/s by member and method on {self.probe.conditions}{sure}"

    def flops(self, means: Means) -> float:
        """What a budget is in FLOP for the median arm: what the rule of the batch goes by."""
        return means.of_one_device * (1.0 if means.unit == "FLOP" else self.flops_per_second)


def timed_arms(
    study: Study,
    pairs: Pairs,
    means: Means,
    *,
    refresh: bool = False,
    progress: Callable[[str], None] = lambda model: None,
) -> TimedArms:
    """Probe this machine for a study's members and methods, or look up what was timed before.

    Args:
        study: members, methods and how texts are read.
        pairs: its text pairs.
        means: the budget, which the rule of the batch goes by.
        refresh: time again what was timed before.
        progress: called with what is timed next.

    Raises:
        ModelError, MethodError, PairsError, ConfigError: as `embudget.spending.arms.Sources.of`.
    """
    sources = Sources.of(study, pairs)
    guessed = means.of_one_device * (1.0 if means.unit == "FLOP" else GUESSED)
    batch = min(batch_sizes(study, guessed))
    configs = [one.model_copy(update={"batch_size": batch}) for one in sources.templates.values()]
    found = probe(configs, pairs, refresh=refresh, progress=progress)
    speeds, arms = found.speeds, []
    for arm, config in zip(sources.arms(), configs, strict=True):
        a_pair = lengths_of(config, pairs).tokens_per_pair
        costs = {
            "seconds_per_flop": found.seconds_per_flop(config, a_pair, speeds),
            "seconds_per_run": found.seconds_per_run(config, a_pair, speeds),
        }
        arms.append(arm.model_copy(update=costs))
    return TimedArms(tuple(arms), found, 1 / float(np.median([arm.seconds_per_flop for arm in arms])))
