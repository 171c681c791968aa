"""How a pilot study is laid out around a guess, so that it costs about 5 % of the budget it is for.

    budgets     C/4000, C/1000 and C/250 of the target's budget C, by trunks
    batch       the target's at all of them: it is part of what is measured (`embudget.recipe.batch_size.far_batch`)
    members     three to five around the best sizes of these budgets
    methods     the best of each kind by the guess, three kinds at most
    rates       one a method, and in two cells three, a factor of 3 apart, as a law of the rate needs: around the
                best rate expected there (`embudget.design.rates`)
    seeds       two where the budget allows it

Where compute is split evenly between size and data, as language models do about (Hoffmann et al. 2022), the best size
grows as C^0.5, so that those of the pilot's budgets are 1/63 to 1/16 of the size that was guessed for the target.

Where such a study costs more than 5 % since its runs would be too short, and the measured runs reach as far as it
would, they are extended instead, for 6 % (`embudget.design.extension`).
"""

from collections.abc import Iterator, Sequence
from math import ceil, log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from embudget.choices import Candidate
from embudget.design.extension import UNKNOWN_PAIRS, extension
from embudget.design.rates import Expected, expected
from embudget.errors import InfeasibleError, MethodError
from embudget.flops import steps_for
from embudget.laws.rates import rate_text
from embudget.methods import Method
from embudget.recipe import Recipe
from embudget.recipe.options import Question, unsuitable
from embudget.recipe.support import LADDERS
from embudget.records import RunConfig
from embudget.study import Study
from embudget.study.trunks import own_flops_of
from embudget.suite import ModelShape, find_shape

MOST_SHARE = 0.055
"""Share of the budget that a pilot may cost: "about 5 %"."""
MIN_STEPS = 20
"""Shorter runs are left out, as in the world of the paper's budgets (`studies/pythia_world.yaml`)."""
SIZES = (64.0, 2.0)
"""Members are sought between the guessed size over the first and over the second."""
KINDS = 3
LEAST_BATCH = 16
FEWEST_MEMBERS = 3
LAYOUTS = ((5, 2), (5, 1), (4, 2), (4, 1), (3, 2), (3, 1))
"""Members and seeds; the one that spends most within `MOST_SHARE` is taken."""
RATE_CELLS = (0, 1)
"""Places of the budgets of the two cells in which several rates are tried."""
RATES = (1 / 3, 1.0, 3.0)
"""Rates tried in two cells, relative to the expected one."""


class Layout(NamedTuple):
    """A pilot study, with its runs that are long enough to be done."""

    study: Study
    configs: tuple[RunConfig, ...]
    rates: dict[str, Expected]
    """By method."""
    measured: tuple[RunConfig, ...] = ()
    """Runs that exist already and are fitted together with these."""

    @property
    def train_flops(self) -> float:
        """FLOP of all runs; those of a trunk count once."""
        return sum(own_flops_of(self.configs).values())


def laid_out(question: Question, guess: Recipe, batch_size: int, pairs: Path) -> Layout:
    """The study for the budget of a guess, with this batch, or a smaller one or larger budgets if its runs need them.

    Where the models are large for the budget, only larger parts of it pay for runs that are long enough. Then the
    measured runs are extended where they reach far enough; else two kinds of method are measured, and the pilot costs
    more than 5 %.

    Raises:
        InfeasibleError: the budget is so small that a study of runs of `MIN_STEPS` steps would take most of it.
    """
    found = _of_its_own(question, guess, batch_size, pairs)
    if found is not None and found.train_flops <= MOST_SHARE * guess.train_flops:
        return found
    if (more := extension(question, guess, pairs)) is not None:
        configs = tuple(_long_enough(more.study, question.practice.tokens_per_pair))
        return Layout(more.study, configs, more.rates, more.measured)
    if found is None:
        raise InfeasibleError(
            f"a pilot study with runs of {MIN_STEPS} steps would take most of the budget: measure near it, with "
            f"{guess.train_flops:.3g} FLOP"
        )
    return found


def _of_its_own(question: Question, guess: Recipe, batch_size: int, pairs: Path) -> Layout | None:
    """A study that counts nothing that was measured before; None where its runs would be too short."""
    methods = _methods(question, guess)
    for parts in LADDERS:
        budgets = [float(f"{guess.train_flops / part:.4g}") for part in parts]
        size = batch_size
        while size >= min(batch_size, LEAST_BATCH):
            found = _within(question, guess, methods, budgets, size, pairs)
            if found is not None:
                return found
            size //= 2
    return None


def affordable(question: Question, guess: Recipe, batch_size: int, pairs: Path, most: float) -> list[Layout]:
    """All layouts for the budget of a guess whose runs cost no more than ``most`` FLOP together.

    They differ in how far below the target their budgets lie, in the kinds of method, in members and in seeds. The
    batch is as large as runs of `MIN_STEPS` steps allow.
    """
    methods = _methods(question, guess)
    found = []
    for parts in LADDERS:
        budgets = [float(f"{guess.train_flops / part:.4g}") for part in parts]
        for kinds in (methods[: count + 1] for count in range(len(methods))):
            size = batch_size
            while size >= min(batch_size, LEAST_BATCH):
                if layouts := _layouts(question, guess, kinds, budgets, size, pairs):
                    found += [one for one in layouts if one.train_flops <= most]
                    break
                size //= 2
    return found


def _within(
    question: Question, guess: Recipe, methods: Sequence[Method], budgets: Sequence[float], batch_size: int, pairs: Path
) -> Layout | None:
    """The layout that spends most within `MOST_SHARE`, else the cheapest; None where runs are too short."""
    kinds = methods if budgets[-1] <= MOST_SHARE / 10 * guess.train_flops else methods[:2]
    found = _layouts(question, guess, kinds, budgets, batch_size, pairs)
    if not found:
        return None
    most = MOST_SHARE * guess.train_flops
    within = [one for one in found if one.train_flops <= most]
    return max(within, key=lambda one: one.train_flops) if within else min(found, key=lambda one: one.train_flops)


def _layouts(
    question: Question, guess: Recipe, kinds: Sequence[Method], budgets: Sequence[float], batch_size: int, pairs: Path
) -> list[Layout]:
    """The layouts whose runs are long enough, with every method at every budget."""
    shapes = _shapes(question, kinds, budgets[-1], batch_size)
    found = []
    for count, seeds in LAYOUTS if len(shapes) >= FEWEST_MEMBERS else ():
        members = _members(shapes, guess.model_params, count)
        cells = _rate_cells(question, guess, kinds, members, budgets, batch_size)
        middle = members[len(members) // 2]
        rates = {str(method): expected(question, method, middle, budgets[1], batch_size) for method in kinds}
        study = _study(question, rates, members, budgets, cells, batch_size, seeds, pairs)
        layout = Layout(study, tuple(_long_enough(study, question.practice.tokens_per_pair)), rates)
        done = {(config.method, config.train_flops) for config in layout.configs}
        if len(done) == len(kinds) * len(budgets) and len(cells) == len(RATE_CELLS):  # every method at every budget
            found.append(layout)
    return found


def _methods(question: Question, guess: Recipe) -> list[Method]:
    """The best method of each kind at the budget, by the guess; the best kinds first."""
    choices = question.choices([guess.budget])
    losses = choices.predicted[:, 0]
    best: dict[str, tuple[float, Method]] = {}
    for one, loss in zip(choices.candidates, losses.tolist(), strict=True):
        if np.isfinite(loss) and loss < best.get(one.kind, (float("inf"),))[0]:
            best[one.kind] = loss, one.method
    return [method for _, method in sorted(best.values(), key=lambda found: found[0])][:KINDS]


def _shapes(question: Question, methods: Sequence[Method], most: float, batch_size: int) -> list[ModelShape]:
    """The models that a pilot may measure, by rising size: all methods train them, and long enough with ``most`` FLOP.

    Where the suite has fewer than three, the first blocks of its smallest member are models too.
    """

    def able(shapes: Sequence[ModelShape]) -> dict[float, ModelShape]:
        return {
            shape.model_params: shape
            for shape in shapes
            if all(_trains(question, method, shape, most, batch_size) for method in methods)
        }

    members = {one.shape.name: one.shape for one in question.candidates if one.shape is not None}
    found = able(list(members.values()))
    if len(found) < FEWEST_MEMBERS:
        smallest = min(members.values(), key=lambda shape: shape.model_params)
        base = smallest.name.removesuffix(f":{smallest.layers}")
        depths = {ceil(smallest.layers / part) for part in (8, 4, 2)} - {smallest.layers}
        found = able([find_shape(f"{base}:{depth}") for depth in sorted(depths)]) | found
    return [found[size] for size in sorted(found)]


def _trains(question: Question, method: Method, shape: ModelShape, flops: float, batch_size: int) -> bool:
    """Whether the method trains the model within the wishes, and for enough steps."""
    try:
        method.check(shape)
    except MethodError:
        return False
    candidate = Candidate(shape.name, method, shape.model_params, method.flops_per_token(shape), shape)
    if unsuitable(candidate, question.limits) is not None:
        return False
    return steps_for(flops, method, shape, question.practice.tokens_per_pair, batch_size) >= MIN_STEPS


def _members(shapes: Sequence[ModelShape], guessed: float, count: int) -> list[ModelShape]:
    """So many of the shapes, nearest to sizes spread evenly (in log N) below the guessed one, by rising size."""
    left = list(shapes)
    for size in np.geomspace(guessed / SIZES[0], guessed / SIZES[1], count).tolist():
        if len(shapes) - len(left) < count and left:
            left.remove(min(left, key=lambda shape: abs(log(shape.model_params / size))))
    return [shape for shape in shapes if shape not in left]


def _rate_cells(
    question: Question, guess: Recipe, methods: Sequence[Method], members: Sequence[ModelShape],
    budgets: Sequence[float], batch_size: int,
) -> list[tuple[str, float]]:  # fmt: skip
    """Member and budget of the cells with several rates, on the way along which the best size is expected to grow."""
    cells = []
    for budget in (budgets[place] for place in RATE_CELLS):
        expected = guess.model_params * (budget / guess.train_flops) ** 0.5
        able = [
            shape for shape in members
            if all(_trains(question, method, shape, budget, batch_size) for method in methods)
        ]  # fmt: skip
        if able:
            cells.append((min(able, key=lambda shape: abs(log(shape.model_params / expected))).name, budget))
    return cells


def _study(
    question: Question, rates: dict[str, Expected], members: Sequence[ModelShape], budgets: Sequence[float],
    cells: Sequence[tuple[str, float]], batch_size: int, seeds: int, pairs: Path,
) -> Study:  # fmt: skip
    """The grid at one rate a method, and the cells with several."""
    tried = {name: [float(rate_text(times * one.rate)) for times in RATES] for name, one in rates.items()}
    table, max_epochs = question.laws.table, question.limits.max_epochs
    known: dict[str, Any] = {"max_length": table.max_length}
    if table.yardstick == RunConfig.model_fields["yardstick"].default:  # the counts of an older one were too few
        known |= {name: getattr(table, name) for name in ("eval_pairs", "eval_candidates")}
    fields: dict[str, Any] = {
        "pairs": str(pairs),
        "members": [shape.name for shape in members],
        "methods": list(rates),
        "budgets": list(budgets),
        "learning_rates": {name: [one.rate] for name, one in rates.items()},
        "seeds": list(range(seeds)),
        "batch_size": batch_size,
        "schedule": "wsd",
        "min_steps": MIN_STEPS,
        **{name: value for name, value in known.items() if value is not None},
        **({"max_epochs": max_epochs} if max_epochs else {}),
        "also": [
            {"members": [name], "budgets": [budget], "seeds": [0], "learning_rates": tried} for name, budget in cells
        ],
    }
    return Study.read(fields, "the pilot study")


def _long_enough(study: Study, tokens_per_pair: float) -> Iterator[RunConfig]:
    """The runs that take the study's fewest steps."""
    for config, method, shape, fewest in study.runs(UNKNOWN_PAIRS, identified=False):
        if steps_for(config.train_flops, method, shape, tokens_per_pair, config.batch_size) >= fewest:
            yield config
