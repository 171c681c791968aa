"""Which runs can be bought next? An arm's trunk opened at a rate and a budget, or one that is there extended.

Budgets are those of a ladder, `STEP` apart, from the shortest run of an arm that teaches anything up to `MOST` of what
is left. A trunk is opened near the best rate as it is believed, and, for the arms that matter most, `BRACKET` e-folds
to either side: without that 0.6 to 2.3 % of the final loss are lost in simulations.
"""

from collections.abc import Sequence
from math import exp, log

import numpy as np

from embudget.spending.allocation import Allocation, Arm, Measurement, Setting, added, reached, spent
from embudget.spending.belief import Ensemble
from embudget.spending.law import index_of, points_at
from embudget.spending.prior import Array

STEP = 2.0
MOST = 0.2
"""Share of what is left that one step may cost."""
BRACKET = 0.8
"""e-folds of the rate to either side: 2.2 times, as the grids of studies have it."""
TOO_HIGH = 1.5
"""assumption: rates down to one that diverged over this are too high as well."""
NEAR = 0.25
"""e-folds within which a rate is that of a trunk that is there."""


class Steps:
    """What may be bought after some measurements, with what each costs."""

    def __init__(self, allocation: Allocation, measured: Sequence[Measurement], belief: Ensemble) -> None:
        self.allocation, self.measured, self.belief = allocation, measured, belief
        self.left = allocation.budget - spent(measured)
        self.arms = index_of(allocation)
        self.settings = tuple(dict.fromkeys(one.purchase.setting for one in measured))
        self.last: dict[Setting, float] = {}
        """Budget of each setting's longest run."""
        self.trunks: dict[Setting, float] = {}
        """The same among the runs whose trunk's state is kept: from these alone a longer one can go on."""
        for one in measured:
            setting, flops = one.purchase.setting, one.purchase.train_flops
            self.last[setting] = max(self.last.get(setting, 0.0), flops)
            if one.resumable:
                self.trunks[setting] = max(self.trunks.get(setting, 0.0), flops)
        self.bought = {(one.purchase.setting, one.purchase.train_flops) for one in measured}
        self.dead = {one.purchase.setting for one in measured if one.status != "done"}
        self.broken = _broken(measured)
        """Arms whose runs failed twice, for whatever reason."""
        self.highest = _highest(measured)

    def of(self, places: Sequence[int], bracketed: Sequence[int], most: float) -> list[tuple[Setting, float, float]]:
        """Setting, budget and cost of each step for the arms at ``places``, none dearer than ``most`` FLOP."""
        found = []
        opened = [(place, side) for place in places for side in ((-1, 0, 1) if place in bracketed else (0,))]
        for place, side, batch, negatives in (
            (place, side, batch, negatives)
            for place, side in opened
            for batch in self.allocation.batch_sizes
            for negatives in self.allocation.negatives
        ):
            budgets = self.ladder(self.allocation.arms[place], batch, most)
            if not len(budgets):
                continue
            rates = self.rates(np.full(len(budgets), place), budgets, batch, negatives)
            for flops, log_rate in zip(budgets, rates + BRACKET * side, strict=True):
                setting = self.setting(place, log_rate, batch, negatives)
                if setting is not None:
                    found.append((setting, float(flops), self.cost(setting, float(flops))))
        wanted = set(places)
        for setting in self.settings:
            arm = self.arms[setting.model, setting.method]
            if arm in wanted and setting not in self.dead:
                last = self.last[setting]
                for times in (STEP, STEP**2, STEP**3):
                    found.append((setting, last * times, self.cost(setting, last * times)))
        unique = {(setting, flops): cost for setting, flops, cost in found}
        return [
            (setting, flops, cost)
            for (setting, flops), cost in unique.items()
            if cost <= most and (setting, flops) not in self.bought
        ]

    def cost(self, setting: Setting, flops: float, speedup: float = 1.0) -> float:
        """What a run adds to what was spent, in the budget's unit."""
        return self.allocation.charged(self._arm(setting), added(flops, self.trunks.get(setting, 0.0)), speedup)

    def final_cost(self, setting: Setting, flops: float) -> float:
        """As `Allocation.final_cost`, without a search through all measurements."""
        return self.cost(setting, flops, self.allocation.final_speedup)

    def longest_final(self, setting: Setting) -> float:
        """As `Allocation.longest_final`, with all that is left."""
        return reached(self.allocation.paid_final(self._arm(setting), self.left), self.trunks.get(setting, 0.0))

    def _arm(self, setting: Setting) -> Arm:
        return self.allocation.arms[self.arms[setting.model, setting.method]]

    def ladder(self, arm: Arm, batch: int, most: float) -> Array:
        """FLOP of runs of an arm, rising, none of which costs more than ``most`` of the budget."""
        most = self.allocation.paid(arm, most)
        least = self.allocation.least(arm, batch)
        if least > most:
            return np.empty(0)
        return least * STEP ** np.arange(int(log(most / least) / log(STEP) + 1e-9) + 1)

    def rates(self, arm: Array, flops: Array, batch: int, negatives: int) -> Array:
        """Log of the best rate over the default, as it is believed, of runs of n arms (n,)."""
        nothing = np.full(len(arm), np.nan)
        of_batch, of_negatives = np.full(len(arm), batch), np.full(len(arm), negatives)
        at = points_at(self.allocation, arm, flops, nothing, of_batch, of_negatives)
        found: Array = self.belief.best_log_rate(at).mean(axis=0)
        return found

    def setting(self, place: int, log_rate: float, batch: int, negatives: int) -> Setting | None:
        """The setting of an arm at a rate: an existing trunk's, where that is near. None where it would diverge."""
        arm = self.allocation.arms[place]
        if (arm.model, arm.method) in self.broken:
            return None
        near = [
            one
            for one in self.settings
            if (one.model, one.method, one.batch_size, one.negatives) == (arm.model, arm.method, batch, negatives)
            and abs(log(one.learning_rate / arm.default_rate) - log_rate) < NEAR
        ]
        if near:
            nearest = min(near, key=lambda one: abs(log(one.learning_rate / arm.default_rate) - log_rate))
            return None if nearest in self.dead else nearest
        rate = float(f"{min(max(arm.default_rate * exp(log_rate), 1e-7), 0.9):.2g}")
        if rate >= self.highest.get((arm.model, arm.method), np.inf):
            return None
        return Setting(
            model=arm.model, method=arm.method, learning_rate=rate, batch_size=batch, negatives=negatives,
            seed=self.allocation.seed,
        )  # fmt: skip


def _broken(measured: Sequence[Measurement]) -> set[tuple[str, str]]:
    failed = [one.purchase.setting for one in measured if one.status == "failed"]
    arms = [(setting.model, setting.method) for setting in failed]
    return {arm for arm in arms if arms.count(arm) > 1}


def _highest(measured: Sequence[Measurement]) -> dict[tuple[str, str], float]:
    """By arm, the least rate that is too high, by the lowest that diverged."""
    found: dict[tuple[str, str], float] = {}
    for one in measured:
        if one.status == "diverged":
            setting = one.purchase.setting
            arm = setting.model, setting.method
            found[arm] = min(found.get(arm, np.inf), setting.learning_rate / TOO_HIGH)
    return found
