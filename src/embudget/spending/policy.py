"""What to do next with one budget: which runs to buy, or the final one?

Every decision is made anew from all measurements:

    belief    the ensemble of laws after them (`embudget.spending.belief`)
    finals    what each arm would reach with all that is left, on its trunk or on a new one
    steps     what can be bought (`embudget.spending.steps`), what each is worth and costs (`embudget.spending.value`)

The step with the most worth for its cost is bought, and for several workers the next ones as if it were known. Where
no step is worth its cost, the best few arms that were never trained near `CHECK` of the budget are, since a law that
was measured far below may be wrong there; then what is left goes into the arm with the lowest expected loss.

Example:
    >>> decision = decide(allocation, ())
    >>> [purchase.setting for purchase in decision.purchases]
"""

from collections.abc import Sequence
from math import exp, log

import numpy as np

from embudget.errors import BudgetError
from embudget.methods import kind_of
from embudget.spending.allocation import (
    DECAY,
    Allocation,
    Decision,
    Measurement,
    Purchase,
    Setting,
    spent,
)
from embudget.spending.belief import belief_of
from embudget.spending.changes import leader, untrained, why_bought
from embudget.spending.law import points_of
from embudget.spending.prior import Array, KnownLaws
from embudget.spending.steps import MOST, NEAR, Steps
from embudget.spending.value import Finals, conditioned, patience, values

CHECK, CHECKED, LIKELY = 1 / 40, 3, 0.1
"""Share of the budget that the best few arms are measured at before the final run, how many of them at most, and their
least probability to be best."""
SEARCHED, BRACKETED = 16, 4
"""Arms whose steps are valued, and those at several rates."""
DISCREPANCY = 0.012
"""Relative error of a forecast, times the root of the e-folds from the arm's longest run: assumption."""
FLOOR = 2e-3
"""Share of what is left that a step counts as at least, so that the search takes hundreds of rounds at most."""
SAME = 0.005
"""Relative difference of losses that counts as none."""
LEAST_RATIO = 3.0
"""What a step must be worth, over its cost, to be bought: the largest of many uncertain worths is too high by chance,
and beliefs are wider than their errors. Where runs follow the laws of two real starts (`benchmarks/spend_laws.py`, 3
seeds of 1.6e13 FLOP), 1.5 without the slope below searched 64 % for a regret of 4.6 %, 3 with it 39 % for 2.6 %."""
LEAST_SLOPE = 0.03
"""What FLOP are worth at least, as the fall of log loss with log C: 0.031 is the flattest frontier of a recorded study
(`results/starts`). A row whose floor lies above a retriever's start believes that training is harmful, and the mean
over such rows and others made FLOP free: the search then went on until little was left."""


class _Position:
    """What is believed and can be done after some measurements."""

    def __init__(self, allocation: Allocation, measured: Sequence[Measurement], prior: KnownLaws | None) -> None:
        self.allocation, self.measured = allocation, measured
        self.belief = belief_of(allocation, measured, prior)
        self.steps = Steps(allocation, measured, self.belief)
        self.left = self.steps.left
        self.places, self.options, self.finals = self._finals()

    def _finals(self) -> tuple[Array, list[tuple[Setting, float]], Finals]:
        """The arms that what is left can train, the setting and budget of each, and what is believed of them."""
        places, options = [], []
        for batch in self.allocation.batch_sizes:
            arms = [
                place
                for place, arm in enumerate(self.allocation.arms)
                if self.allocation.charged(arm, self.allocation.least(arm, batch)) <= self.left * (1 + 1e-9)
            ]
            for negatives in self.allocation.negatives if arms else ():
                flops = np.array([self.allocation.paid_final(self.allocation.arms[place], self.left) for place in arms])
                rates = self.steps.rates(np.array(arms), flops, batch, negatives)
                for place, rate in zip(arms, rates, strict=True):
                    setting = self.steps.setting(place, float(rate), batch, negatives)
                    if setting is not None:
                        places.append(place)
                        options.append((setting, self.steps.longest_final(setting)))
        for setting in self.steps.settings:
            gone = setting in self.steps.dead or (setting.model, setting.method) in self.steps.broken
            if not gone and self.steps.longest_final(setting) > 0:  # what is left may not pay for loading it
                places.append(self.steps.arms[setting.model, setting.method])
                options.append((setting, self.steps.longest_final(setting)))
        if not options:
            raise BudgetError(_too_small(self.allocation, self.left, bool(self.measured)))
        at = points_of(self.allocation, options)
        logs, tuned = self.belief.with_tuned(at)
        mean, rows = logs.mean(axis=0), np.array(places)
        chosen = np.array(
            [min(np.flatnonzero(rows == place), key=lambda row: mean[row]) for place in dict.fromkeys(places)]
        )
        best = at.where(chosen)
        finals = Finals(logs[:, chosen], tuned[:, chosen], self.belief.best_log_rate(best))
        return rows[chosen], [options[row] for row in chosen], finals

    def slope(self) -> float:
        """By how much the log loss of the best arm falls with log C, as far as that can be believed."""
        setting, flops = self.options[self.finals.best]
        logs = self.belief.log_losses(points_of(self.allocation, [(setting, 0.8 * flops), (setting, flops)]))
        return max(float((logs[:, 0] - logs[:, 1]).mean()) / log(1 / 0.8), LEAST_SLOPE)

    def most(self) -> float:
        """What one more step of the search may cost at most, in the budget's unit."""
        share = self.allocation.search_share
        within = np.inf if share is None else share * self.allocation.budget - spent(self.measured)
        return min(MOST * self.left, within, self.left - self.cheapest)

    @property
    def cheapest(self) -> float:
        """The cheapest run that teaches anything, in the budget's unit."""
        batch, allocation = min(self.allocation.batch_sizes), self.allocation
        return min(allocation.charged(arm, allocation.least(arm, batch)) for arm in allocation.arms)

    def runs_left(self) -> int:
        """How many runs the search may still buy at once; what was known for nothing counts for none."""
        most = self.allocation.max_runs
        bought = sum(one.purchase.cost > 0 for one in self.measured)
        return self.allocation.workers if most is None else min(self.allocation.workers, most - bought)

    def bought(self) -> tuple[list[Purchase], str]:
        """The steps to buy now, and why; none where the search is over."""
        most, runs = self.most(), self.runs_left()
        if most <= 0 or runs <= 0:
            return [], "the search has used what it may"
        chances, regrets = self.finals.chances, self.finals.regrets
        order = np.argsort(-(regrets + 1e-3 * chances), kind="stable")
        wanted = [int(self.places[row]) for row in order[:SEARCHED]]
        wanted += [place for place in self._cheapest() if place not in wanted]
        bracketed = [int(self.places[row]) for row in np.argsort(-chances, kind="stable")[:BRACKETED]]
        found = self.steps.of(wanted, bracketed, most)
        if not found:
            return self._checks(most, runs)
        seen = self.belief.log_losses(points_of(self.allocation, [(one[0], one[1]) for one in found]))
        chance = dict(zip((int(place) for place in self.places), chances, strict=True))
        costs = np.array([self._cost(setting, cost, chance) for setting, _, cost in found])
        finals, slope, noise = self.finals, self.slope(), self.belief.noise
        picked: list[int] = []
        patient = patience(self.allocation.budget / (2 * self.cheapest))
        prices, room = slope * costs, min(most, self.left)
        for _ in range(runs):
            worth = values(finals, seen, noise, patient)
            worth[
                [row for row, one in enumerate(found) if one[2] > room or one[0] in {found[p][0] for p in picked}]
            ] = 0
            ratio = np.where(worth > LEAST_RATIO * prices, worth / prices, 0.0)
            if not ratio.any():
                break
            step = int(ratio.argmax())
            picked.append(step)
            room -= found[step][2]
            finals, seen = conditioned(finals, seen, step, noise)
        if not picked:
            return self._checks(most, runs)
        return [self._purchase(*found[step]) for step in picked], "the next run tells more than it costs the final one"

    def _cost(self, setting: Setting, cost: float, chance: dict[int, float]) -> float:
        """What a step takes from the final run, in log C: less where that may go on from its trunk."""
        place = self.steps.arms[setting.model, setting.method]
        final = next((one for at, (one, _) in zip(self.places, self.options, strict=True) if at == place), None)
        near = final is not None and abs(log(final.learning_rate / setting.learning_rate)) < NEAR
        kept = (1 - DECAY) * chance.get(place, 0.0) if near else 0.0
        return -log(1 - min(max(cost * (1 - kept) / self.left, FLOOR), 0.99))

    def _cheapest(self) -> list[int]:
        """The cheapest arms of each kind of method."""
        found: dict[tuple[str, str], list[int]] = {}
        for place in sorted(range(len(self.allocation.arms)), key=lambda at: self.allocation.arms[at].flops_per_token):
            arm = self.allocation.arms[place]
            found.setdefault((arm.lineage, kind_of(arm.method)), []).append(place)
        return [place for places in found.values() for place in places[:2]]

    def _checks(self, most: float, runs: int) -> tuple[list[Purchase], str]:
        """Runs of the best few arms near `CHECK` of the budget, where none was bought."""
        chances = self.finals.chances
        found: list[Purchase] = []
        for row in np.argsort(-chances, kind="stable")[:CHECKED]:
            place, setting = int(self.places[row]), self.options[row][0]
            arm = self.allocation.arms[place]
            at = self.allocation.paid(arm, CHECK * self.allocation.budget)
            tried = [
                one.purchase.train_flops
                for one in self.measured
                if (one.purchase.setting.model, one.purchase.setting.method) == (arm.model, arm.method)
            ]
            likely = chances[row] >= LIKELY and self.allocation.least(arm, setting.batch_size) <= at
            cost = self.steps.cost(setting, at)
            if likely and max(tried, default=0.0) < at / 2 and cost <= most and len(found) < runs:
                found.append(self._purchase(setting, at, cost))
                most -= cost
        if found:
            return found, f"checks at 1/{1 / CHECK:.0f} of the budget what may be trained to the end"
        return [], "no further run is expected to gain what it costs"

    def _purchase(self, setting: Setting, flops: float, cost: float) -> Purchase:
        return Purchase(setting=setting, train_flops=flops, cost=cost, why=why_bought(setting, self.measured))

    def final(self) -> Purchase:
        """The final run: all that is left, in the arm with the lowest expected loss."""
        setting, flops = self.options[self.finals.best]
        cost = self.steps.final_cost(setting, flops)
        if cost > self.left:  # by rounding
            flops = flops * (1 - 1e-12)
            cost = min(self.steps.final_cost(setting, flops), self.left)
        start = untrained(self.allocation.arms, self.expected_loss)
        why = start or f"{why_bought(setting, self.measured)}; all that is left"
        return Purchase(setting=setting, train_flops=flops, cost=cost, purpose="final", why=why)

    @property
    def expected_loss(self) -> float:
        """What a final run would end at, if it began now, nats."""
        return exp(float(self.finals.logs[:, self.finals.best].mean()))

    def interval(self) -> tuple[float, float]:
        """Where the measured loss of the final run lies with 90 %."""
        setting, flops = self.options[self.finals.best]
        logs = self.finals.logs[:, self.finals.best]
        longest_run = max(
            (
                one.purchase.train_flops
                for one in self.measured
                if (one.purchase.setting.model, one.purchase.setting.method) == (setting.model, setting.method)
                and one.status == "done"
            ),
            default=flops / 1e3,
        )
        far = DISCREPANCY**2 * max(log(flops / longest_run), 0.3)
        half = 1.645 * float(np.sqrt(logs.var() + self.belief.noise**2 + far))
        return exp(float(logs.mean()) - half), exp(float(logs.mean()) + half)


def decide(allocation: Allocation, measured: Sequence[Measurement], prior: KnownLaws | None = None) -> Decision:
    """The next runs of a budget, or the final one, by what was measured.

    Args:
        allocation: the budget, and what it may be spent on.
        measured: what was bought so far, and what came of it, in any order.
        prior: laws that were known before; without it, what laws look like.

    Example:
        >>> decision = decide(allocation, measured)
        >>> decision.final, decision.best, decision.expected_loss

    Raises:
        BudgetError: the budget is too small for the shortest run of any arm.
    """
    position = _Position(allocation, measured, prior)
    finals = position.finals
    bought, why = position.bought()
    best, _ = position.options[finals.best]
    chances, means = finals.chances, finals.logs.mean(axis=0)
    leading = np.argsort(-chances, kind="stable")[:5].tolist()
    if finals.best not in leading:  # the lowest expected loss may have a small chance to be the best
        leading[-1] = finals.best
    standings = tuple(
        (
            allocation.arms[position.places[row]].model,
            allocation.arms[position.places[row]].method,
            float(chances[row]),
            exp(float(means[row])),
        )
        for row in leading
    )
    said = [untrained(allocation.arms, position.expected_loss), leader(best, standings), why]
    return Decision(
        purchases=tuple(bought) or (position.final(),),
        best=best,
        probability=float((finals.logs[:, finals.best] <= finals.logs.min(axis=1) + SAME).mean()),
        expected_loss=position.expected_loss,
        interval=position.interval(),
        standings=standings,
        why="; ".join(part for part in said if part),
    )


def _too_small(allocation: Allocation, left: float, begun: bool) -> str:
    batch = min(allocation.batch_sizes)
    prices = {arm: allocation.charged(arm, allocation.least(arm, batch)) for arm in allocation.arms}
    arm = min(prices, key=prices.__getitem__)
    if begun and left >= prices[arm]:
        return f"no model and method is left to train with {left:.3g} {allocation.unit}: their runs failed or diverged"
    return (
        f"budget must be at least {prices[arm]:.3g} {allocation.unit}, {allocation.min_steps} steps of {batch} pairs "
        f"of {arm.model} {arm.method}, got {left:.3g}: raise it, or add a smaller model"
    )
