"""A known law with noise in place of training: records of studies of any size within a second.

    loss of a run = (E + A_m / N^a + B_m / D^b) exp(noise z),  z standard normal

with N from the member's shape and D from the method's FLOP formula, rounded up to whole steps as a real run does. For
tests, for planning a study, and for judging what a design of runs can tell.
"""

from typing import Annotated, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from embudget.flops import steps_for, tokens_for, train_flops
from embudget.frozen import Frozen
from embudget.laws.parameters import Coefficients
from embudget.methods import parse_method
from embudget.records import MethodText, RunConfig, RunRecord
from embudget.suite import SUITES, find_shape


class World(Frozen):
    """A truth, and the study that measures it."""

    truth: dict[MethodText, Coefficients] = Field(min_length=1, description="the law of every method")
    models: tuple[str, ...] = Field(default=SUITES["smollm2"], min_length=1, description="members")
    budgets: tuple[PositiveFloat, ...] = Field(default=(1e12, 4e12, 1.6e13), min_length=1, description="FLOP")
    batch_sizes: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        default=(16,), min_length=1, description="one for all budgets, or one for each"
    )
    noise: NonNegativeFloat = Field(default=0.01, description="relative standard deviation of one run")
    seeds: PositiveInt = Field(default=1, description="runs of each cell")
    tokens_per_pair: PositiveFloat = 60.0
    min_steps: PositiveInt = Field(default=1, description="a cell with fewer steps is not run")

    @model_validator(mode="after")
    def _one_batch_size_or_all(self) -> Self:
        if len(self.batch_sizes) not in (1, len(self.budgets)):
            raise ValueError(f"batch_sizes must have 1 or {len(self.budgets)} values, got {len(self.batch_sizes)}")
        return self

    def loss(self, model: str, method: str, budget: float) -> float:
        """The true loss of a choice at exactly this budget, nats."""
        shape, strategy = find_shape(model), parse_method(method)
        return self.truth[str(strategy)].loss(shape.model_params, tokens_for(budget, strategy, shape))


def simulate(world: World, seed: int = 0) -> list[RunRecord]:
    """Run the world's study: every model, method, budget and seed. The same ``seed`` gives the same records.

    Raises:
        MethodError: a method cannot be applied to a model.
    """
    rng = np.random.default_rng(seed)
    records = []
    for position, budget in enumerate(world.budgets):
        batch_size = world.batch_sizes[min(position, len(world.batch_sizes) - 1)]
        for model in world.models:
            for method in world.truth:
                for repeat in range(world.seeds):
                    record = _run(world, model, method, budget, batch_size, repeat, float(rng.standard_normal()))
                    if record.steps is not None and record.steps >= world.min_steps:
                        records.append(record)
    return records


def _run(
    world: World, model: str, method: str, budget: float, batch_size: int, repeat: int, deviation: float
) -> RunRecord:
    shape, strategy = find_shape(model), parse_method(method)
    strategy.check(shape)
    steps = int(np.ceil(steps_for(budget, strategy, shape, world.tokens_per_pair, batch_size)))
    tokens = round(steps * batch_size * world.tokens_per_pair)
    config = RunConfig(
        model=model,
        method=method,
        train_flops=budget,
        pairs="simulated",
        batch_size=batch_size,
        learning_rate=strategy.default_learning_rate(shape),
        seed=repeat,
    )
    return RunRecord(
        config=config,
        status="done",
        model_params=shape.model_params,
        trained_params=strategy.trained_params(shape),
        steps=steps,
        pairs_seen=steps * batch_size,
        tokens=tokens,
        train_flops=train_flops(strategy, shape, tokens),
        loss=world.truth[method].loss(shape.model_params, tokens) * float(np.exp(world.noise * deviation)),
    )
