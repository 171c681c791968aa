"""A known law with noise in place of training: records of studies of any size within a second.

    loss of a run = L_m(N, D) exp(c log^2(r / r*) + noise z),  z standard normal,  r* = at (N / 1e7)^p (D / 1e6)^q

with L_m the law of the method in any form, N from the member's shape and D from the method's FLOP formula, rounded up
to whole steps as a real run does; r is the run's learning rate, r* the best one, c the method's sensitivity. A run may
also fail, or leave no record at all. This serves tests, the planning of a study, and the judging of a design of runs.
"""

from collections.abc import Iterator
from itertools import product
from math import ceil, exp, log
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import numpy as np
from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from embudget.errors import ConfigError, WorldError
from embudget.flops import steps_for, tokens_for, train_flops
from embudget.frozen import Frozen, unique
from embudget.laws.coefficients import Coefficients
from embudget.laws.forms import FORMS
from embudget.limits import MOST_SEED, BatchSize, Count, Flops, Rate
from embudget.methods import Method, parse_method
from embudget.number import read_number
from embudget.reading import read_yaml
from embudget.records import MethodText, RunConfig, RunRecord
from embudget.suite import DEFAULT_SUITE, ModelShape, find_shape, find_suite

_MAX_LOG = log(1e200)
"""Largest logarithm of a number that can be squared without an overflow."""
Probability = Annotated[float, Field(ge=0, lt=1)]
Budget = Annotated[Flops, Field(ge=1)]
Rates = Annotated[tuple[Rate, ...], Field(min_length=1), AfterValidator(unique)]


class TrueRate(Frozen):
    """The true best learning rate of a method, and what another rate costs.

    `embudget.laws.rates.RateLaw` is what a study learns of it.
    """

    at: PositiveFloat = Field(description="the best peak rate for 1e7 parameters and 1e6 tokens")
    p: float = Field(default=0.0, description="its power in the parameters")
    q: float = Field(default=0.0, description="its power in the tokens")
    curvature: NonNegativeFloat = Field(description="c: log loss per squared natural logarithm of the rate / the best")

    def best(self, model_params: float, tokens: float) -> float:
        """The best rate at N parameters and D tokens.

        Raises:
            WorldError: it is too large or too small for a number.
        """
        log_rate = log(self.at) + self.p * log(model_params / 1e7) + self.q * log(tokens / 1e6)
        return _number(log_rate, f"the best rate of {model_params:.3g} parameters and {tokens:.3g} tokens", "p and q")

    def excess(self, rate: float, model_params: float, tokens: float) -> float:
        """How much the logarithm of the loss lies above that at the best rate."""
        return self.curvature * log(rate / self.best(model_params, tokens)) ** 2


def _number(logarithm: float, what: str, fields: str) -> float:
    """The number of a natural logarithm, if a program can hold it."""
    if not -_MAX_LOG < logarithm < _MAX_LOG:
        raise WorldError(f"{what} must lie between 1e-200 and 1e200, got e^{logarithm:.4g}: change {fields}")
    return exp(logarithm)


class World(Frozen):
    """A true law of every method, and the study that measures it."""

    truth: dict[MethodText, Coefficients] = Field(min_length=1, description="the law of every method")
    suite: str | None = Field(
        default=None, description=f"whose members are measured, {DEFAULT_SUITE} by default; not beside models"
    )
    models: Annotated[tuple[str, ...], AfterValidator(unique)] = Field(
        default=(), description="the members that are measured; not beside suite"
    )
    lineage: str | None = Field(
        default=None,
        description="that the records name, so that several worlds make one study; the loss of their starts is that of "
        "the truth at D = 0, where it is finite",
    )
    zero_shot: dict[str, PositiveFloat] = Field(
        default={},
        description="member -> loss before any training, nats, at which a truth of the form zero_shot begins; where "
        "it is not said, that of the truth at D = 0",
    )
    budgets: Annotated[tuple[Budget, ...], Field(min_length=1), AfterValidator(unique)] = Field(
        default=(1e12, 4e12, 1.6e13), description="FLOP"
    )
    batch_sizes: tuple[BatchSize, ...] = Field(
        default=(16,), min_length=1, description="one for all budgets, or one for each"
    )
    noise: float = Field(default=0.01, ge=0, lt=1, description="relative standard deviation of one run")
    seeds: PositiveInt = Field(default=1, le=10**6, description="runs of each choice, budget and learning rate")
    tokens_per_pair: float = Field(
        default=60.0, ge=1, le=1e9, description="of a query and its positive, without padding"
    )
    min_steps: Count = Field(default=1, description="fewest steps of a run; shorter ones are left out")
    rate_laws: dict[MethodText, TrueRate] = Field(
        default={}, description="of the methods whose rate matters; the others run once, at their default rate"
    )
    rate_multiples: Rates = Field(default=(1.0,), description="rates to run, relative to the best one")
    learning_rates: dict[MethodText, Rates] = Field(default={}, description="rates to run instead, as they are")
    fail_probability: Probability = Field(default=0.0, description="share of the runs that fail")
    lost_probability: Probability = Field(default=0.0, description="share of the runs that leave no record")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.suite is not None and self.models:
            raise ValueError("give either suite or models")
        if len(self.batch_sizes) not in (1, len(self.budgets)):
            raise ValueError(f"batch_sizes must have 1 or {len(self.budgets)} values, got {len(self.batch_sizes)}")
        if unknown := set(self.rate_laws) - set(self.truth):
            raise ValueError(f"rate_laws names {min(unknown)}, which has no law in truth")
        if unknown := set(self.learning_rates) - set(self.rate_laws):
            raise ValueError(f"learning_rates names {min(unknown)}, which has none of the rate_laws")
        return self

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a world from a YAML file; `embudget simulate --help` shows one.

        Raises:
            ConfigError: the file cannot be read, or breaks a rule; one line that names field, rule and value.
        """
        return cls.read(read_yaml(path, "a world (truth, models, budgets, ...)"), str(path))

    def shapes(self) -> tuple[ModelShape, ...]:
        """The members that are measured.

        Raises:
            ModelError: one of them, or the suite, is unknown.
        """
        if self.models:
            return tuple(find_shape(model) for model in self.models)
        return find_suite(self.suite or DEFAULT_SUITE)

    def loss(self, model: str, method: str, budget: float, learning_rate: float | None = None) -> float:
        """The true loss of a choice at exactly this budget, nats; at the best learning rate where none is given."""
        shape, strategy = find_shape(model), parse_method(method)
        return self._loss(str(strategy), shape, tokens_for(budget, strategy, shape), learning_rate)

    def at(self, shape: ModelShape, method: str, tokens: float) -> float:
        """The true loss of a method on a member after D tokens, nats, at the best learning rate.

        Raises:
            WorldError: the truth begins at the member's zero-shot loss, which ``zero_shot`` lacks.
        """
        law, begins = self.truth[method], self.zero_shot.get(shape.name)
        if FORMS[law.form].by_member and begins is None:
            raise WorldError(f"zero_shot must have the loss of {shape.name}, since truth.{method} begins at it")
        return law.loss(shape.model_params, float(tokens), begins)

    def _loss(self, method: str, shape: ModelShape, tokens: float, learning_rate: float | None) -> float:
        model_params = shape.model_params
        with np.errstate(all="ignore"):  # what comes of an overflow is refused below
            loss = self.at(shape, method, tokens)
        if not 0 < loss < float("inf"):
            at = f"at {model_params:.3g} parameters and {tokens:.3g} tokens"
            raise WorldError(f"truth.{method}: the loss must be finite and > 0 {at}, got {loss:g}")
        if learning_rate is None or method not in self.rate_laws:
            return loss
        excess = self.rate_laws[method].excess(learning_rate, model_params, tokens)
        return _number(log(loss) + excess, f"the loss at the rate {learning_rate:.3g}", "curvature or the rates")

    def _rates(self, method: Method, shape: ModelShape, tokens: float) -> tuple[float, ...]:
        """The learning rates that are tried in a cell."""
        law = self.rate_laws.get(str(method))
        if law is None:
            return (method.default_learning_rate(shape),)
        best = law.best(shape.model_params, tokens)
        return self.learning_rates.get(str(method)) or tuple(best * multiple for multiple in self.rate_multiples)


class SizedRun(NamedTuple):
    """A run with what its budget buys."""

    config: RunConfig
    shape: ModelShape
    method: Method
    steps: int
    tokens: int


def sized(config: RunConfig, tokens_per_pair: float) -> SizedRun:
    """Look up model and method of a run; its budget is rounded up to whole steps.

    Raises:
        ModelError: the model is unknown.
    """
    shape, method = find_shape(config.model), parse_method(config.method)
    steps = ceil(steps_for(config.train_flops, method, shape, tokens_per_pair, config.batch_size))
    return SizedRun(config, shape, method, steps, round(steps * config.batch_size * tokens_per_pair))


NO_CHANCE = 1e99
"""The chance of a simulated run, nats: a world's losses, on whatever scale, are none over candidates, so that none of
them is as bad as guessing."""


def simulate(world: World, seed: int = 0) -> list[RunRecord]:
    """Run the world's study: every model, method, budget, rate and seed. The same ``seed`` gives the same records.

    Example:
        >>> from embudget.design import World, simulate
        >>> truth = {"full": {"E": 1.0, "A": 300, "a": 0.35, "B": 250, "b": 0.4}}
        >>> len(simulate(World(truth=truth, models=("smollm2-135m:2", "smollm2-135m:4"), budgets=(1e12, 4e12))))
        4

    Raises:
        ConfigError: ``seed`` is negative, no run of the study takes ``min_steps``, or none leaves a record.
        WorldError: a loss or a rate is no number.
        MethodError: a method cannot be applied to a model.
        ModelError: a model or the suite is unknown.
    """
    read_number(seed, "seed", least=0, most=MOST_SEED)
    noise, fate = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    records, runs = [], 0
    for run in _runs(world):
        runs += run.steps >= world.min_steps
        deviation, lost, failed = float(noise.standard_normal()), fate.random(), fate.random()
        if run.steps < world.min_steps or lost < world.lost_probability:
            continue
        if failed < world.fail_probability:
            records.append(RunRecord(config=run.config, status="failed", error="simulated failure"))
        else:
            records.append(done(world, run, deviation))
    if not records:
        why = f"all {runs} runs are lost, lost_probability={world.lost_probability:g}" if runs else _too_short(world)
        raise ConfigError(f"the study leaves no record: {why}")
    return records


def planned(world: World) -> int:
    """The runs of the world's study, those that fail or leave no record included.

    Raises:
        ConfigError: there are none; or as `simulate`.
    """
    runs = sum(run.steps >= world.min_steps for run in _runs(world))
    if not runs:
        raise ConfigError(f"the study has no runs: {_too_short(world)}")
    return runs


def _too_short(world: World) -> str:
    longest = max(run.steps for run in _runs(world))
    return f"no run reaches min_steps={world.min_steps}, the longest takes {longest} steps"


def _runs(world: World) -> Iterator[SizedRun]:
    """Every run of the grid, those of too few steps included, so that they do not shift the noise of the others."""
    methods = [parse_method(text) for text in world.truth]
    for (place, budget), shape, method in product(enumerate(world.budgets), world.shapes(), methods):
        method.check(shape)
        batch_size = world.batch_sizes[min(place, len(world.batch_sizes) - 1)]
        steps = ceil(steps_for(budget, method, shape, world.tokens_per_pair, batch_size))
        tokens = round(steps * batch_size * world.tokens_per_pair)
        for rate, seed in product(world._rates(method, shape, tokens), range(world.seeds)):
            config = RunConfig(
                model=shape.name, method=str(method), train_flops=budget, pairs="simulated", batch_size=batch_size,
                learning_rate=rate, seed=seed,
            )  # fmt: skip
            yield SizedRun(config, shape, method, steps, tokens)


def done(world: World, run: SizedRun, deviation: float) -> RunRecord:
    """The record of a simulated run whose log loss is off by so many standard deviations of the noise."""
    loss = world._loss(run.config.method, run.shape, run.tokens, run.config.learning_rate)
    return RunRecord(
        config=run.config, status="done", model_params=run.shape.model_params,
        trained_params=run.method.trained_params(run.shape), steps=run.steps,
        pairs_seen=run.steps * run.config.batch_size, tokens=run.tokens,
        train_flops=train_flops(run.method, run.shape, run.tokens), loss=loss * exp(world.noise * deviation),
        chance=NO_CHANCE, lineage=world.lineage, base_loss=_base_loss(world, run),
    )  # fmt: skip


def _base_loss(world: World, run: SizedRun) -> float | None:
    """The loss of the start before any training; None in a world of one unnamed lineage, and where it is infinite."""
    if run.shape.name in world.zero_shot:
        return world.zero_shot[run.shape.name]
    if world.lineage is None:
        return None
    with np.errstate(all="ignore"):
        loss = world.at(run.shape, run.config.method, 0.0)
    return loss if loss < float("inf") else None
