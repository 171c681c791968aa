"""How well and how fast are known laws recovered? Simulated studies of one method, fitted by all of `fitters.py`.

A study has 6 sizes of Pythia x 6 budgets, 1.5e15 to 1.5e18 FLOP, of full fine-tuning: 36 runs about

    L = E + A/N^a + B/D^b      a, b uniform, from 0.15 to 0.6 unless told otherwise; E log-uniform from 0.3 to 3 nats;
                               at the study's mean log N and log D both terms log-uniform from 0.15 to 1.5 nats

of noise 0.5 %, or without noise, or with noise and one run diverged: its loss is 1.5 times as high.

Errors are |x / truth - 1| for E, a and b. For A and B, losses at one parameter and one token, they are |ln(x / truth)|,
because that is so far outside that an error of a by 0.01 moves A by 20 %. The parameters are wanted for the loss at
larger budgets, so that of the loss is the largest |x / truth - 1| over the six sizes at 16 times the largest budget.
The fits take turns.
"""

import time
from collections.abc import Callable, Sequence
from math import log
from typing import Any, NamedTuple

import numpy as np

from benchmarks.fitters import METHOD, NAMES, Fit, FitFailedError, Parameters, Sample
from embudget.errors import EmbudgetError
from embudget.flops import tokens_for
from embudget.laws import Coefficients
from embudget.methods import parse_method
from embudget.simulate import World, simulate
from embudget.suite import find_shape

MODELS = tuple(f"pythia-{size}" for size in ("31m", "70m", "160m", "410m", "1b", "2.8b"))
BUDGETS = tuple(float(budget) for budget in np.geomspace(1.5e15, 1.5e18, 6))
CASES = ("noise", "no noise", "one run diverged")
NOISE = 0.005
DIVERGED = 1.5
FAR = 16.0
"""Times the largest budget, where the loss is compared."""
OFF = 0.5
"""Relative error of E, a or b from which a recovered law counts as off."""
QUANTITIES = (*NAMES, "loss")


class Outcome(NamedTuple):
    """One fit of one sample."""

    errors: dict[str, float] | None
    """The error of each of `QUANTITIES`; None where the fit failed."""
    seconds: float


def make_sample(seed: int, case: str, exponents: tuple[float, float]) -> Sample:
    """The study of this seed; the same truth in all cases."""
    rng = np.random.default_rng(seed)
    a, b = (float(value) for value in rng.uniform(*exponents, 2))
    E = float(np.exp(rng.uniform(log(0.3), log(3.0))))
    size_term, data_term = (float(value) for value in np.exp(rng.uniform(log(0.15), log(1.5), 2)))
    log_n = np.log([find_shape(model).model_params for model in MODELS]).mean()
    log_d = np.log([_tokens(model, budget) for model in MODELS for budget in BUDGETS]).mean()
    A, B = size_term * float(np.exp(a * log_n)), data_term * float(np.exp(b * log_d))
    truth = Coefficients(E=E, A=A, a=a, B=B, b=b)
    noise = 0.0 if case == "no noise" else NOISE
    records = simulate(World(truth={METHOD: truth}, models=MODELS, budgets=BUDGETS, noise=noise), seed)
    if case == "one run diverged":
        hit = int(rng.integers(len(records)))
        records[hit] = records[hit].model_copy(update={"loss": DIVERGED * (records[hit].loss or 0.0)})
    return Sample(truth, records)


def _tokens(model: str, budget: float) -> float:
    return tokens_for(budget, parse_method(METHOD), find_shape(model))


def compare(
    samples: Sequence[Sample], prepare: dict[str, Callable[[Sample], Fit]], tell: Callable[[str], None]
) -> dict[str, list[Outcome]]:
    """Fit every sample by every fitter, another one first each time."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in prepare}
    names = list(prepare)
    for place, sample in enumerate(samples):
        first = place % len(names)
        for name in names[first:] + names[:first]:
            outcomes[name].append(_outcome(prepare[name](sample), sample.truth))
        if (place + 1) % 20 == 0 or place + 1 == len(samples):
            tell(f"{place + 1} of {len(samples)} data sets")
    return outcomes


def _outcome(fit: Fit, truth: Coefficients) -> Outcome:
    started = time.perf_counter()
    try:
        found: Parameters | None = fit()
    except (FitFailedError, EmbudgetError):
        found = None
    seconds = time.perf_counter() - started
    return Outcome(None if found is None else errors_of(found, truth), seconds)


def errors_of(found: Parameters, truth: Coefficients) -> dict[str, float]:
    """The error of every parameter, and of the loss far away."""
    errors = {name: abs(found[name] / float(getattr(truth, name)) - 1) for name in ("E", "a", "b")}
    errors |= {name: abs(log(max(found[name], 1e-300) / float(getattr(truth, name)))) for name in ("A", "B")}
    sizes = np.array([find_shape(model).model_params for model in MODELS], dtype=float)
    tokens = np.array([_tokens(model, FAR * BUDGETS[-1]) for model in MODELS])
    with np.errstate(over="ignore"):
        predicted = found["E"] + found["A"] / sizes ** found["a"] + found["B"] / tokens ** found["b"]
    true = [truth.loss(size, count) for size, count in zip(sizes.tolist(), tokens.tolist(), strict=True)]
    return errors | {"loss": float(np.abs(predicted / np.array(true) - 1).max())}


def summarise(outcomes: dict[str, list[Outcome]]) -> dict[str, dict[str, Any]]:
    """Fitter -> time, failures, and the median, root mean square, 90 % quantile and worst error of every quantity."""
    table: dict[str, dict[str, Any]] = {}
    for name, each in outcomes.items():
        done = [one.errors for one in each if one.errors is not None]
        table[name] = {
            "sets": len(each),
            "failed": len(each) - len(done),
            "off": sum(max(errors[key] for key in ("E", "a", "b")) > OFF for errors in done),
            "median_seconds": _digits(np.median([one.seconds for one in each])),
            "errors": {key: _spread([errors[key] for errors in done]) for key in QUANTITIES} if done else {},
        }
    return table


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": _digits(np.median(values)),
        "rms": _digits(np.sqrt(np.mean(np.square(values)))),
        "p90": _digits(np.quantile(values, 0.9)),
        "worst": _digits(np.max(values)),
    }


def _digits(value: np.floating[Any]) -> float:
    return float(f"{value:.3g}")


def lines(table: dict[str, dict[str, Any]]) -> list[str]:
    """The table as text for a person: median / worst of each error."""
    head = f"{'':<20}{'sets':>5}{'failed':>7}{'off':>5}{'ms':>10}" + "".join(f"{name:>18}" for name in QUANTITIES)
    rows = [head]
    for name, row in table.items():
        numbers = [row["errors"].get(key) for key in QUANTITIES]
        cells = ["-" if one is None else f"{one['median']:.2g} / {one['worst']:.2g}" for one in numbers]
        rows.append(
            f"{name:<20}{row['sets']:>5}{row['failed']:>7}{row['off']:>5}{1e3 * row['median_seconds']:>10.3g}"
            + "".join(f"{cell:>18}" for cell in cells)
        )
    return rows
