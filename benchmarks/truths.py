"""Which laws hold in a simulated world (`worlds.py`)? One form, in which the kinds of method differ, and meet."""

from typing import NamedTuple

import numpy as np

from embudget.laws import Coefficients
from embudget.laws.forms import FormName
from embudget.methods import Freeze, LoRA, parse_method


class Base(NamedTuple):
    """What the methods of a world have in common. ``params`` and ``tokens`` are the best size at the middle budget."""

    form: FormName
    exponents: tuple[float, float]
    asymptote: float
    reducible: float
    """Loss above the asymptote at the best size and middle budget, nats."""
    params: float
    tokens: float
    start: float
    """D0 of the rectified form: what pre-training counts for, in tokens."""


class Family(NamedTuple):
    """How one kind of method differs from what the methods have in common."""

    exponents: tuple[float, float]
    asymptote: float
    gains: tuple[float, float]
    """Factors of the size term and of the data term."""
    slopes: tuple[float, float]
    """Powers of the rank or active fraction, relative to the usual one, in the two gains."""
    meets: float | None
    """A budget in FLOP at which the kind is as good as full fine-tuning; None where none was drawn."""


def truth_of(
    base: Base, methods: tuple[str, ...], apart: bool, budgets: tuple[float, ...], rng: np.random.Generator
) -> dict[str, Coefficients] | None:
    """Draw the law of every method; None where a kind cannot meet full fine-tuning at the budget drawn for it."""
    spread = rng.choice([0.0, 0.03]) if not apart else 0.15
    families = {name: _family(base, apart, spread, budgets, rng) for name in ("full", "freeze", "lora", "bias")}
    families["full"] = families["full"]._replace(meets=None)
    truth = {method: _law(base, families[parse_method(method).name], _setting(method), 1.0) for method in methods}
    for name, family in families.items():
        own = [method for method in methods if parse_method(method).name == name]
        if family.meets is None or not own:
            continue
        middle = own[len(own) // 2]
        full, other = (_best(truth, method, family.meets) for method in ("full", middle))
        scale = (full - family.asymptote) / (other - family.asymptote)
        if not 0.5 < scale < 2:
            return None
        truth |= {method: _law(base, family, _setting(method), scale) for method in own}
    return truth


def _family(base: Base, apart: bool, spread: float, budgets: tuple[float, ...], rng: np.random.Generator) -> Family:
    a, b = np.clip(np.array(base.exponents) * np.exp(rng.normal(0, 0.35 if apart else 0.0, 2)), 0.1, 0.9)
    size, data = np.exp(rng.normal(0, 0.25, 2))
    at = float(np.exp(rng.uniform(np.log(budgets[0]), np.log(64 * budgets[-1]))))
    meets = at if rng.random() < 0.5 and spread > 0 else None
    asymptote = base.asymptote * float(np.exp(rng.normal(0, spread)))
    slopes = (float(rng.uniform(-0.1, 0)), float(rng.uniform(0, 0.1)))
    return Family((float(a), float(b)), asymptote, (float(size), float(data)), slopes, meets)


def _setting(method: str) -> float:
    """Rank or active fraction relative to the usual one, 32 and 0.5."""
    strategy = parse_method(method)
    if isinstance(strategy, LoRA):
        return strategy.rank / 32
    return strategy.active_fraction / 0.5 if isinstance(strategy, Freeze) else 1.0


def _law(base: Base, family: Family, setting: float, scale: float) -> Coefficients:
    """The law of a method: at the best size, size and data gain equally at the margin; then the kind's own factors."""
    (a, b), (log_n, log_d) = family.exponents, np.log([base.params, base.tokens])
    size, data = (scale * gain * setting**slope for gain, slope in zip(family.gains, family.slopes, strict=True))
    values: dict[str, float] = {}
    if base.form == "multiplicative":
        values["A"] = base.reducible * size * data / scale * np.exp(a * log_n + b * log_d)
    elif base.form == "dense_retrieval":
        of_size = base.reducible ** (1 / b) / (1 + a / b)  # (A/N)^(a/b); B/D is a/b times that
        values["A"] = base.params * of_size ** (b / a) * size ** (1 / a)
        values["B"] = base.tokens * of_size * a / b * data ** (1 / b)
    else:
        start = base.start**b if base.form == "rectified" else 0.0
        learned = start + np.exp(b * log_d)
        share = 1 - start / learned
        values["A"] = base.reducible * b * share / (a + b * share) * np.exp(a * log_n) * size
        values["B"] = base.reducible * a / (a + b * share) * learned * data
        if base.form == "rectified":
            values["D0"] = base.start
    return Coefficients(form=base.form, E=family.asymptote, a=a, b=b, **values)


def _best(truth: dict[str, Coefficients], method: str, budget: float) -> float:
    """The lowest loss of a method over all sizes that a model may have, nats."""
    sizes = np.exp(np.linspace(np.log(1e6), np.log(2e10), 60))
    return min(truth[method].loss(size, budget / (6 * size)) for size in sizes)
