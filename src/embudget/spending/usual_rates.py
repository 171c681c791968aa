"""By how much do best rates lie off the defaults of methods, in what was recorded? The centre of the prior of rates.

Best rates are minima of parabolas through the three rates about the lowest loss, of cells with three rates or more
(SmolLM2: `results/smollm2` and `results/ablations`, micro: `results/micro`, intact retriever: `studies/starts.yaml`
with 5e11 and 2e12 FLOP on minilm-l6). In e-folds over the default, means of the cells of each:

    | method    | SmolLM2 | micro | intact retriever |
    |-----------|---------|-------|------------------|
    | full      |   1.1   |  0.7  |       -1.1       |
    | freeze:0.5|   1.8   |  1.2  |       -0.8       |
    | lora:32   |   0.6   | -0.2  |       -1.7       |
    | bias      |    -    |  2.4  |       -0.3       |

Within a kind they fall with log rank by 0.55 and with log active fraction by 0.75, about the same in both base models.
An intact retriever's are lower by 2.1, whatever the method; one that was cut loses what it knew, and its best rates are
those of a base model (minilm-l6:2: 0.9 above the default or more).

How far this pattern holds on other models is not known: defaults follow the rate that a model was pre-trained with, the
pattern is of two small base models. So a number of every row says how much of it there is, from none to all.

The defaults themselves stay as they are (`embudget.methods`). A run's id covers its rate, so that a study that names no
rates would train all its runs again after a change of defaults, beside those that its store holds. And the published
simulations of `embudget spend` were made with this number between none and all, which a default could not have.
"""

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from embudget.methods import kind_of, parse_method
from embudget.runs.lineages import is_of_retrievers
from embudget.spending.allocation import Arm

OFF = {"full": 0.9, "freeze": 1.5, "lora": 0.2, "bias": 2.4}
"""Log of the best rate over the default of base models, at the usual rank and fraction: means of the two suites."""
BY_NUMBER = {"lora": (32.0, -0.55), "freeze": (0.5, -0.75)}
"""The usual rank and active fraction, and how the log of the best rate moves with the log of them."""
INTACT = -2.1
"""What is added for a retriever that was not cut."""
CUT = 1.5
"""Times the lowest loss before training of its lineage, above which a retriever has lost what it knew."""


def usual_log_rates(arms: Sequence[Arm]) -> NDArray[np.floating]:
    """Log of the usual best rate over the default of each arm, as of a base model (A,).

    Example:
        >>> usual_log_rates(allocation.arms).round(1)
    """
    return np.array([_off(arm.method) for arm in arms])


def intact(arms: Sequence[Arm]) -> NDArray[np.floating]:
    """1 for arms of retrievers that still know what they knew, 0 for others (A,)."""
    lowest: dict[str, float] = {}
    for arm in arms:
        lowest[arm.lineage] = min(lowest.get(arm.lineage, np.inf), arm.base_loss or np.inf)
    return np.array(
        [float(is_of_retrievers(arm.lineage) and (arm.base_loss or 0.0) <= CUT * lowest[arm.lineage]) for arm in arms]
    )


def _off(method: str) -> float:
    kind = kind_of(method)
    usual, slope = BY_NUMBER.get(kind, (1.0, 0.0))
    number = parse_method(method).number if kind in BY_NUMBER else usual
    return OFF.get(kind, 0.0) + slope * log((number or usual) / usual)
