"""How a budget is spent, on a terminal: what was bought and why, what it changed, and where the budget went."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from embudget.cli.console import still_wanted
from embudget.cli.spend_text import describe, described, labelled, outcome, standings
from embudget.cli.store_view import StoreBars, StoreView
from embudget.duration import duration
from embudget.plural import plural
from embudget.records import RunConfig, RunRecord
from embudget.spending.allocation import Allocation, Decision, Measurement, Purchase, spent
from embudget.spending.changes import named
from embudget.spending.kept_start import as_it_is
from embudget.spending.listener import SpendListener

if TYPE_CHECKING:
    from embudget.evaluation import Evaluation
    from embudget.recipe.choice import Untrained
    from embudget.spending.ledger import Ledger


class SpendScreen(SpendListener):
    """Prints on stdout what a newcomer needs to say why a model was chosen; two bars over the budget on stderr.

    Args:
        view: looks at the store, for a table of its runs below the bars; without one there is none.
    """

    def __init__(self, view: StoreView | None = None) -> None:
        columns = (
            TextColumn("{task.description:6}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[run]}"),
        )
        self._bars = StoreBars(*columns, TimeElapsedColumn(), view=view, rounds=True)
        self._out = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
        self._tasks = {part: self._bars.add_task(part, total=1.0, run="") for part in ("search", "final")}
        self._part = "search"
        self._allocation: Allocation | None = None
        self._bought = {"search": 0.0, "final": 0.0}
        """What is spent on either, in the budget's unit."""
        self._under_way: list[Purchase] = []
        self._shares: dict[str, float] = {}
        """The id of each run under way -> the share of its own cost that is spent."""
        self._started = time.perf_counter()
        self._at_start = 0.0

    def __enter__(self) -> "SpendScreen":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start_measured(self, model: str, loss: float) -> None:
        """Print how good a retriever is as it is."""
        self._say(f"start      {model} has a held-out loss of {loss:.3f} nats before any training")

    def planned(self, allocation: Allocation, measured: Sequence[Measurement]) -> None:
        """Print what may be bought, and what an earlier start has bought of it."""
        self._allocation = allocation
        for one in measured:
            self._bought[one.purchase.purpose] += one.purchase.cost
        self._at_start = sum(self._bought.values())
        self._say(describe(allocation))
        if measured:
            runs = plural(len(measured), "run")
            self._say(f"going on: {runs} of an earlier start are there, {self._share(spent(measured))} of the budget")

    def decided(self, decision: Decision, changed: str) -> None:
        """Print what the last runs changed, what is believed now, and what is bought next."""
        done = self._share(sum(self._bought.values()))
        low, high = decision.interval
        self._say(f"\nround {decision.round + 1}, {done} of the budget spent")
        self._line("changed", changed)
        self._say("\n".join(standings(decision)))
        self._line("now", f"a final run begun here would end at {decision.expected_loss:.3f} ({low:.3f} to {high:.3f})")
        if decision.why:
            self._line("why", decision.why)
        for one in decision.purchases:
            self._line("trains" if decision.final else "buys", self._buying(one))
        if not decision.final:
            self._under_way, self._shares = list(decision.purchases), {}

    def training(self, purchase: Purchase, number: int, of: int) -> None:
        """Print that the search is over."""
        which = f"final run {number} of {of}" if of > 1 else "final run"
        self._part, self._under_way, self._shares = "final", [purchase], {}
        self._say(f"\n{which}: {described(purchase.setting)}, {purchase.train_flops:.3g} FLOP")

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        """Move the bars by a step of a run."""
        still_wanted()
        mine = next((one for one in self._under_way if _is_of(one, config)), None)
        if mine is None or self._allocation is None:
            return
        own = self._allocation.charged(self._allocation.arm(mine.setting), mine.train_flops)
        self._shares[config.id] = min(mine.cost, max(0.0, mine.cost - (1 - share) * own))
        now = sum(self._shares.values())
        total = sum(self._bought.values()) + now
        fresh, elapsed = total - self._at_start, time.perf_counter() - self._started
        left = duration(elapsed * (self._allocation.budget - total) / fresh) if fresh > 0 else "?"
        run = f"{named(config.model, config.method)}, loss {loss:.2f}, {left} left"
        self._move(now, run)

    def measured(self, measurement: Measurement, record: RunRecord | None) -> None:
        """Print what came of a run."""
        bought = measurement.purchase
        self._bought[bought.purpose] += bought.cost
        if record is not None:
            self._shares.pop(record.id, None)
        self._move(sum(self._shares.values()), "")
        self._line("measured", f"{outcome(measurement)} of {described(bought.setting)}, {bought.train_flops:.3g} FLOP")
        if record is not None and record.status != "done" and record.error:
            self._line("warning", f"{record.status}: {record.error}")
        for remark in () if record is None else record.remarks:
            self._line("warning", remark)

    def lost(self, config: RunConfig, reason: str, attempt: int) -> None:
        """Print a lost process."""
        self._line("lost", f"{named(config.model, config.method)}: {reason} in attempt {attempt}")

    def untrained(self, start: "Untrained") -> None:
        """Print that the model is a start as it is."""
        self._say(f"\n{as_it_is(start)}")

    def evaluated(self, evaluation: "Evaluation") -> None:
        """Print the retrieval scores."""
        self._say(f"\n{evaluation}")

    def done(self, ledger: "Ledger") -> None:
        """Print where the budget went."""
        self._bars.stop()
        self._say(f"\n{ledger}")

    def _share(self, cost: float) -> str:
        assert self._allocation is not None
        return f"{100 * cost / self._allocation.budget:.0f} %"

    def _buying(self, one: Purchase) -> str:
        bought = f"{described(one.setting)}, {one.train_flops:.3g} FLOP, {self._share(one.cost)} of the budget"
        return f"{bought}: {one.why}" if one.why else bought

    def _move(self, under_way: float, run: str) -> None:
        if self._allocation is None:
            return
        for part, task in self._tasks.items():
            mine = under_way if part == self._part else 0.0
            share = min(1.0, (self._bought[part] + mine) / self._allocation.budget)
            self._bars.update(task, completed=share, run=run if part == self._part else "")

    def _line(self, label: str, text: str) -> None:
        self._say(labelled(label, text))

    def _say(self, text: str) -> None:
        """Print on stdout, above the bars where both are one terminal."""
        if self._bars.live.is_started and not self._bars.disable and self._out.is_terminal:
            self._bars.console.print(text, soft_wrap=True, markup=False, emoji=False, highlight=False)
        else:
            self._out.print(text)


def _is_of(purchase: Purchase, config: RunConfig) -> bool:
    """Whether a run is that of a purchase."""
    setting = purchase.setting
    mine = setting.model, setting.method, setting.learning_rate, setting.batch_size, setting.negatives, setting.seed
    its = config.model, config.method, config.learning_rate, config.batch_size, config.negatives, config.seed
    return mine == its and purchase.train_flops == config.train_flops
