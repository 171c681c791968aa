"""What is believed of the losses of all arms before anything is measured? An ensemble of laws, with laws of the rate.

Below about fifteen cells no law can be fitted, but much is known of what laws look like. Each row of the ensemble is
one law of every arm, all of this family:

    log L = log(E + M_k(P, Q)) + c log^2(r / r*) + log(1 + s / steps) + own,     P = A / N^a,   Q = B / (D0^b + D^b)

M_k is the power mean of order k: k = 1 gives the laws of Hoffmann et al. and Lin et al., k towards 0 the product of
powers of Zhang et al., and k > 1 the norm of Fang et al. (`embudget.laws.forms`), so that one continuous family holds
all forms and the data choose among them. E, A, B, a, b, c and r* of an arm are sums of what all arms, its lineage, its
kind of method and its method contribute, and r* depends on N and D. All contributions are independent standard normal
numbers, P of them: an ensemble is a matrix (draws, P), and a basis turns it into the *quantities* of each arm.

Where laws were fitted before, the rows are conditioned on their draws (`embudget.spending.known`).

assumption: means and deviations that name no source, here or in `arms_basis`, are guesses of what laws look like.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embudget.laws import Laws
from embudget.laws.rate_points import CURVATURE
from embudget.laws.repetition import REUSE, SPREAD
from embudget.laws.solve import PRIOR
from embudget.methods import kind_of, parse_method
from embudget.spending.allocation import Allocation, Arm
from embudget.spending.usual_rates import INTACT, intact, usual_log_rates

Array = NDArray[Any]
"""The ensemble holds float32, since exponentials take most of a decision's time."""
DRAWS = 300
"""Laws in the ensemble."""
QUANTITIES = (
    "asymptote", "size", "data", "size_exponent", "data_exponent", "order", "start", "rate", "rate_slope", "curvature",
    "own", "lag", "batch", "negatives", "reuse", "gain",
)  # fmt: skip
"""The numbers of an arm: logarithms but for rate_slope, own, batch and negatives; size and data are log P and log Q at
the reference, start is log D0 over the reference's tokens, rate is log r* over the default rate there; gain is the
logarithm of how far, in nats of log loss, an intact retriever's floor lies below its own start."""

ASYMPTOTE, LEVEL = (log(0.8), 1.0), (log(1.2), 0.8)
"""Mean and standard deviation of log E, and of log P and log Q together, nats: assumption, wide."""
KIND = (0.4, 0.3)
"""Standard deviations of what a kind of method adds to size and data, and to their exponents: assumption. Narrower
ones (0.25, 0.15) gained nothing in 60 simulated worlds."""
GAIN, GAIN_SD = log(0.3), 0.6
"""What training without end takes from the log loss of a retriever that still knows what it knew, and its deviation:
assumption, wide. Whole MiniLM had lost 0.19 at 1.6e13 FLOP, with a floor some 0.4 below its start
(`results/frontier`)."""
PACE, PACE_SD = log(3e5), 1.5
"""Log of the tokens after which such a retriever is half-way to its floor, and its deviation: assumption, wide; some
2.5e5 there."""
SLOPE, SLOPE_SD = -0.21, 0.15
"""Slopes of the best rate's logarithm in log N and log D: those of 30 cells on SmolLM2 (`studies/smollm2.yaml`)."""
PATTERN = (0.5, 0.5)
"""How much of the recorded pattern of best rates (`embudget.spending.usual_rates`) there is: mean and deviation."""
USUAL = {"lora": 32.0, "freeze": 0.5}
"""The rank and the active fraction that the others of their kind are compared with."""


@dataclass(frozen=True, eq=False)
class KnownLaws:
    """What is known before the first measurement: laws of earlier studies, or nothing but what laws look like.

    Example:
        >>> prior = KnownLaws(laws=(embudget.find_laws("smollm2"),))
    """

    laws: tuple[Laws, ...] = ()
    level_sd: float = 0.05
    """By how much losses may differ in level from the laws', as on other pairs: relative standard deviation."""


NOTHING = KnownLaws()
"""Nothing but what laws look like."""


@dataclass(frozen=True)
class Basis:
    """How the P numbers of a row make the quantities of A arms."""

    arms: tuple[Arm, ...]
    params: float
    """N at the reference."""
    tokens: float
    """D at the reference."""
    mean: dict[str, Array]
    """By quantity (A,)."""
    known: Array
    """Whether an arm is an intact retriever whose loss before training is known (A,)."""
    rows: dict[str, list[int]]
    """By quantity: the numbers that it depends on."""
    weights: dict[str, Array]
    """By quantity: (numbers that it depends on, A)."""
    width: int
    """P."""

    def of(self, quantity: str, theta: Array, arms: Array) -> Array:
        """A quantity of the given arms (n,) in each row: (draws, n)."""
        found: Array = theta[:, self.rows[quantity]] @ self.weights[quantity][:, arms] + self.mean[quantity][arms]
        return found


@dataclass
class _Builder:
    """Collects the contributions, each a standard normal number with its weights."""

    arms: tuple[Arm, ...]
    mean: dict[str, Array]
    parts: list[dict[str, Array]] = field(default_factory=list)

    def add(self, weights: dict[str, float | Array], among: Iterable[bool] | None = None) -> None:
        """One number, which adds ``weights`` to quantities of the arms ``among``, or of all."""
        mask = np.ones(len(self.arms)) if among is None else np.array(list(among), dtype=float)
        self.parts.append({name: mask * value for name, value in weights.items()})

    def each(self, weights: dict[str, float | Array], labels: list[str]) -> None:
        """A number for each label."""
        for label in dict.fromkeys(labels):
            for name, value in weights.items():
                self.add({name: value}, [one == label for one in labels])


@cache
def arms_basis(allocation: Allocation) -> Basis:
    """The basis of an allocation's arms."""
    arms = allocation.arms
    kinds, log_n = [kind_of(arm.method) for arm in arms], np.log([arm.model_params for arm in arms])
    lineages, methods = [arm.lineage for arm in arms], [arm.method for arm in arms]
    batch = min(allocation.batch_sizes)
    able = np.array([allocation.least(arm, batch) < allocation.paid(arm, allocation.budget) for arm in arms])
    within = log_n[able] if able.any() else log_n
    centre, span = (within.max() + within.min()) / 2, within.max() - within.min()
    params = float(np.exp(centre))
    tokens = float(np.median([allocation.paid_final(arm, allocation.budget) for arm in arms])) / (6 * params)
    level = np.zeros(len(arms))
    build = _Builder(arms, {
        "asymptote": level + ASYMPTOTE[0], "size": level + LEVEL[0], "data": level + LEVEL[0],
        "size_exponent": level + PRIOR["a"][0], "data_exponent": level + PRIOR["b"][0], "order": level - 0.3,
        "start": level - 4.0, "rate": SLOPE * (log_n - centre), "rate_slope": level + SLOPE,
        "curvature": level + log(CURVATURE), "own": level, "lag": level + log(0.3), "batch": level - 0.03,
        "negatives": level - 0.01, "reuse": level + log(REUSE), "gain": level + GAIN,
    })  # fmt: skip
    known = (intact(arms) > 0) & np.array([arm.base_loss is not None for arm in arms])
    balance = max(0.7, 0.7 * span / 3.5) / 2
    build.add({"asymptote": ASYMPTOTE[1]})
    build.add({"size": LEVEL[1], "data": LEVEL[1]})
    build.add({"size": balance * 2**0.5})
    build.add({"data": balance * 2**0.5})
    build.add({"size_exponent": PRIOR["a"][1]})
    build.add({"data_exponent": PRIOR["b"][1]})
    build.add({"order": 1.2, "size_exponent": -0.25, "data_exponent": -0.25})  # a product's exponents count half
    build.add({"start": 2.0}, ~known)
    build.add({"lag": 1.0})
    build.add({"reuse": SPREAD})
    if len(set(lineages)) > 1:
        own: dict[str, float | Array] = {
            "asymptote": 0.5, "size": 0.7, "data": 0.7, "size_exponent": 0.2, "data_exponent": 0.2,
            "start": 2.0 * ~known,
        }  # fmt: skip
        build.each({**own, "order": 0.3, "rate": 0.5}, lineages)
    if known.any():
        build.mean["start"][known] = PACE - log(tokens)
        retrievers = [arm.lineage if one else "" for arm, one in zip(arms, known, strict=True)]
        build.each({"gain": GAIN_SD * known, "start": PACE_SD * known}, retrievers)
        build.each({"gain": 0.2 * known, "start": 0.3 * known}, [arm.model for arm in arms])
        build.each({"gain": 0.1 * known, "start": 0.5 * known}, methods)
    of_kind = {"size": KIND[0], "data": KIND[0], "size_exponent": KIND[1], "data_exponent": KIND[1]}
    build.each({"asymptote": 0.1, **of_kind}, kinds)
    for kind, usual in USUAL.items():
        if kind in kinds:
            number = [
                parse_method(arm.method).number if of == kind else None for arm, of in zip(arms, kinds, strict=True)
            ]
            setting = np.array([0.0 if one is None else log(one / usual) for one in number])
            build.mean["size"] = build.mean["size"] - 0.05 * setting
            build.mean["data"] = build.mean["data"] + 0.05 * setting
            build.add({"size": 0.05 * setting})
            build.add({"data": 0.05 * setting})
    build.each({"size": 0.1, "data": 0.1, "rate": 0.3}, methods)
    build.each({"own": 0.02}, [f"{arm.lineage} {arm.model}" for arm in arms])
    build.each({"own": 0.015, "rate": 0.15}, [str(place) for place in range(len(arms))])
    for pattern in (usual_log_rates(arms), INTACT * intact(arms)):
        build.mean["rate"] = build.mean["rate"] + PATTERN[0] * pattern
        build.add({"rate": PATTERN[1] * pattern})
    build.add({"rate": 0.4})
    build.add({"rate": SLOPE_SD * (log_n - centre)})
    build.add({"rate_slope": SLOPE_SD})
    build.add({"curvature": 0.5})
    build.each({"rate": 0.4, "rate_slope": 0.1, "curvature": 0.3, "batch": 0.03, "negatives": 0.03}, kinds)
    for kind in dict.fromkeys(kinds):
        build.add({"rate": 0.1 * (log_n - centre)}, [one == kind for one in kinds])
    rows = {name: [place for place, part in enumerate(build.parts) if name in part] for name in QUANTITIES}
    weights = {
        name: np.array([build.parts[place][name] for place in rows[name]], dtype=np.float32).reshape(-1, len(arms))
        for name in QUANTITIES
    }
    mean = {name: values.astype(np.float32) for name, values in build.mean.items()}
    return Basis(arms, params, tokens, mean, known, rows, weights, len(build.parts))


def normal_draws(width: int, seed: int) -> Array:
    """Standard normal numbers (DRAWS, width), in pairs of opposite sign, each with variance 1 over the draws."""
    half = np.random.default_rng([seed, 21]).standard_normal((DRAWS // 2, width))
    half /= np.sqrt((half**2).mean(axis=0))
    return np.concatenate([half, -half]).astype(np.float32)
