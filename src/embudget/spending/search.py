"""The rounds of a search: read what was measured, decide, write the decision down, give its runs to the sweep.

A round's runs are trained together; the next decision waits for all of them. So what a decision rests on does not
depend on which of several workers was faster, and a search that is killed comes to the same decisions. The price is
that workers wait for the dearest run of a round.
"""

from collections.abc import Callable, Sequence

from embudget.errors import ConfigError, RunError
from embudget.records import RunConfig, RunRecord
from embudget.spending.allocation import Allocation, Decision, Measurement, Purchase, Setting
from embudget.spending.changes import what_changed, why_bought
from embudget.spending.charges import charge, slowness
from embudget.spending.listener import SpendListener
from embudget.spending.rounds import BoughtRun, Came, DecisionLog, Round
from embudget.spending.sizing import Sized, Sizing
from embudget.spending.trunks import Trunk, TrunkStates
from embudget.study import Store
from embudget.training.interrupt import deferred

Policy = Callable[[Allocation, Sequence[Measurement]], Decision]
"""Decides what to buy next, by nothing but what was measured: alike measurements, alike decisions."""

Bought = tuple[Measurement, RunRecord]
"""What was bought, or known before, with its record."""


class Search:
    """The spending of one budget as far as it has come.

    Args:
        allocation: the budget.
        decide: the policy.
        sizing: sizes purchases.
        store: where records are.
        log: the rounds so far; those of an earlier start are taken up.
        states: of trunks.
        known: runs that the store held before the first round, each with what it is a measurement of.
        listener: told of rounds and measurements.
        put: has what was written where the spending lies; called before anything of a decision is trained.

    Raises:
        ConfigError: the rounds so far are of other runs, or the store lacks records that they rest on.
    """

    def __init__(
        self,
        allocation: Allocation,
        decide: Policy,
        sizing: Sizing,
        store: Store,
        log: DecisionLog,
        states: TrunkStates,
        known: Sequence[tuple[Purchase, RunRecord]],
        listener: SpendListener,
        put: Callable[[], None] = lambda: None,
    ) -> None:
        self.allocation, self.log, self.put = allocation, log, put
        self._decide, self._sizing, self._store, self._states = decide, sizing, store, states
        self._known, self._listener = known, listener
        self._bought: list[tuple[Purchase, BoughtRun, RunRecord]] = []
        self._round_began = 0
        """How many runs had been bought before the last round that has ended."""
        self._trunks: dict[Setting, Trunk] = {}
        self._under_way: list[Sized] = []
        self._handed_out = False
        self._told: set[str] = set()
        for one in log.rounds:
            self._take_up(one)
        listener.planned(allocation, self.measured())
        if log.rounds and self._under_way:
            before = log.rounds[-2].decision if len(log.rounds) > 1 else None
            listener.decided(log.rounds[-1].decision, what_changed(before, log.rounds[-1].decision))

    @property
    def final(self) -> list[Sized]:
        """The final runs, once they are decided; none before."""
        return self._under_way if self.log.rounds and self.log.rounds[-1].decision.final else []

    @property
    def left(self) -> float:
        """What is left of the budget, in its unit."""
        return self.allocation.budget - sum(self._cost(*one) for one in self._bought)

    def measured(self) -> list[Measurement]:
        """All that is known, in the order in which it was decided; what was known before the first decision is free."""
        return [one for one, _ in [*self.known(), *self.outcomes()]]

    def known(self) -> list[Bought]:
        """The runs that the store held before, which are free."""
        return [
            (self._measurement(purchase.model_copy(update={"cost": 0.0}), record), record)
            for purchase, record in self._known
        ]

    def outcomes(self) -> list[Bought]:
        """All that was bought, in the order in which it was decided."""
        return [
            (self._measurement(purchase.model_copy(update={"cost": self._cost(purchase, run, record)}), record), record)
            for purchase, run, record in self._bought
        ]

    def more(self) -> list[RunConfig]:
        """Further runs for the sweep; none once final runs are decided.

        Raises:
            ConfigError: another process has a run of the last round.
            RunError: the state of a trunk that one of them goes on from is gone.
        """
        while not self.final:
            there = self._store.ids()
            missing = [one for one in self._under_way if one.config.id not in there]
            if missing and self._handed_out:
                raise ConfigError(
                    f"another process trains the run {missing[0].config.id} on {self._store.location}: wait for its "
                    "end, or use another store"
                )
            if missing:
                for one in missing:
                    self.check_trunk(one)
                self._handed_out = True
                return [one.config for one in missing]
            if self._under_way:
                self._end_round()
            self._begin_round()
        return []

    def end_final(self) -> bool:
        """Take up what came of the final runs; whether any of them has a loss."""
        count = len(self._under_way)
        self._end_round()
        return any(record.loss is not None for *_, record in self._bought[-count:])

    def check_trunk(self, one: Sized) -> None:
        """Refuse to pay again for a trunk that a run was to go on from: the budget has no room for it.

        Raises:
            RunError: its state is gone.
        """
        trunk = self._trunks.get(one.purchase.setting)
        if not one.run.shared_flops or trunk is None or self._states.has_begun(one.config.id):
            return
        if not self._states.has(trunk):
            raise RunError(
                f"the state of the trunk that the run {one.config.id} goes on from is gone: put the folder of "
                "checkpoints back, or start in another folder with the same store"
            )

    def tidy(self) -> None:
        """Remove the states of all trunks: the budget is spent."""
        for trunk in self._trunks.values():
            self._states.drop(trunk)

    def _begin_round(self) -> None:
        """Decide, and write it down before anything of it is trained."""
        self._states.trim(self._trunks.values())
        gone = [setting for setting, trunk in self._trunks.items() if not self._states.has(trunk)]
        for setting in gone:
            del self._trunks[setting]
        number, before = len(self.log.rounds), self.log.rounds[-1].decision if self.log.rounds else None
        decision = self._decide(self.allocation, self.measured())
        sized = self._sized(decision)
        purchases = tuple(one.purchase for one in sized)
        decision = decision.model_copy(update={"round": number, "purchases": purchases})
        extended = {one.purchase.setting for one in sized}
        crowded = self._states.too_many(self._trunks, decision, extended)
        changed = what_changed(before, decision)
        line = Round(
            decision=decision,
            changed=changed,
            measured=tuple(self._came(*one) for one in self._bought[self._round_began :]),
            spent=self.allocation.budget - self.left,
            bought=tuple(one.run for one in sized),
            dropped=(*gone, *crowded),
        )
        # what failed in an earlier spending on this store may do now, on another machine
        bought_before = {run.run for _, run, _ in self._bought}
        self._store.forget_failed([one.config for one in sized if one.config.id not in bought_before])
        with deferred():
            self.log.add(line)
        self.put()
        for setting in crowded:
            self._states.drop(self._trunks.pop(setting))
        self._under_way, self._handed_out = sized, False
        self._listener.decided(decision, changed)

    def _sized(self, decision: Decision) -> list[Sized]:
        """The runs of a decision that fit into what is left; the final run of its best choice where none does."""
        if decision.final:
            final = [one for one in decision.purchases if one.purpose == "final"]
            return self._sizing.final(final, self._trunks, self.left, self._slowness)
        assert decision.purchases, "a decision buys something"
        sized = self._sizing.search(decision, self._trunks, self.left)
        bought = {run.run for _, run, _ in self._bought} | {record.id for _, record in self._known}
        if fresh := [one for one in sized if one.config.id not in bought]:
            return fresh
        measured, unfit = self.measured(), "what the search still asked for does not fit into the rest"
        best = Purchase(
            setting=decision.best,
            train_flops=self.allocation.longest_final(decision.best, self.left, measured),
            cost=self.left,
            purpose="final",
            why=f"{why_bought(decision.best, measured)}; {unfit}",
        )
        return self._sizing.final([best], self._trunks, self.left, self._slowness)

    def _slowness(self, setting: Setting) -> float:
        return slowness(self.allocation, setting, [(purchase, record) for purchase, _, record in self._bought])

    def _take_up(self, one: Round) -> None:
        """Go to where an earlier start was when it had written this round down."""
        self._told |= {sized.config.id for sized in self._under_way}
        if self._under_way:
            self._end_round()
        pairs = zip(one.decision.purchases, one.bought, strict=True)
        self._under_way = [self._logged(*pair, one.decision.round) for pair in pairs]
        for setting in one.dropped:
            # only the newest round may drop states: earlier ones did, and a setting bought anew has its state again
            trunk = self._trunks.pop(setting, None)
            bought_again = setting in {sized.purchase.setting for sized in self._under_way}
            if trunk is not None and one is self.log.rounds[-1] and not bought_again:
                self._states.drop(trunk)

    def _logged(self, purchase: Purchase, run: BoughtRun, number: int) -> Sized:
        """A run of a round that an earlier start had written down."""
        config = self._sizing.config(purchase, run)
        if config.id != run.run:
            raise ConfigError(
                f"round {number} of the decisions was for a run {run.run}, and the same purchase is now "
                f"the run {config.id}: start in another folder"
            )
        return Sized(purchase, run, config)

    def _end_round(self) -> None:
        records = {record.id: record for record in self._store.records()}
        if lost := [one for one in self._under_way if one.config.id not in records]:
            raise ConfigError(
                f"{self._store.location} lacks the run {lost[0].config.id}, by which later runs were decided: put its "
                "store back, or start in another folder"
            )
        self._round_began = len(self._bought)
        for purchase, run, config in self._under_way:
            record = records[config.id]
            self._bought.append((purchase, run, record))
            if record.loss is None:  # a longer run would go the same way
                self._trunks.pop(purchase.setting, None)
            elif purchase.purpose == "search":
                self._trunks[purchase.setting] = Trunk(config, run.warmup_flops, run.branch_flops)
            self._tell(purchase, run, record)
        self._under_way = []

    def _measurement(self, purchase: Purchase, record: RunRecord) -> Measurement:
        trunk = self._trunks.get(purchase.setting)
        return Measurement(
            purchase,
            record.loss,
            record.loss_error or 0.0,
            "done" if record.loss is not None else "diverged" if record.status == "diverged" else "failed",
            resumable=trunk is not None and purchase.train_flops <= trunk.config.train_flops,
        )

    def _cost(self, purchase: Purchase, run: BoughtRun, record: RunRecord) -> float:
        return charge(self.allocation, purchase, run, record)

    def _came(self, purchase: Purchase, run: BoughtRun, record: RunRecord) -> Came:
        one = self._measurement(purchase, record)
        cost = self._cost(purchase, run, record)
        return Came(run=record.id, status=one.status, loss=one.loss, error=one.error, cost=cost)

    def _tell(self, purchase: Purchase, run: BoughtRun, record: RunRecord) -> None:
        if record.id not in self._told:
            self._told.add(record.id)
            cost = self._cost(purchase, run, record)
            self._listener.measured(self._measurement(purchase.model_copy(update={"cost": cost}), record), record)

    def finished(self, record: RunRecord) -> None:
        """Tell of a run as soon as it has its record, while others of its round are under way."""
        for purchase, run, config in self._under_way:
            if config.id == record.id:
                self._tell(purchase, run, record)
