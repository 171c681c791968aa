"""What can go wrong that a user can mend: a small tree of exceptions, all of them `EmbudgetError`.

An input or the environment causes each of them, never a bug of ours. The message is one line that names the field, the
rule and the value received, and where possible what to do. The command line prints that line and exits with code 2; any
other exception is our bug and keeps its traceback.

    import embudget as eb

    try:
        laws = eb.fit(records)
    except eb.EmbudgetError as error:
        print(error)
"""

import math


class EmbudgetError(Exception):
    """Base of all errors that a user can cause and mend; catch this one to catch them all.

    Example:
        >>> try:
        ...     laws = eb.fit(records)
        ... except eb.EmbudgetError as error:
        ...     print(error)
    """


class ConfigError(EmbudgetError):
    """A configuration file, an option or an argument breaks a rule."""


class BudgetError(ConfigError):
    """A compute budget cannot be read, converted to FLOP, or spent."""


class InfeasibleError(ConfigError):
    """No model and method meets the user's constraints within the budget."""


class UnsupportedError(ConfigError):
    """The runs support no recipe for the budget or the models asked for: too far away, or of another family.

    `embudget.pilot` plans the study that would; ``force=True`` gives the far recipe all the same.

    Args:
        reason: how far away, or which family, in one line.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; call embudget.pilot for the study that would, or set force=True for a far recipe")
        self.reason = reason


class WorldError(ConfigError):
    """A simulated world has a loss or a best rate that no number can hold."""


class MethodError(ConfigError):
    """A fine-tuning method is unknown, or cannot be applied to the model."""


class FigureError(EmbudgetError):
    """A study has nothing to show in a figure, such as loss against rank where one rank was measured."""


class ModelError(EmbudgetError):
    """A model or suite is unknown, cannot be loaded, or has too few blocks for the depth asked for."""


class PairsError(EmbudgetError):
    """Text pairs cannot be read, built or used."""


class StoreError(EmbudgetError):
    """A store of records cannot be opened, or the database belongs to another program."""


class RemoteError(EmbudgetError):
    """What lies at a URL cannot be read or written: no permission, no such bucket, or no answer for too long."""


class DamagedError(RemoteError):
    """A file at a URL is not what its manifest says."""


class RunError(EmbudgetError):
    """A training run could not be done."""


class ExportError(EmbudgetError):
    """A model cannot be written in the format asked for."""


class OutOfMemoryError(RunError):
    """Memory does not suffice for one text at a time: another model or method may need less."""


class DivergedError(RunError):
    """The loss of a run became NaN or infinite, or exploded, so that training on would waste the rest of its budget.

    Args:
        message: what was seen, in one line.
        curve: (train FLOP spent, training loss in nats) after each step up to the divergence.
    """

    def __init__(self, message: str, curve: list[tuple[float, float]]) -> None:
        super().__init__(message)
        self.curve = curve

    def curve_of(self, budget: float) -> list[tuple[float, float]]:
        """Return the curve as a record stores it: (share of the budget spent, training loss), finite losses only."""
        return [(spent / budget, loss) for spent, loss in self.curve if math.isfinite(loss)]


class FitError(EmbudgetError):
    """The records do not support the requested fit."""


class TooFewRunsError(FitError):
    """There are not enough runs, model sizes or budgets to determine the law."""


class ConcaveProfileError(FitError):
    """An isoFLOP profile has no minimum, because its parabola opens downwards."""


class OptimumOutsideGridError(FitError):
    """The minimum of an isoFLOP profile lies outside the measured model sizes, where it would be a guess."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, cut to one line for a message of ours; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def shortened(text: str, most: int) -> str:
    """A text for a message, of at most so many characters: the middle of a longer one is left out."""
    if len(text) <= most:
        return text
    tail = (most - 3) // 3
    return f"{text[: most - 3 - tail]}...{text[-tail:]}"
