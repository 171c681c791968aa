"""The records of given runs in a world, in place of the world's own grid."""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from embudget.design.simulate import World, done, sized
from embudget.records import RunConfig, RunRecord

SHARED = 0.5
"""Share of the noise's variance that runs of one trunk have in common: the residuals of SmolLM2's cells along one
(model, method) correlate by 0.5 (`results/smollm2`)."""


def simulate_runs(world: World, configs: Sequence[RunConfig], seed: int = 0) -> list[RunRecord]:
    """Run these configurations in place of the world's own grid; none of them fails or is lost.

    The runs of one trunk, which differ in the budget alone, share a part of their noise.

    Raises:
        WorldError, MethodError, ModelError: as `simulate`.
    """
    rng = np.random.default_rng(seed)
    shared: dict[RunConfig, float] = {}
    records = []
    for config in configs:
        own = rng.standard_normal()
        if config.schedule == "wsd":
            trunk = config.model_copy(update={"train_flops": 1.0, "warmup": 0.0})
            common = shared.setdefault(trunk, rng.standard_normal())
            own = sqrt(SHARED) * common + sqrt(1 - SHARED) * own
        records.append(done(world, sized(config, world.tokens_per_pair), float(own)))
    return records
