"""Which worlds are policies judged in that spend one budget? Ones of known truth that no policy's prior has made.

A world is one of `benchmarks.worlds`, whose laws come from their own generator, with rates and trunks beside it:

    loss(setting, C) = cap(L_m(N, D) changed(N, D, steps) exp(c log^2(r / r*)))      D = C / FLOP per token
    log r* = log default + 0.72 z_method + p (log N - mean) + q (log D - mean),   p, q drawn for each kind of method
    cap(L) = (L^-16 + 6.24^-16)^(-1/16): a run of few tokens is as good as guessing, not infinitely bad
    measured loss = loss exp(noise z), noise 0.5 to 2 %, half of its variance common to the runs of one trunk

A rate of more than 3 e-folds above the best diverges: such a run costs all it was to cost and has no loss. A run of
fewer steps than the allocation's fewest has the loss of its start. 20 steps of
the cheapest arm are the *cheapest useful run*; the batch is such that this is 1/1000 to 1/30 of the budget at which the
generator put the best size inside the suite. A world's budget is a number of times of that run; nothing else of it
depends on the budget. A kind is one of `benchmarks.worlds`, as rectified-apart-small-tails, and before it may stand

    narrow:       the suite has only the members within 8 times the size of the best arm at the world's budget
    retrievers:   every second member of the other suite is there too, as a retriever that keeps to a rectified law:
                  good before any training, overtaken at some budget or never

The flaws act as they do there: *tails*, *outlier* and *correlated* change the noise of a run, *short*, *bump*, *misfit*
and *repeated* the truth; *rates* doubles the drift of the best rates. *mislabelled* has no meaning here.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np

from benchmarks.flaws import Tails
from benchmarks.worlds import CHANCE, FORM_NAMES, TOKENS_PER_PAIR, Case, make_case
from embudget.laws import Coefficients
from embudget.methods import kind_of, parse_method
from embudget.spending.allocation import Allocation, Arm, Measurement, Purchase, Setting
from embudget.suite import SUITES, find_shape

BUDGETS = (30, 300, 3000)
"""Budgets, in cheapest useful runs."""
USEFUL_STEPS = 20
NARROW = 8.0
NOISE = (0.005, 0.02)
SHARED = 0.5
"""Share of the noise's variance that runs of a trunk have in common."""
RATE_OFF = {"kind": 0.6, "method": 0.4}
"""Standard deviations of log best rate / default, 0.72 together: common to a kind of method, and each method's own."""
SLOPES = {"p": (-0.15, 0.15), "q": (-0.1, 0.1)}
"""Mean and standard deviation of the powers of N and D in the best rate."""
CURVATURE = (0.05, 0.3)
"""Median of log loss per squared e-fold of the rate, and the standard deviation of its logarithm."""
DIVERGES = 3.0
USEFUL = (1 / 1000, 1 / 30)
"""The cheapest useful run, by the budget at which the generator put the best size inside the suite."""
SHARPNESS = 16.0
OUTLIERS = 0.04
FLAWS = ("short", "bump", "misfit", "outlier", "tails", "correlated", "rates", "repeated")
KINDS = (
    *(f"{form}-{rest}" for form in FORM_NAMES for rest in ("shared-small", "apart-small", "apart-large")),
    "neither-shared-small", "neither-apart-small",
    *(f"{FORM_NAMES[place % len(FORM_NAMES)]}-shared-small-{flaw}" for place, flaw in enumerate(FLAWS)),
    *(f"retrievers:{form}-shared-small" for form in ("chinchilla", "multiplicative")),
    *(f"narrow:{form}-apart-small" for form in FORM_NAMES),
    "narrow:neither-shared-small", "narrow:chinchilla-shared-small-bump",
)  # fmt: skip
"""30 kinds of world: the form right, no form right, flaws, two lineages, narrow suites."""
UNTRAINED = 1e-9
"""Tokens that a run of fewer than the fewest useful steps counts for."""
LEARNABLE = 5.0
"""Worlds are drawn again in which 30 cheapest useful runs do not reach this loss, nats."""


class Rate(NamedTuple):
    """Where a method's best rate lies, and what another one costs."""

    off: float
    """log of best rate / default, at the mean log N of the suite and the mean log D."""
    p: float
    q: float
    curvature: float


class SpendWorld(NamedTuple):
    """One world: what may be bought in it, what it answers, and the truth that no policy sees."""

    kind: str
    seed: int
    times: float
    allocation: Allocation
    noise: float
    case: Case
    laws: dict[str, Coefficients]
    """The retrievers' law of every method; empty where there are none."""
    rates: dict[str, Rate]
    centre: tuple[float, float]
    """Mean log N and log D of the best rates' law."""

    def measure(self, purchase: Purchase, measured: Sequence[Measurement] = ()) -> Measurement:
        """Train: the same purchase has the same loss, whatever was bought before."""
        setting, flops = purchase.setting, purchase.train_flops
        if self._off(setting, flops) > DIVERGES:
            return Measurement(purchase, None, status="diverged")
        return Measurement(purchase, self.true_loss(setting, flops) * exp(self._deviation(setting, flops)))

    def true_loss(self, setting: Setting, train_flops: float) -> float:
        """The loss of a run without its noise, nats."""
        off = self._off(setting, train_flops)
        if off > DIVERGES:
            return CHANCE
        arm = self.allocation.arm(setting)
        return self._loss(arm, train_flops, self.rates[arm.method].curvature * off**2)

    def best_setting(self, setting: Setting, train_flops: float) -> Setting:
        """The same arm at its best rate for a run of so many FLOP."""
        rate = self.best_rate(self.allocation.arm(setting), train_flops)
        return setting.model_copy(update={"learning_rate": rate})

    def best_rate(self, arm: Arm, train_flops: float) -> float:
        """The peak rate with the lowest loss for a run of an arm."""
        rate = self.rates[arm.method]
        log_n, log_d = log(arm.model_params), log(arm.tokens(train_flops))
        return arm.default_rate * exp(rate.off + rate.p * (log_n - self.centre[0]) + rate.q * (log_d - self.centre[1]))

    def best(self, train_flops: float) -> Setting:
        """The arm with the lowest true loss at its best rate."""
        arm = min(self.allocation.arms, key=lambda one: self._loss(one, train_flops))
        return Setting(
            model=arm.model, method=arm.method, learning_rate=self.best_rate(arm, train_flops),
            batch_size=self.allocation.batch_sizes[0],
        )  # fmt: skip

    def lowest(self, train_flops: float) -> float:
        """The lowest true loss of any arm trained with so many FLOP at its best rate, nats."""
        return self.true_loss(self.best(train_flops), train_flops)

    def _off(self, setting: Setting, train_flops: float) -> float:
        """e-folds by which a rate lies above the best one."""
        return log(setting.learning_rate / self.best_rate(self.allocation.arm(setting), train_flops))

    def _loss(self, arm: Arm, train_flops: float, excess: float = 0.0) -> float:
        least = self.allocation.least(arm, self.allocation.batch_sizes[0])
        tokens = arm.tokens(train_flops) if train_flops > least * (1 - 1e-9) else UNTRAINED
        size = arm.model_params
        if arm.lineage == "retriever":
            loss = self.laws[arm.method].loss(size, tokens)
        else:
            steps = tokens / (self.allocation.batch_sizes[0] * TOKENS_PER_PAIR)
            law = self.case.world.truth[arm.method].loss(size, tokens)
            loss = law * self.case.changed(arm.method, size, tokens, steps)
        return float(((loss * exp(excess)) ** -SHARPNESS + CHANCE**-SHARPNESS) ** (-1 / SHARPNESS))

    def _deviation(self, setting: Setting, train_flops: float) -> float:
        flaw = None if self.case.flaw is None else self.case.flaw.name
        common, own = (self._rng(setting, at) for at in (0.0, train_flops))
        share = 0.9 if flaw == "correlated" else SHARED
        z = own.standard_normal()
        if flaw == "tails":
            z = own.standard_t(2.5) * Tails.QUARTILE_OF_NORMAL / Tails.QUARTILE_OF_T
        hit = log(1.5) if flaw == "outlier" and own.random() < OUTLIERS else 0.0
        return self.noise * (sqrt(share) * common.standard_normal() + sqrt(1 - share) * z) + hit

    def _rng(self, setting: Setting, train_flops: float) -> np.random.Generator:
        text = f"{self.kind} {self.seed} {setting.model} {setting.method} {setting.learning_rate:.5e} "
        text += f"{setting.batch_size} {setting.negatives} {setting.seed} {train_flops:.5e}"
        return np.random.default_rng(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big"))


@cache
def make_world(kind: str, seed: int, times: float) -> SpendWorld:
    """Make the world of this kind and seed, with a budget of so many cheapest useful runs.

    Example:
        >>> world = make_world("chinchilla-shared-small", 1000, 30)
        >>> setting = world.best(world.allocation.budget)
        >>> world.true_loss(setting, world.allocation.budget) == world.lowest(world.allocation.budget)
        True
    """
    return next(world for attempt in range(1000) if (world := _drawn(kind, seed, attempt, times)) is not None)


def _drawn(kind: str, seed: int, attempt: int, times: float) -> SpendWorld | None:
    """One draw of a world; None where 30 cheapest useful runs teach nothing, so that there is nothing to decide."""
    before, _, plain = kind.rpartition(":")
    case = _case(plain, seed + 10_000 * attempt)
    rng = np.random.default_rng([seed, 21, attempt, *kind.encode()])
    arms = _arms(case.suite, case.suite, list(case.world.truth))
    laws: dict[str, Coefficients] = {}
    if before == "retrievers":
        laws = _retrievers(case, rng)
        arms += _arms("retriever", "pythia" if case.suite == "smollm2" else "smollm2", list(laws))
    middle = sqrt(case.world.budgets[0] * case.world.budgets[-1])
    wanted = middle * exp(rng.uniform(*np.log(USEFUL)))
    centre_n, cost = (
        float(np.mean(np.log([getattr(arm, name) for arm in arms]))) for name in ("model_params", "flops_per_token")
    )
    world = SpendWorld(
        kind=kind,
        seed=seed,
        times=times,
        allocation=_allocation(arms, wanted, times, seed, getattr(case.flaw, "pairs", None)),
        noise=exp(rng.uniform(*np.log(NOISE))),
        case=case,
        laws=laws,
        rates=_rates(sorted({arm.method for arm in arms}), rng, 2.0 if kind.endswith("-rates") else 1.0),
        centre=(centre_n, log(middle) - cost),
    )
    if world.lowest(BUDGETS[0] / times * world.allocation.budget) > LEARNABLE:
        return None
    if before == "narrow":
        best = find_shape(world.best(world.allocation.budget).model).model_params
        arms = [arm for arm in arms if 1 / NARROW <= arm.model_params / best <= NARROW]
    arms = [arm.model_copy(update={"base_loss": world._loss(arm, 0.0)}) for arm in arms]
    return world._replace(allocation=_allocation(arms, wanted, times, seed, world.allocation.training_pairs))


_case = cache(make_case)


def _allocation(arms: Sequence[Arm], useful: float, times: float, seed: int, pairs: int | None) -> Allocation:
    """What may be bought, with a batch at which 20 steps of the cheapest arm cost about as much as wanted."""
    a_pair = USEFUL_STEPS * TOKENS_PER_PAIR * min(arm.flops_per_token for arm in arms)
    batch = int(np.clip(round(useful / a_pair), 2, 2**20))
    return Allocation(
        budget=times * batch * a_pair, arms=tuple(arms), batch_sizes=(batch,), tokens_per_pair=TOKENS_PER_PAIR,
        seed=seed, training_pairs=pairs,
    )  # fmt: skip


def _arms(lineage: str, suite: str, methods: Sequence[str]) -> list[Arm]:
    arms = []
    members = SUITES[suite][::2] if lineage == "retriever" else SUITES[suite]
    for model in members:
        shape = find_shape(model)
        for text in methods:
            method = parse_method(text)
            arms.append(
                Arm(
                    model=model, method=str(method), lineage=lineage, model_params=shape.model_params,
                    flops_per_token=method.flops_per_token(shape), default_rate=method.default_learning_rate(shape),
                )
            )  # fmt: skip
    return arms


def _rates(methods: Sequence[str], rng: np.random.Generator, drift: float) -> dict[str, Rate]:
    kinds = {
        kind: (
            rng.normal(0, RATE_OFF["kind"]), drift * rng.normal(*SLOPES["p"]), drift * rng.normal(*SLOPES["q"]),
            CURVATURE[0] * exp(rng.normal(0, CURVATURE[1])),
        )
        for kind in ("full", "freeze", "bias", "lora")
    }  # fmt: skip
    rates = {}
    for method in methods:
        off, p, q, curvature = kinds[kind_of(method)]
        rates[method] = Rate(float(off + rng.normal(0, RATE_OFF["method"])), float(p), float(q), curvature)
    return rates


def _retrievers(case: Case, rng: np.random.Generator) -> dict[str, Coefficients]:
    """A rectified law of every method, about as good as the base models at their middle budget."""
    middle = sqrt(case.world.budgets[0] * case.world.budgets[-1])
    model, method = case.best(middle)
    size = find_shape(model).model_params
    tokens = middle / parse_method(method).flops_per_token(find_shape(model))
    base = case.world.truth[method]
    asymptote = base.E * exp(rng.normal(0, 0.15))
    reducible = (case.loss(model, method, middle) - base.E) * exp(rng.normal(-0.1, 0.4))
    a, b = (float(np.clip(value, 0.15, 0.7)) for value in np.array([0.35, 0.42]) * np.exp(rng.normal(0, 0.2, 2)))
    start = tokens * exp(rng.uniform(-1.5, 2.0))
    laws = {}
    for name in case.world.truth:
        if name == "bias":
            continue
        data = reducible / 2 * exp(rng.normal(0, 0.1))
        laws[name] = Coefficients(
            form="rectified", E=asymptote, A=reducible / 2 * size**a, a=a, b=b, D0=start,
            B=data * (start**b + tokens**b),
        )  # fmt: skip
    return laws
