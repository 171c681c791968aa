"""How long is the run of a purchase, and what does it cost, to the step? So that the budget is never exceeded.

A purchase is in FLOP; a run takes whole steps and ends with the one that reaches its budget. Before a round is trained,
each of its runs is sized by drawing its batches (`embudget.training.extent`). What does not fit into the rest of the
budget is not bought, and a final run ends with the last whole step that does. Where the pairs end before, allowed
passes included, the run ends with them.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from embudget.errors import BudgetError
from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.spending.allocation import Allocation, Decision, Purchase, Setting
from embudget.spending.arms import WARMUP, Sources
from embudget.spending.on_devices import DevicePace, DevicesHere
from embudget.spending.rounds import BoughtRun
from embudget.spending.trunks import Trunk
from embudget.training.extent import budget_within, extent_of, flops_of_pairs
from embudget.training.job import Job

ALL = 0.95
"""A final run that is to cost this share of its part of the rest is meant to take all of it."""


class Sized(NamedTuple):
    """A purchase with its run."""

    purchase: Purchase
    run: BoughtRun
    config: RunConfig


class Sizing:
    """Sizes the purchases of one budget.

    Args:
        allocation: the budget.
        sources: the runs of its arms.
        pairs: the text pairs.
        devices: those that a final run may have.
    """

    def __init__(
        self, allocation: Allocation, sources: Sources, pairs: Pairs, devices: DevicesHere | None = None
    ) -> None:
        self._allocation, self._sources, self._pairs = allocation, sources, pairs
        self._devices = devices or DevicesHere(1, pairs)

    def config(self, purchase: Purchase, run: BoughtRun) -> RunConfig:
        """The run of a purchase that was sized before."""
        return self._sources.config(purchase.setting, run.train_flops, run.warmup_flops)

    def search(self, decision: Decision, trunks: dict[Setting, Trunk], left: float) -> list[Sized]:
        """The runs of a round of the search that fit into what is left, in the order of the decision.

        Args:
            decision: what to buy.
            trunks: those that can be extended.
            left: of the budget, in its unit.
        """
        trunks, sized = dict(trunks), []
        for purchase in decision.purchases:
            one = self._of(purchase, trunks.get(purchase.setting))
            if one.purchase.cost > left:
                continue
            left -= one.purchase.cost
            sized.append(one)
            trunks[purchase.setting] = Trunk(one.config, one.run.warmup_flops, one.run.branch_flops)
        return sized

    def final(
        self,
        purchases: Sequence[Purchase],
        trunks: dict[Setting, Trunk],
        left: float,
        slowness: Callable[[Setting], float] = lambda setting: 1.0,
    ) -> list[Sized]:
        """The final runs, which share what is left in proportion to what they are to cost.

        One whose share does not pay for a step is left out, the least promising of them first, and the others share
        what it would have had.

        Args:
            purchases: what is wanted, the more promising first.
            trunks: those that can be extended.
            left: of the budget, in its unit.
            slowness: how many times as long as expected a setting's runs took. Nothing comes after these runs that
                could make up for them, so that a budget in time goes by what was measured.

        Raises:
            BudgetError: what is left is less than one step of any of them.
        """
        asked = sum(one.cost for one in purchases)
        sized: list[Sized] = []
        failed: list[tuple[Purchase, BudgetError]] = []
        for purchase in purchases:
            part = left * (purchase.cost / asked if asked else 1 / len(purchases))
            try:
                sized.append(self._final(purchase, trunks.get(purchase.setting), part, slowness(purchase.setting)))
            except BudgetError as error:
                failed.append((purchase, error))
        if not failed:
            return sized
        last, reason = failed[-1]
        others = [one for one in purchases if one is not last]
        if not others:
            raise reason
        return self.final(others, trunks, left, slowness)

    def _of(self, purchase: Purchase, trunk: Trunk | None) -> Sized:
        budget = purchase.train_flops
        job = self._job(purchase)
        if budget > flops_of_pairs(job) or self._ends_early(purchase):
            budget = budget_within(job, budget)
        return self._sized(purchase, budget, trunk, DevicePace())

    def _final(self, purchase: Purchase, trunk: Trunk | None, part: float, slower: float) -> Sized:
        job = self._job(purchase)
        pace = self._devices.pace(job.config)
        own = self._allocation.paid(self._allocation.arm(purchase.setting), part, pace.speedup)
        own = own / slower if self._allocation.unit == "seconds" else own
        most = own if purchase.cost >= ALL * part else min(own, purchase.train_flops)
        if trunk is not None:
            longer = own + trunk.branch_flops
            budget = budget_within(job, longer if purchase.cost >= ALL * part else min(longer, purchase.train_flops))
            if budget >= trunk.config.train_flops:
                return self._sized(purchase, budget, trunk, pace)
        return self._sized(purchase, budget_within(job, most), None, pace)

    def _sized(self, purchase: Purchase, budget: float, trunk: Trunk | None, pace: DevicePace) -> Sized:
        """The run of a setting with a budget of its own, on its trunk where that is not too long."""
        if trunk is not None and budget < trunk.config.train_flops:
            trunk = None
        warmup = WARMUP * budget if trunk is None else trunk.warmup_flops
        config = self._sources.config(purchase.setting, budget, warmup)
        extent = extent_of(Job.of(config, self._pairs))
        run = BoughtRun(
            run=config.id,
            train_flops=budget,
            warmup_flops=warmup,
            shared_flops=0.0 if trunk is None else trunk.branch_flops,
            branch_flops=extent.branch_flops,
            end_flops=extent.flops,
            **pace._asdict(),
        )
        cost = self._allocation.charged(self._allocation.arm(purchase.setting), run.own_flops, pace.speedup)
        faster = f"; {pace.devices} devices train it {pace.speedup:.2f} times as fast as one"
        why = purchase.why + (faster if pace.devices > 1 else "")
        changed = {"train_flops": budget, "cost": cost, "why": why}
        return Sized(purchase.model_copy(update=changed), run, config)

    def _ends_early(self, purchase: Purchase) -> bool:
        return extent_of(self._job(purchase)).flops < purchase.train_flops

    def _job(self, purchase: Purchase) -> Job:
        budget = purchase.train_flops
        return Job.of(self._sources.config(purchase.setting, budget, WARMUP * budget), self._pairs)
