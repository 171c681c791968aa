"""Which worlds are recipes judged in? Random ones of known truth, each made anew from its kind and seed.

A kind is FORM-EXPONENTS-STUDY, with -FLAW behind it where the runs do not keep to their law:

    chinchilla, multiplicative, rectified, dense_retrieval     the form of the truth
    neither           the geometric mean of two of these forms, with exponents of their own, so that no form is right
    shared, apart     whether the methods have the same exponents, or each its own (lognormal, standard deviation 0.35)
    small             4 sizes x 4 methods x 4 budgets x 1 to 3 seeds
    large             8 to 10 sizes x 5 to 8 methods x 6 budgets

The flaws are those of `benchmarks.flaws`.

Even seeds are worlds of SmolLM2-135M cut to several depths, odd ones of Pythia. Noise is log-uniform from 0.2 to 2 %.
At the middle budget the best size lies inside the measured ones, and with full fine-tuning it grows with the budget. A
product of powers has no best size between the ends of the suite, so the end that it prefers is measured. The loss
depends smoothly on LoRA's rank and on the active fraction. Where the methods' asymptotes differ, half of them meet full
fine-tuning at some budget between the smallest and 64 times the largest, so that the best method depends on the budget.
"""

from functools import cache
from itertools import product
from math import exp, sqrt
from typing import NamedTuple

import numpy as np

from benchmarks.flaws import FLAWS, NOISY, Flaw, Rates, Repeated
from benchmarks.truths import Base, truth_of
from embudget.design import World, simulate
from embudget.laws import Coefficients
from embudget.laws.forms import FORMS, FormName
from embudget.methods import parse_method
from embudget.records import RunRecord
from embudget.suite import SUITES, find_shape

FORM_NAMES: tuple[FormName, ...] = tuple(name for name, form in FORMS.items() if name != "tied" and not form.by_member)
NEITHER = "neither"
STUDIES = ("shared-small", "shared-large", "apart-small", "apart-large")
GROUPS: dict[str, tuple[str, ...]] = {
    "form": tuple(f"{form}-{rest}" for form, rest in product(FORM_NAMES, STUDIES)),
    "neither": tuple(f"{NEITHER}-{rest}" for rest in STUDIES),
    "flawed": tuple(f"chinchilla-shared-small-{flaw}" for flaw in FLAWS),
}
"""Kinds by their truth: one of the fitted forms, none of them, or one that some runs do not keep to."""
DISTANCES = (4, 16, 64)
"""Budgets of the recipes, times the largest measured one."""
STEP = 4.0
"""A budget of the study, times the one before."""
SMALL_METHODS = {
    "smollm2": ("full", "freeze:0.5", "lora:8", "lora:32"),
    "pythia": ("full", "freeze:0.5", "bias", "lora:32"),
}
MORE_METHODS = ("freeze:0.25", "freeze:0.75", "lora:8", "lora:128")
TOKENS_PER_PAIR = 60.0
MIN_STEPS = 4
CHANCE = 6.24
"""The loss in nats of a model that knows nothing: log 512, for as many candidates."""


class Case(NamedTuple):
    """A world, and the suite that its recipes may choose from."""

    kind: str
    seed: int
    world: World
    suite: str
    flaw: Flaw | None
    other: dict[str, Coefficients] | None = None
    """The second law of every method, where the truth is the geometric mean of two."""

    @property
    def choices(self) -> list[tuple[str, str]]:
        """All (model, method) there are."""
        return [(model, method) for model in SUITES[self.suite] for method in self.world.truth]

    def loss(self, model: str, method: str, budget: float, learning_rate: float | None = None) -> float:
        """The true loss of a choice at exactly this budget, nats; at the best learning rate where none is given.

        Beyond the study, batches grow with the root of the budget.
        """
        params, per_token = _cost(model, method)
        tokens, largest = budget / per_token, self.world.budgets[-1]
        batch_size = self.world.batch_sizes[-1] * sqrt(max(1.0, budget / largest))
        loss = self.world.truth[method].loss(params, tokens) * self.changed(
            method, params, tokens, tokens / (batch_size * TOKENS_PER_PAIR)
        )
        if learning_rate is None or method not in self.world.rate_laws:
            return loss
        return loss * exp(self.world.rate_laws[method].excess(learning_rate, params, tokens))

    def changed(self, method: str, params: float, tokens: float, steps: float) -> float:
        """The true loss divided by that of the world's law: 1 but for a flaw or a second law."""
        factor = 1.0 if self.flaw is None else self.flaw.factor(method, params, tokens, steps)
        if self.other is None:
            return factor
        return factor * sqrt(self.other[method].loss(params, tokens) / self.world.truth[method].loss(params, tokens))

    def best(self, budget: float, method: str | None = None) -> tuple[str, str]:
        """The choice with the lowest true loss, among all methods or with the one given."""
        choices = [choice for choice in self.choices if method in (None, choice[1])]
        return min(choices, key=lambda choice: self.loss(choice[0], choice[1], budget))

    def records(self) -> list[RunRecord]:
        """The records of the world's study, its flaw included."""
        silent = self.flaw is not None and self.flaw.name in NOISY
        world = self.world.model_copy(update={"noise": 0.0}) if silent else self.world
        records = [self._changed(record) for record in simulate(world, self.seed)]
        if self.flaw is None:
            return records
        return self.flaw.measured(records, self.world.noise, np.random.default_rng(self.seed))

    def _changed(self, record: RunRecord) -> RunRecord:
        if self.other is None and self.flaw is None:
            return record
        method, params, tokens = record.config.method, record.model_params or 0, record.tokens or 0
        return record.model_copy(
            update={"loss": (record.loss or 0) * self.changed(method, params, tokens, record.steps or 1)}
        )


def make_case(kind: str, seed: int) -> Case:
    """Make the world of this kind and seed, always the same: drawn until it looks like one that could be measured."""
    rng = np.random.default_rng([seed, *kind.encode()])
    suite = "smollm2" if seed % 2 == 0 else "pythia"
    for _ in range(10_000):
        case = _draw(kind, seed, suite, rng)
        if case is not None and _plausible(case):
            return case
    raise AssertionError(f"no plausible world of kind {kind} and seed {seed}")


def _draw(kind: str, seed: int, suite: str, rng: np.random.Generator) -> Case | None:
    name, exponents, study, *flaws = kind.split("-")
    pair = rng.choice(FORM_NAMES, 2, replace=False).tolist() if name == NEITHER else [name]
    form, *another = (next(one for one in FORM_NAMES if one == text) for text in pair)
    a, b = (float(value) for value in rng.uniform(0.15, 0.6, 2))
    models = _models(suite, study, rng, (a > b) if form == "multiplicative" else None)
    sizes = [find_shape(model).model_params for model in models]
    params = float(np.exp(rng.uniform(np.log(sizes[0]), np.log(sizes[-1]))))
    tokens = params * float(np.exp(rng.uniform(np.log(0.002), np.log(0.1))))
    asymptote, reducible = (float(np.exp(rng.uniform(*np.log(span)))) for span in ((0.1, 3.0), (0.3, 2.5)))
    base = Base(form, (a, b), asymptote, reducible, params, tokens, tokens * float(np.exp(rng.uniform(-2.5, 0.5))))
    count = 4 if study == "small" else 6
    budgets = tuple(float(f"{6 * params * tokens * STEP ** (i - (count - 1) / 2):.3g}") for i in range(count))
    methods, apart = _methods(suite, study, rng), exponents == "apart"
    truth = truth_of(base, methods, apart, budgets, rng)
    other = None
    if another:
        exponents_of_other = float(rng.uniform(0.15, 0.6)), float(rng.uniform(0.15, 0.6))
        other = truth_of(base._replace(form=another[0], exponents=exponents_of_other), methods, apart, budgets, rng)
    if truth is None or (another and other is None):
        return None
    world = World(
        truth=truth,
        models=models,
        budgets=budgets,
        batch_sizes=tuple(_batch_size(budget, base) for budget in budgets),
        noise=float(np.exp(rng.uniform(np.log(0.002), np.log(0.02)))),
        seeds=int(rng.integers(1, 4)) if study == "small" else 1,
        tokens_per_pair=TOKENS_PER_PAIR,
        min_steps=MIN_STEPS,
    )
    flaw = FLAWS[flaws[0]](rng, sizes) if flaws else None
    if isinstance(flaw, Rates):
        laws = flaw.rate_laws(methods, params, tokens)
        world = world.model_copy(update={"rate_laws": laws, "learning_rates": flaw.tried(laws, sizes, budgets)})
    if isinstance(flaw, Repeated):
        least = min(_cost(model, method)[1] for model in models for method in methods)
        flaw.limit(truth, budgets[-1] / least, TOKENS_PER_PAIR)
    return Case(kind, seed, world, suite, flaw, other)


def _models(suite: str, study: str, rng: np.random.Generator, largest: bool | None) -> tuple[str, ...]:
    """Members to measure, smallest first.

    ``largest`` says whether the suite's largest or its smallest must be among them; None leaves it to chance.
    """
    members = SUITES[suite]
    if suite == "smollm2" and study == "small":
        picked = [0, 0]
        while picked[-1] < picked[0] + 3:  # sizes that differ by a factor of 2.7 at least
            rest = rng.choice(range(1, len(members) - 1), size=3 if largest is not None else 4, replace=False)
            extreme = [] if largest is None else [len(members) - 1 if largest else 0]
            picked = sorted(int(place) for place in (*rest, *extreme))
        return tuple(members[place] for place in picked)
    count = 4 if study == "small" else int(rng.integers(8, len(members) + 1))
    last = len(members) - count  # the last place a window of so many can begin at
    begin = int(rng.integers(0, last + 1)) if largest is None else last * largest
    return members[begin : begin + count]


def _methods(suite: str, study: str, rng: np.random.Generator) -> tuple[str, ...]:
    few = SMALL_METHODS[suite]
    if study == "small":
        return few
    more = [method for method in MORE_METHODS if method not in few]
    added = rng.choice(more, size=rng.integers(1, len(more) + 1), replace=False)
    return (*few, *(method for method in more if method in added))


def _batch_size(budget: float, base: Base) -> int:
    """A batch that gives about 64 steps at the best size, if that grows with the root of the budget."""
    pairs = base.tokens * (budget / (6 * base.params * base.tokens)) ** 0.5 / TOKENS_PER_PAIR
    return int(np.clip(4 * round(pairs / 64 / 4), 4, 1024))


def _plausible(case: Case) -> bool:
    """Whether somebody might measure this world: a best size inside, a loss that falls and stays below chance."""
    budgets, models = case.world.budgets, case.world.models
    middle = float(np.sqrt(budgets[0] * budgets[-1]))
    if case.kind.startswith("multiplicative"):
        far = [case.best(times * budgets[-1])[0] for times in DISTANCES]
        inside = all(model in models for model in (case.best(middle)[0], *far))
    else:
        inside = case.best(middle)[0] in models[1:-1]
    sizes = [_cost(case.best(at, "full")[0], "full")[0] for at in (budgets[0], middle, budgets[-1])]
    if sizes != sorted(sizes):  # happens where what pre-training taught outweighs the data of the smallest budgets
        return False
    first, last, beyond = (case.loss(*case.best(at), at) for at in (budgets[0], budgets[-1], 64 * budgets[-1]))
    if not inside or first < 1.08 * last or beyond < 0.2:
        return False
    cells = [record.loss or 0 for record in simulate(case.world.model_copy(update={"noise": 0.0, "seeds": 1}))]
    complete = len(models) * len(budgets) * len(case.world.truth)
    return max(cells) < CHANCE and len(cells) > 0.6 * complete


@cache
def _cost(model: str, method: str) -> tuple[int, int]:
    """N of a choice and its training FLOP per token."""
    shape = find_shape(model)
    return shape.model_params, parse_method(method).flops_per_token(shape)
