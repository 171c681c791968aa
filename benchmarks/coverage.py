"""How good recipes are in simulated worlds: their regret, and how often their intervals hold a new run.

    .venv/bin/python benchmarks/coverage.py --worlds 30 --out results/simulation/coverage.json

Each world has a random truth, 3 or 4 sizes, 3 methods and 3 budgets, each 4 times the one before, and noise of 1, 2 or
3 %. Its laws are fitted, the recipe for 4 times the largest budget is asked for and held against the truth. Kinds of
world:

    shared      E, a and b are the same for all methods
    apart       every method has its own
    short       shared, but a run of s steps loses by a factor 1 + k / s, k from 0.5 to 3, which no law here knows of
    outlier     shared, and one run diverged: its loss is 1.5 times as high
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embudget.files import save_text
from embudget.flops import steps_for
from embudget.laws import Coefficients, fit
from embudget.methods import parse_method
from embudget.recipe import recommend
from embudget.records import RunRecord
from embudget.simulate import World, simulate
from embudget.suite import SUITES, find_shape

KINDS = ("shared", "apart", "short", "outlier")
METHODS = ("full", "freeze:0.5", "lora:32")
BUDGETS = (1e12, 4e12, 1.6e13)
BEYOND = 4 * BUDGETS[-1]
DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16)


class Outcome(NamedTuple):
    """One world's recipe."""

    regret: float
    covered: bool
    """whether the interval held a new run of the recipe"""
    half_width: float
    """of the interval, relative"""
    flat: bool
    """whether the best choice is the recipe or in its flat set"""
    noise: float
    """estimated / true"""


def main() -> None:
    """Simulate, print a table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=30, help="of each kind")
    parser.add_argument("--draws", type=int, default=100, help="bootstrap draws")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    kinds = {}
    for kind in KINDS:
        outcomes = np.array([outcome(kind, seed, options.draws) for seed in range(options.worlds)], dtype=float)
        kinds[kind] = summary(outcomes)
        sys.stdout.write(f"{kind:<8} " + "  ".join(f"{name} {value:.4f}" for name, value in kinds[kind].items()) + "\n")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        command = f"benchmarks/coverage.py --worlds {options.worlds} --draws {options.draws}"
        about = {"command": command, "date": time.strftime("%Y-%m-%d"), "worlds_of_each_kind": options.worlds}
        about["level"] = 0.9
        save_text(options.out, json.dumps({**about, "kinds": kinds}, indent=2) + "\n")


def summary(outcomes: np.ndarray) -> dict[str, float]:
    """Means over the worlds, and the tails of the regret."""
    regret, covered, width, flat, noise = outcomes.T
    values = {
        "regret_mean": regret.mean(),
        "regret_p90": np.quantile(regret, 0.9),
        "regret_max": regret.max(),
        "coverage": covered.mean(),
        "half_width_median": np.median(width),
        "best_in_flat": flat.mean(),
        "noise_ratio_median": np.median(noise),
    }
    return {name: round(float(value), 5) for name, value in values.items()}


def outcome(kind: str, seed: int, draws: int) -> Outcome:
    """One world: its study, its laws and its recipe, held against its truth."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    world = random_world(kind, rng)
    lag = rng.uniform(0.5, 3) if kind == "short" else 0.0
    records = [slowed(record, lag) for record in simulate(world, seed)]
    if kind == "outlier":
        hit = int(rng.integers(len(records)))
        records[hit] = records[hit].model_copy(update={"loss": 1.5 * (records[hit].loss or 0)})
    laws = fit(records, draws=draws)
    recipe = recommend(laws, BEYOND, suite="smollm2", min_steps=1)
    losses = {
        (model, method): true_loss(world, model, method, lag) for model in SUITES["smollm2"] for method in METHODS
    }
    best = min(losses, key=losses.__getitem__)
    true = losses[recipe.model, recipe.method]
    low, high = recipe.predicted_interval
    return Outcome(
        regret=true / losses[best] - 1,
        covered=bool(low <= true * np.exp(rng.normal(0, world.noise)) <= high),
        half_width=(high / low) ** 0.5 - 1,
        flat=best in {(recipe.model, recipe.method), *((one.model, one.method) for one in recipe.flat)},
        noise=laws.noise / world.noise,
    )


def random_world(kind: str, rng: np.random.Generator) -> World:
    """A truth whose best size at the middle budget lies between the measured ones."""
    depths = [1, 1]
    while depths[-1] < 3 * depths[0]:
        depths = sorted(int(depth) for depth in rng.choice(DEPTHS, size=rng.integers(3, 5), replace=False))
    models = tuple(f"smollm2-135m:{depth}" for depth in depths)
    smallest, largest = (find_shape(model).model_params for model in (models[0], models[-1]))
    best_size = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    a, b, reducible, asymptote = *rng.uniform(0.15, 0.6, 2), rng.uniform(1, 2.5), rng.uniform(0.3, 3)
    truth = {}
    for method in METHODS:
        spread = rng.normal(0, (0.35, 0.35, 0.15)) if kind == "apart" else np.zeros(3)
        own_a, own_b = np.clip(np.array([a, b]) * np.exp(spread[:2]), 0.1, 0.9)
        gain = reducible / (own_a + own_b)  # equal marginal gains of size and data at the best size
        truth[method] = Coefficients(
            E=asymptote * np.exp(spread[2]),
            A=gain * own_b * best_size**own_a * np.exp(rng.normal(0, 0.25)),
            a=own_a,
            B=gain * own_a * (BUDGETS[1] / (6 * best_size)) ** own_b * np.exp(rng.normal(0, 0.25)),
            b=own_b,
        )
    short = kind == "short"
    return World(
        truth=truth,
        models=models,
        budgets=BUDGETS,
        noise=float(rng.choice([0.01, 0.02, 0.03])),
        batch_sizes=(64,) if short else (16,),
        min_steps=8 if short else 1,
    )


def slowed(record: RunRecord, lag: float) -> RunRecord:
    """The record with the loss of a run that had too few steps."""
    return record.model_copy(update={"loss": (record.loss or 0) * (1 + lag / (record.steps or 1))})


def true_loss(world: World, model: str, method: str, lag: float) -> float:
    """The loss of a choice beyond the budgets, without noise."""
    batch_size = world.batch_sizes[0]
    steps = np.ceil(steps_for(BEYOND, parse_method(method), find_shape(model), world.tokens_per_pair, batch_size))
    return float(world.loss(model, method, BEYOND) * (1 + lag / steps))


if __name__ == "__main__":
    main()
