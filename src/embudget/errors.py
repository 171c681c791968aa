"""Exceptions a user may see.

Every one of them is caused by an input or the environment, never by a bug of ours. Its message is one line that names
what was wrong, the rule and the value received; the command line prints that line and exits with code 2.
"""

import math


class EmbudgetError(Exception):
    """Base of all errors that a user can cause and mend."""


class ConfigError(EmbudgetError):
    """A configuration file, option or argument breaks a rule."""


class BudgetError(ConfigError):
    """A compute budget cannot be read, converted or spent."""


class InfeasibleError(ConfigError):
    """No model and method meets the constraints within the budget."""


class MethodError(ConfigError):
    """A method is unknown, or cannot be applied to the model."""


class ModelError(EmbudgetError):
    """A model or suite is unknown, cannot be loaded or cannot be cut."""


class PairsError(EmbudgetError):
    """Text pairs cannot be read, built or used."""


class StoreError(EmbudgetError):
    """A store of records cannot be opened, or belongs to another program."""


class RunError(EmbudgetError):
    """A training run could not be done."""


class DivergedError(RunError):
    """The loss of a run became NaN or infinite, or exploded.

    Args:
        message: what was seen.
        curve: (train FLOP spent, training loss) after each step.
    """

    def __init__(self, message: str, curve: list[tuple[float, float]]) -> None:
        super().__init__(message)
        self.curve = curve

    def curve_of(self, budget: float) -> list[tuple[float, float]]:
        """The finite losses as (share of the budget, training loss)."""
        return [(spent / budget, loss) for spent, loss in self.curve if math.isfinite(loss)]


class FitError(EmbudgetError):
    """The records do not support the requested fit."""


class TooFewRunsError(FitError):
    """There are not enough runs, sizes or budgets to determine the law."""


class ConcaveProfileError(FitError):
    """An isoFLOP profile has no minimum: the parabola opens downwards."""


class OptimumOutsideGridError(FitError):
    """The minimum of an isoFLOP profile lies outside the measured sizes."""
