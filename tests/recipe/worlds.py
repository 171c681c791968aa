"""A known world that the tests of recipes share."""

from embudget.laws import Coefficients
from embudget.records import RunRecord
from embudget.simulate import RateLaw, World

TRUTH = {
    "full": Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42),
    "lora:32": Coefficients(E=1.8, A=330, a=0.35, B=210, b=0.42),
}
MODELS = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")
BUDGET = 6.4e13
"""Four times the largest measured."""

NOISY = World(truth=TRUTH, models=MODELS, noise=0.02)


def tuned_world(truth: dict[str, Coefficients], other: str) -> World:
    """One of full fine-tuning and another method, each run at three rates whose best ones follow a law."""
    rates = {method: RateLaw(at=at, p=-0.3, q=0.2, curvature=0.02) for method, at in (("full", 1.5e-3), (other, 4e-3))}
    return World(truth=truth, models=MODELS, noise=0.002, rate_laws=rates, rate_multiples=(0.3, 0.9, 2.7))


def timed(records: list[RunRecord], speeds: dict[str, float]) -> list[RunRecord]:
    """The records with the seconds that the method's speed in FLOP/s makes."""
    return [
        r.model_copy(update={"seconds": (r.train_flops or 0) / speeds[r.config.method]})
        if r.config.method in speeds
        else r
        for r in records
    ]
