"""A known world that the tests of recipes share."""

from embudget.design import World
from embudget.laws import Coefficients
from embudget.records import RunRecord

TRUTH = {
    "full": Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42),
    "lora:32": Coefficients(E=1.8, A=330, a=0.35, B=210, b=0.42),
}
MODELS = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")
BUDGET = 6.4e13
"""Four times the largest measured."""

NOISY = World(truth=TRUTH, models=MODELS, noise=0.02)


def timed(records: list[RunRecord], speeds: dict[str, float]) -> list[RunRecord]:
    """The records with the seconds that the method's speed in FLOP/s makes."""
    return [
        r.model_copy(update={"seconds": (r.train_flops or 0) / speeds[r.config.method]})
        if r.config.method in speeds
        else r
        for r in records
    ]
