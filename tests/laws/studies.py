"""Made-up studies that the tests of the fits share: a grid of sizes and tokens, and cells from a simulated world."""

from dataclasses import replace

import numpy as np

from embudget.design import World, simulate
from embudget.laws.coefficients import Coefficients
from embudget.laws.forms import FORMS, Array, FormName
from embudget.laws.problem import Points, Problem
from embudget.runs.cells import Cell, RunTable

MODELS = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")
WIDE = ("smollm2-135m:1", "smollm2-135m:3", "smollm2-135m:8", "smollm2-135m")
BUDGETS = (2.5e11, 1e12, 4e12, 1.6e13)

ONE = {
    "tied": Coefficients(form="tied", E=1.8, A=300, a=0.38, B=250, b=0.38),
    "chinchilla": Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42),
    "multiplicative": Coefficients(form="multiplicative", E=1.8, A=30_000, a=0.25, b=0.42),
    "rectified": Coefficients(form="rectified", E=1.8, A=300, a=0.35, B=1500, b=0.55, D0=3e5),
    "dense_retrieval": Coefficients(form="dense_retrieval", E=1.8, A=1e8, a=0.35, B=5e5, b=0.5),
    "zero_shot": Coefficients(form="zero_shot", E=1.8, A=300, a=0.35, b=0.55, D0=3e5),
    "zero_shot_level": Coefficients(form="zero_shot_level", E=1.8, A=300, a=0.35, B=2500, b=0.55),
}
"""A law of each form, with losses of 2 to 5 nats in these studies."""

ZERO_SHOT = (5.8, 5.1, 3.9, 5.5, 4.8)
"""Losses before any training of the sizes of `problem`, in which the zero-shot form begins: they follow no law."""
STARTS = dict(
    zip(
        ("smollm2-135m:1", "smollm2-135m:3", "smollm2-135m:4", "smollm2-135m:8", "smollm2-135m:12", "smollm2-135m"),
        (5.8, 5.1, 5.5, 4.2, 4.9, 4.0),
        strict=True,
    )
)

SHARED = {
    "full": ONE["chinchilla"],
    "freeze:0.5": Coefficients(E=1.8, A=350, a=0.35, B=270, b=0.42),
    "lora:32": Coefficients(E=1.8, A=330, a=0.35, B=210, b=0.42),
}
APART = {
    "full": Coefficients(E=1.2, A=100, a=0.25, B=1500, b=0.55),
    "lora:32": Coefficients(E=1.8, A=2500, a=0.5, B=40, b=0.28),
}


def cells(
    truth: dict[str, Coefficients],
    noise: float = 0.0,
    seed: int = 0,
    seeds: int = 1,
    models: tuple[str, ...] = MODELS,
    budgets: tuple[float, ...] = (1e12, 4e12, 1.6e13),
) -> list[Cell]:
    """The cells of a simulated study: by default 3 sizes x 3 budgets a method."""
    begins = {model: STARTS[model] for model in models if any(FORMS[law.form].by_member for law in truth.values())}
    world = World(truth=truth, models=models, noise=noise, seeds=seeds, budgets=budgets, zero_shot=begins)
    return list(RunTable.of(simulate(world, seed)).cells)


def points(truth: dict[str, Coefficients], noise: float = 0.0, seed: int = 0, *, wide: bool = False) -> Points:
    """The same as arrays; `wide` for 4 sizes x 4 budgets."""
    grid = {"models": WIDE, "budgets": BUDGETS} if wide else {}
    return Points.of(cells(truth, noise, seed, **grid))  # type: ignore[arg-type]


def problem(form: FormName, noise: float = 0.0, *, seed: int = 0, asymptote: float | None = None) -> Problem:
    """One method measured at 5 sizes x 5 numbers of tokens, centred."""
    sizes, tokens = np.meshgrid(np.geomspace(3e6, 1e8, 5), np.geomspace(1e5, 1e7, 5))
    begins = np.tile(ZERO_SHOT, 5)
    at = zip(sizes.ravel(), tokens.ravel(), begins, strict=True)
    log_loss = np.log([ONE[form].loss(n, d, start) for n, d, start in at])
    log_loss += noise * np.random.default_rng(seed).standard_normal(25)
    log_n, log_d = np.log(sizes.ravel()), np.log(tokens.ravel())
    ones = np.ones((25, 1))
    centred = log_n - log_n.mean(), log_d - log_d.mean()
    return Problem(FORMS[form], *centred, ones, log_loss, ones[:, 0], asymptote, np.log(begins))


def doubled(of: Problem) -> tuple[Array, Problem]:
    """Weights (n,) by which the fourth cell of a problem counts twice, and the problem with that cell twice."""
    weights = np.ones(len(of.log_loss))
    weights[3] = 2
    row = [*range(len(weights)), 3]
    columns = {name: getattr(of, name)[row] for name in ("log_n", "log_d", "basis", "log_loss", "weights", "log_base")}
    return weights, replace(of, **columns)


CENTRE = float(np.log(np.geomspace(3e6, 1e8, 5)).mean()), float(np.log(np.geomspace(1e5, 1e7, 5)).mean())
"""Means of log N and log D of `problem`."""


def law_of(form: FormName, vector: Array, asymptote: float | None = None) -> dict[str, float]:
    """The parameters of a fit (P,) to `problem`, for N and D as they are."""
    values = [np.array([value]) for value in np.exp(vector)]
    E = [] if asymptote is not None else [float(values.pop(0)[0])]
    exponents, coefficients = values[: len(FORMS[form].exponents)], values[len(FORMS[form].exponents) :]
    raw = FORMS[form].to_raw(tuple(exponents), tuple(coefficients), *CENTRE)
    return {"E": E[0] if E else float(asymptote or 0), **{name: float(value[0]) for name, value in raw.items()}}


def plain(law: Coefficients) -> dict[str, float]:
    """The parameters without the form, those that it has."""
    return {name: value for name, value in law.model_dump(exclude={"form"}).items() if value is not None}
