"""How well does a policy spend a budget on real runs? Replays of studies, in which only recorded cells are sold.

A replay is a study and one of its budgets C, which becomes the whole budget: at least 8 times the study's smallest, as
else a single run of the search would cost a quarter of it. Its arms are those recorded at C and at C/4. The shortest
run of an arm that teaches anything is its shortest recorded one, as policies are told. A cell is an arm at a rate and a
budget; its loss is the mean of its seeds, and truth is this table. The studies did not record the losses of their
starts, which are base models: policies are told that of guessing.

    search    a wish is answered by the nearest recorded cell that was not bought and can be paid for: of its own arm
              where there is one, else of another; budgets count by factors of 4, rates by 0.8 e-folds. Its own price is
              charged, less what a trunk saves, and the policy sees the cell that it got. A quarter of the budget is
              kept for the final run. When nothing is left to buy, the policy is asked for its final run.
    final     has B = what is left, which lies between recorded budgets. The loss of its arm at its best rate is
              interpolated there, log loss along log C; its rate is that of the nearest recorded one, which costs what
              it cost at the largest budget where it was run.

So the budgets of the final run are the only numbers that were not measured. The table's noise is part of its truth: a
policy that bought a cell knows it as it is, and the lowest of many cells is low by chance too. Two things favour those
who search little: many arms were recorded at one rate, a neighbour's best, so that theirs is never wrong; and no run
costs less than 1/16 of a budget.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from math import exp, log
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.spend_outcomes import SoldOutError
from benchmarks.spend_worlds import USEFUL_STEPS
from benchmarks.worlds import CHANCE
from embudget.methods import parse_method
from embudget.records import RunRecord
from embudget.spending.allocation import Allocation, Arm, Measurement, Purchase, Setting, cost_of, spent
from embudget.suite import find_shape

STUDIES = ("smollm2", "micro")
RESULTS = Path("results")
FINAL = 0.25
"""Least share of the budget that is left for the final run."""
OTHER_ARM = 10.0
"""What another arm counts in the distance of a cell from a wish, in steps of a budget."""
Table = dict[Setting, dict[float, float]]
"""Setting -> budget -> mean loss."""


class Menu(Allocation):
    """An allocation whose arms have a shortest run each: the shortest recorded."""

    shortest: tuple[tuple[str, float], ...]

    def least(self, arm: Arm, batch_size: int) -> float:
        """FLOP of the shortest recorded run of an arm."""
        return dict(self.shortest)[f"{arm.model} {arm.method}"]


class Replay(NamedTuple):
    """A recorded study as a world; see the module for how budgets are treated."""

    kind: str
    seed: int
    times: float
    allocation: Allocation
    table: Table

    def measure(self, purchase: Purchase, measured: Sequence[Measurement] = ()) -> Measurement:
        """Look the nearest cell up.

        Raises:
            SoldOutError: no cell is left that can be paid for.
        """
        if purchase.purpose == "final":
            return Measurement(purchase, self.true_loss(purchase.setting, purchase.train_flops))
        bought = {(one.purchase.setting, one.purchase.train_flops) for one in measured}
        left = (1 - FINAL) * self.allocation.budget - spent(measured)
        prices = {
            (setting, flops): cost_of(setting, flops, measured)
            for setting, budgets in self.table.items()
            for flops in budgets
            if (setting, flops) not in bought
        }
        sold = [cell for cell, price in prices.items() if price <= left]
        if not sold:
            raise SoldOutError
        setting, flops = min(sold, key=lambda cell: self._distance(purchase, *cell))
        got = purchase.model_copy(update={"setting": setting, "train_flops": flops, "cost": prices[setting, flops]})
        return Measurement(got, self.table[setting][flops])

    def true_loss(self, setting: Setting, train_flops: float) -> float:
        """The loss of a run by the table, nats."""
        arm = self.allocation.arm(setting)
        own = {
            one: budgets for one, budgets in self.table.items() if (one.model, one.method) == (arm.model, arm.method)
        }
        nearest = min(own, key=lambda one: abs(log(one.learning_rate / setting.learning_rate)))
        largest = max(own[nearest])
        excess = log(own[nearest][largest] / min(budgets[largest] for budgets in own.values() if largest in budgets))
        return self._tuned(arm, train_flops) * exp(excess)

    def best_setting(self, setting: Setting, train_flops: float) -> Setting:
        """The same arm at the rate that costs nothing."""
        arm = self.allocation.arm(setting)
        own = [one for one in self.table if (one.model, one.method) == (arm.model, arm.method)]
        return min(own, key=lambda one: self.true_loss(one, train_flops))

    def best(self, train_flops: float) -> Setting:
        """The arm with the lowest loss at its best rate."""
        return min(self.table, key=lambda one: self.true_loss(one, train_flops))

    def lowest(self, train_flops: float) -> float:
        """The lowest loss of any arm at its best rate, nats."""
        return min(self._tuned(arm, train_flops) for arm in self.allocation.arms)

    def _tuned(self, arm: Arm, train_flops: float) -> float:
        """The loss of an arm at the best rate of each budget; between budgets along straight lines in logarithms."""
        best: dict[float, float] = {}
        for setting, budgets in self.table.items():
            if (setting.model, setting.method) == (arm.model, arm.method):
                for flops, loss in budgets.items():
                    best[flops] = min(loss, best.get(flops, loss))
        x, y = np.log(sorted(best)), np.log([best[flops] for flops in sorted(best)])
        at = log(train_flops)
        if at < x[0]:  # a final run of less than a quarter of the budget goes on along the first line
            return exp(y[0] + (at - x[0]) * (y[1] - y[0]) / (x[1] - x[0]))
        return exp(float(np.interp(at, x, y)))

    def _distance(self, purchase: Purchase, setting: Setting, flops: float) -> float:
        wish, arms = purchase.setting, [self.allocation.arm(one) for one in (purchase.setting, setting)]
        other = (wish.model, wish.method) != (setting.model, setting.method)
        apart = abs(log(arms[0].model_params / arms[1].model_params)) + (wish.method != setting.method)
        return (
            abs(log(purchase.train_flops / flops)) / log(4)
            + abs(log(wish.learning_rate / setting.learning_rate)) / 0.8 * (0 if other else 1)
            + other * (OTHER_ARM + apart)
        )


def replays(study: str) -> tuple[float, ...]:
    """The budgets of a study that can be a whole budget: those of 8 times the smallest and more."""
    budgets = sorted({flops for row in table_of(study)[0].values() for flops in row})
    return tuple(flops for flops in budgets if flops >= 8 * budgets[0])


@cache
def make_replay(study: str, number: int, seed: int = 0) -> Replay:
    """The replay of a study with the ``number``-th of its budgets that can be a whole one.

    Example:
        >>> make_replay("smollm2", 1).allocation.budget
        16000000000000.0
    """
    whole, budget = table_of(study), replays(study)[number]
    at = {(setting.model, setting.method, flops) for setting, budgets in whole[0].items() for flops in budgets}
    arms = []
    for model, method in sorted({one[:2] for one in at}):
        if {(model, method, budget), (model, method, budget / 4)} <= at:
            shape, strategy = find_shape(model), parse_method(method)
            arms.append(
                Arm(
                    model=model, method=method, lineage=study, model_params=shape.model_params,
                    flops_per_token=strategy.flops_per_token(shape),
                    default_rate=strategy.default_learning_rate(shape), base_loss=CHANCE,
                )
            )  # fmt: skip
    kept = {(arm.model, arm.method) for arm in arms}
    table = {
        setting: {flops: loss for flops, loss in budgets.items() if flops <= budget}
        for setting, budgets in whole[0].items()
        if (setting.model, setting.method) in kept and min(budgets) <= budget
    }
    shortest: dict[str, float] = {}
    for setting, budgets in table.items():
        name = f"{setting.model} {setting.method}"
        shortest[name] = min(shortest.get(name, budget), *budgets)
    batch, cheapest = next(iter(table)).batch_size, min(arm.flops_per_token for arm in arms)
    allocation = Menu(
        budget=budget, arms=tuple(arms), batch_sizes=(batch,), tokens_per_pair=whole[1], seed=seed,
        shortest=tuple(shortest.items()),
    )  # fmt: skip
    useful = USEFUL_STEPS * batch * whole[1] * cheapest
    return Replay(f"replay:{study}", seed, budget / useful, allocation, table)


@cache
def table_of(study: str) -> tuple[Table, float]:
    """The mean loss of every cell of a study, and its mean tokens of a pair."""
    with (RESULTS / study / "records.jsonl").open(encoding="utf-8") as file:
        records = [RunRecord.model_validate_json(line) for line in file]
    losses: defaultdict[tuple[Setting, float], list[float]] = defaultdict(list)
    for record in records:
        if record.status == "done" and record.loss:
            config = record.config
            setting = Setting(
                model=config.model, method=config.method, learning_rate=config.learning_rate,
                batch_size=config.batch_size,
            )  # fmt: skip
            losses[setting, config.train_flops].append(record.loss)
    table: Table = {}
    for (setting, flops), values in losses.items():
        table.setdefault(setting, {})[flops] = float(np.mean(values))
    per_pair = [record.tokens / record.pairs_seen for record in records if record.tokens and record.pairs_seen]
    return table, float(np.mean(per_pair))
