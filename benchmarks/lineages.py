"""Do laws of several lineages find the right start, and where one overtakes another? Simulated studies of known truth.

    python -m benchmarks.lineages KIND --seeds 8 --out FILE

A study measures base models (SmolLM2 cut to three depths) and a retriever at three budgets, by four methods. The base
models keep to a law of Hoffmann et al., the retriever to a rectified one that begins at its zero-shot loss; exponents,
asymptotes and what methods cost are drawn anew for each seed. The kinds are

    continued    the retriever is the better start at all budgets up to 16 times the largest
    overtaken    the base models overtake it between the largest budget and 16 times that
    few          as `overtaken`, but the retriever has 8 cells: 2 methods x 2 sizes x 2 budgets
    cut          the retriever is one model, whole and cut twice: its cuts begin far above, and each closes about the
                 same share of the way from there to its floor (`embudget.laws.zero_shot`; 3 % of it its own)
    cut_level    as `cut`, but after as many tokens each is about as far above its floor, wherever it began: a D0 for
                 each member that its zero-shot loss fixes, which is no form that is fitted

With --forms others are fitted than by default. For each seed, among the choices that the laws consider: whether the
better start is found at the largest budget and at 4 and 16 times it, the relative error of the predicted loss of each
lineage's best choice at 4 times, whether the 90 % interval of the law holds it, and the crossover of starts beside the
true one. Where the retriever is cut, the same of all choices at 4 times, with the interval score, and of a depth that
was not measured.
"""

import argparse
import json
from collections.abc import Sequence
from itertools import product
from math import exp, log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embudget.design import World, simulate
from embudget.flops import tokens_for
from embudget.laws import Coefficients, Laws, fit
from embudget.laws.weights import LEAST_SHARE
from embudget.methods import parse_method
from embudget.recipe.options import Question
from embudget.recipe.starts import questions, start_crossovers
from embudget.records import RunRecord
from embudget.suite import ModelShape, find_shape

Array = NDArray[np.float64]

KINDS = ("continued", "overtaken", "few", "cut", "cut_level")
BASE, RETRIEVER = "smollm2", "pythia retriever"
MODELS = {
    BASE: ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12"),
    RETRIEVER: ("pythia-14m", "pythia-31m", "pythia-70m"),
}
CUT = ("pythia-70m:2", "pythia-70m:4", "pythia-70m")
"""A retriever whole and cut: its 6 blocks are as many as those of all-MiniLM-L6-v2."""
NEW = "pythia-70m:3"
"""A depth that no study measures, so that its zero-shot loss is guessed."""
METHODS = ("full", "freeze:0.5", "lora:8", "lora:32")
BUDGETS = (1e13, 4e13, 1.6e14)
NOISE = 0.01
SIZE, TOKENS = 1e7, 6e5
"""N and D at which the parts of a law are said."""


class CutWorld(World):
    """A retriever whole and cut: members whose zero-shot losses follow no law in N."""

    own: dict[str, float]
    """member -> factor on its floor"""
    level: float | None = None
    """B of a way to the floor that is the same for all members after many tokens; None for equal shares of the way"""

    def at(self, shape: ModelShape, method: str, tokens: float) -> float:
        """See `World.at`."""
        law, start = self.truth[method], self.zero_shot[shape.name]
        floor = self.own[shape.name] * (law.E + law.A / shape.model_params**law.a)
        assert law.D0 is not None
        share = (tokens / law.D0) ** law.b
        if self.level is not None:
            share *= (start - floor) / self.level
        return float(floor + (start - floor) / (1 + share))


class Case(NamedTuple):
    """A world of each lineage."""

    worlds: dict[str, World]

    def models(self, lineage: str) -> tuple[str, ...]:
        """The members of a lineage that are measured."""
        return self.worlds[lineage].models

    def best(self, lineage: str, budget: float) -> float:
        """The lowest true loss of a lineage at a budget in FLOP."""
        world = self.worlds[lineage]
        return min(world.loss(model, method, budget) for model in self.models(lineage) for method in METHODS)

    def crossing(self) -> float:
        """The largest budget up to which the retriever is the better start; 0 or infinity at the ends of the grid."""
        grid = np.geomspace(BUDGETS[0] / 4, BUDGETS[-1] * 256, 200)
        better = np.array([self.best(BASE, budget) < self.best(RETRIEVER, budget) for budget in grid])
        if better.all():
            return 0.0
        return float(grid[int(np.flatnonzero(~better)[-1])]) if better[-1] else float("inf")

    def records(self, seed: int, kind: str) -> list[RunRecord]:
        """The records of the study."""
        base = simulate(self.worlds[BASE], seed)
        other = simulate(self.worlds[RETRIEVER], seed + 1000)
        if kind == "few":
            kept = {(m, b) for m in MODELS[RETRIEVER][:2] for b in BUDGETS[:2]}
            other = [
                one
                for one in other
                if (one.config.model, one.config.train_flops) in kept and one.config.method in ("full", "lora:32")
            ]
        return [*base, *other]


def case_of(kind: str, seed: int) -> Case:
    """The first random case of a seed that is of the kind."""
    rng = np.random.default_rng([seed, 7])
    while True:
        case = _drawn(rng) if not kind.startswith("cut") else _cut(rng, kind)
        at = case.crossing()
        if (kind == "continued" and at > 16 * BUDGETS[-1]) or (
            kind != "continued" and BUDGETS[-1] < at < 16 * BUDGETS[-1]
        ):
            return case


def _drawn(rng: np.random.Generator) -> Case:
    def about(value: float, spread: float) -> float:
        return value * exp(spread * float(rng.standard_normal()))

    common = {method: 0.05 * float(rng.standard_normal()) for method in METHODS}
    worlds = {}
    for lineage in (BASE, RETRIEVER):
        fresh = lineage == BASE
        a, b = about(0.35, 0.2), about(0.42, 0.2)
        asymptote = about(0.45 if fresh else 0.55, 0.15)
        size, data = (about(0.6, 0.2), about(0.9, 0.2)) if fresh else (about(0.3, 0.2), about(0.35, 0.2))
        start = 0.0 if fresh else about(3e5, 0.5)
        truth = {}
        for method in METHODS:
            factor = exp(common[method] + 0.02 * float(rng.standard_normal()))
            own = {"E": asymptote, "A": size * SIZE**a, "a": a, "b": b}
            if fresh:
                own |= {"B": factor * data * TOKENS**b}
            else:
                faster = factor ** (1 / b)  # in tokens, so that all methods begin at the same loss
                own |= {"form": "rectified", "D0": start * faster, "B": factor * data * (start**b + TOKENS**b)}
            truth[method] = Coefficients.model_validate(own)
        worlds[lineage] = World(truth=truth, models=MODELS[lineage], budgets=BUDGETS, noise=NOISE, lineage=lineage)
    return Case(worlds)


def _cut(rng: np.random.Generator, kind: str) -> Case:
    """As `_drawn`, with a retriever that is cut, and the zero-shot losses of both lineages known."""
    base = _drawn(rng).worlds[BASE].model_copy(update={"zero_shot": {one: 5.0 for one in MODELS[BASE]}})

    def about(value: float, spread: float) -> float:
        return value * exp(spread * float(rng.standard_normal()))

    a, b, asymptote = about(0.35, 0.2), about(0.5, 0.2), about(0.5, 0.15)
    truth = {
        method: Coefficients(form="zero_shot", E=asymptote, A=about(0.3, 0.1) * SIZE**a, a=a, b=b, D0=about(1e5, 0.3))
        for method in METHODS
    }
    whole = about(1.5, 0.1)
    starts = dict(zip(reversed(CUT), (whole, whole * about(1.6, 0.1), whole * about(2.2, 0.1)), strict=True))
    starts[NEW] = starts[CUT[0]] + float(rng.uniform()) * (starts[CUT[1]] - starts[CUT[0]])
    world = CutWorld(
        truth=truth, models=CUT, budgets=BUDGETS, noise=NOISE, lineage=RETRIEVER, zero_shot=starts,
        own={one: about(1.0, 0.03) for one in starts}, level=0.5 if kind == "cut_level" else None,
    )  # fmt: skip
    return Case({BASE: base, RETRIEVER: world})


def _true_losses(world: World, question: Question, budgets: ArrayLike) -> Array:
    """The lowest true loss of the choices that the laws consider at each budget in FLOP (b,)."""
    choices = question.choices(budgets)
    losses = np.full(choices.tokens.shape, np.inf)
    for row, place in zip(*np.nonzero(np.isfinite(choices.tokens)), strict=True):
        one = choices.candidates[row]
        losses[row, place] = world.at(find_shape(one.model), str(one.method), float(choices.tokens[row, place]))
    lowest: Array = losses.min(axis=0)
    return lowest


def _true_crossing(case: Case, asked: dict[str, Question]) -> float | None:
    """The first budget at which the base models are the better start by the truth; None beyond what is searched."""
    grid = np.geomspace(BUDGETS[0], 16 * BUDGETS[-1], 200)
    losses = {name: _true_losses(case.worlds[name], one, grid) for name, one in asked.items()}
    better = np.flatnonzero(losses[BASE] < losses[RETRIEVER])
    return float(grid[better[0]]) if len(better) else None


def _forecasts(case: Case, laws: Laws, lineage: str, models: Sequence[str] = ()) -> dict[str, float]:
    """All choices of a lineage at 4 times the largest budget: their errors, and the 90 % intervals of the law.

    The interval score is that of log losses, in per cent (Gneiting and Raftery 2007, equation 43).
    """
    world, errors, scores, held = case.worlds[lineage], [], [], []
    for model, method in product(models or case.models(lineage), METHODS):
        shape = find_shape(model)
        tokens = tokens_for(4 * BUDGETS[-1], parse_method(method), shape)
        true = log(world.at(shape, method, tokens))
        errors.append(log(laws.predict(method, shape.model_params, tokens, lineage=lineage)) - true)
        low, high = np.log(laws.interval(method, shape.model_params, tokens, of="law", lineage=lineage))
        held.append(low <= true <= high)
        scores.append(high - low + 20 * max(low - true, true - high, 0.0))
    return {"error": rms(errors), "score": float(np.mean(scores)), "held": float(np.mean(held))}


def rms(values: Sequence[float]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def judged(kind: str, seed: int, draws: int, forms: Sequence[str] | None = None) -> dict[str, Any]:
    """What the laws of one study say, beside the truth."""
    case = case_of(kind, seed)
    laws = fit(case.records(seed, kind), draws=draws, seed=seed, forms=forms)
    asked, _ = questions(laws, None, {"force": True})
    crossing = _true_crossing(case, asked)
    row: dict[str, Any] = {"seed": seed, "true_crossing": crossing, "noise": laws.noise}
    row["forms"] = {one.form: one.weight for one in laws.ranking if one.weight >= LEAST_SHARE}
    if kind.startswith("cut"):
        row |= {f"all {name}": _forecasts(case, laws, name) for name in laws.lineages if name is not None}
        row["new"] = _forecasts(case, laws, RETRIEVER, (NEW,))
    for times in (1, 4, 16):
        budget = times * BUDGETS[-1]
        losses = {name: float(one.choices([budget]).predicted.min()) for name, one in asked.items()}
        true = {name: float(_true_losses(case.worlds[name], one, [budget])[0]) for name, one in asked.items()}
        row[f"right_{times}"] = min(losses, key=losses.__getitem__) == min(true, key=true.__getitem__)
        row[f"regret_{times}"] = true[min(losses, key=losses.__getitem__)] / min(true.values()) - 1
    for name, one in asked.items():
        choices = one.choices([4 * BUDGETS[-1]])
        place = choices.best()[0]
        chosen, tokens = choices.candidates[place], float(choices.tokens[place, 0])
        true_loss = case.worlds[name].at(find_shape(chosen.model), str(chosen.method), tokens)
        low, high = laws.interval(str(chosen.method), chosen.model_params, tokens, of="law", lineage=name)
        row[f"error {name}"] = log(float(choices.predicted[place, 0]) / true_loss)
        row[f"held {name}"] = low <= true_loss <= high
        row[f"width {name}"] = log(high / low)
    row["crossovers"] = [one.model_dump() for one in start_crossovers(asked)]
    at = [one for one in start_crossovers(asked) if one.budget is not None and one.to_lineage == BASE]
    row["crossing"] = at[0].budget if at else None
    row["interval"] = at[0].interval if at else None
    if kind == "few":
        alone = fit([one for one in case.records(seed, kind) if one.lineage == RETRIEVER], draws=draws, seed=seed)
        errors = []
        for law in (alone, laws.of(RETRIEVER)):
            truth = case.worlds[RETRIEVER].truth["full"]
            at_four = [(cell.model_params, 4 * cell.tokens) for cell in law.cells if cell.method == "full"]
            errors.append(
                float(np.sqrt(np.mean([log(law.predict("full", *x) / truth.loss(*x)) ** 2 for x in at_four])))
            )
        row["alone"], row["together"] = errors
    return row


def main() -> None:
    """Judge the studies of one kind and write a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--forms", nargs="+", help="of law; by default those that `embudget fit` takes")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    with asked.out.open("w", encoding="utf-8") as file:
        for seed in range(asked.seeds):
            file.write(json.dumps(judged(asked.kind, seed, asked.draws, asked.forms)) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
