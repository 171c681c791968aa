"""Records whose losses by group are drawn from a known truth."""

import math
from collections.abc import Sequence

import numpy as np

from embudget.records import GroupScore, RunConfig, RunRecord

GROUP_NOISE = 0.4
"""Standard deviation of a group's loss about the mean, nats, which all models share: some groups are hard for all."""


def made(
    loss: float,
    *,
    seed: int = 0,
    own: float = 0.0,
    luck: float = 0.0,
    sizes: Sequence[int] = (8,) * 60,
    rng: np.random.Generator | None = None,
    **config: object,
) -> RunRecord:
    """A run measured on groups of these sizes.

    Args:
        loss: the true mean loss of its setting, nats.
        seed: of the run.
        own: standard deviation over groups of what is this run's alone, nats.
        luck: standard deviation of log loss between seeds.
        sizes: pairs of each group.
        rng: where what is this run's alone is drawn from.
        config: other fields of its configuration.
    """
    rng = rng or np.random.default_rng(seed)
    hard = GROUP_NOISE * np.random.default_rng(99).standard_normal(len(sizes))
    level = loss * math.exp(luck * rng.standard_normal())
    losses = np.maximum(level + hard + own * rng.standard_normal(len(sizes)), 0.0)
    groups = {
        f"demo/g{place}": GroupScore(size, float(one), float(np.clip(1 - one / 6, 0, 1)))
        for place, (size, one) in enumerate(zip(sizes, losses, strict=True))
    }
    weights = np.array(sizes) / sum(sizes)
    values = {"model": "smollm2-135m:2", "method": "full", "train_flops": 1e12, "learning_rate": 1e-3}
    values |= {"batch_size": 16, "pairs": "abc", "seed": seed} | config
    return RunRecord(
        config=RunConfig.model_validate(values),
        status="done",
        loss=float(weights @ losses),
        ndcg=float(weights @ [one.ndcg for one in groups.values()]),
        groups=groups,
    )
