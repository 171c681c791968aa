"""Where did the budget go, and was it worth it? FLOP, time and money of search and final run, and what came of them.

The ledger holds the final loss, as it was predicted before the final run and as it was measured, against what rules of
thumb would have reached with the whole budget. Theirs are predictions, by the same laws as the choice: to measure them
would cost the budget again.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from embudget.errors import ConfigError
from embudget.files import save_text
from embudget.frozen import Frozen
from embudget.limits import Flops
from embudget.means import Unit
from embudget.methods import parse_method
from embudget.reading import read_json
from embudget.recipe.choice import Untrained
from embudget.records import RunRecord
from embudget.spending.allocation import Allocation, Decision, Measurement, Setting
from embudget.spending.changes import hung, named
from embudget.spending.kept_start import as_it_is
from embudget.spending.rules import rules_of_thumb


class ExpectedLoss(NamedTuple):
    """A final loss as it is predicted, nats."""

    loss: float
    low: float
    high: float
    """Ends of the 90 % interval."""

    def __str__(self) -> str:
        return f"{self.loss:.3f} ({self.low:.3f} to {self.high:.3f})"


Forecast = Callable[[Setting, float], ExpectedLoss]
"""The loss of a run of a setting with a budget in FLOP, by what is known at the end of the search."""


class Spent(Frozen):
    """What a part of the budget went into."""

    runs: NonNegativeInt = Field(description="runs that were trained, those that failed or diverged included")
    cost: NonNegativeFloat = Field(description="what it took of the budget, in the budget's unit")
    train_flops: NonNegativeFloat = Field(description="algorithmic FLOP; what a trunk shares counts once")
    seconds: NonNegativeFloat = Field(
        description="of training on this machine, without loading and measuring; shared ones count once"
    )
    dollars: NonNegativeFloat | None = Field(default=None, description="of a budget in hours, at the price given")


class Alternative(Frozen):
    """What a rule of thumb would have trained, and the loss to expect of it."""

    name: str
    model: str
    method: str
    expected: ExpectedLoss = Field(description="predicted loss of the whole budget without a search, nats")


class Ledger(Frozen):
    """The account of one budget; its text form is the table that `embudget spend` ends with.

    Example:
        >>> print(Ledger.load("out/ledger.json"))
    """

    budget: Flops = Field(description="what could be spent, in the unit below")
    unit: Unit = Field(default="FLOP", description="what the budget counts: algorithmic FLOP, or seconds of a device")
    search: Spent
    final: Spent
    by_kind: dict[str, int] = Field(description="kind of method -> runs of the search")
    unfinished: dict[str, int] = Field(description="diverged or failed -> runs of the search")
    chosen: Setting
    chosen_flops: Flops = Field(description="whole budget of the final run, what the search had trained of it included")
    probability: float = Field(ge=0, le=1, description="that no other arm ends lower by more than 0.5 %, before it ran")
    predicted: ExpectedLoss = Field(description="final loss as it was predicted when the search ended, nats")
    measured_loss: float | None = Field(description="held-out loss of the final model, nats; None where it failed")
    loss_error: NonNegativeFloat | None = Field(default=None, description="its standard error by held-out groups")
    base_loss: float | None = Field(default=None, description="held-out loss of the chosen start before training, nats")
    untrained: Untrained | None = Field(default=None, description="the start that is the model, as no run beat it")
    left_over: str = Field(default="", description="why a part of the budget was not spent, in words")
    alternatives: tuple[Alternative, ...] = Field(description="rules of thumb")

    def save(self, file: str | Path) -> None:
        """Write it as JSON.

        Raises:
            ConfigError: the file cannot be written, as on a full disk, or holds something else.
        """
        save_text(file, self.model_dump_json(indent=2))

    @classmethod
    def load(cls, file: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ConfigError: the file is missing, or holds no ledger.
        """
        return cls.read(read_json(Path(file), ConfigError), str(file), ConfigError)

    def __str__(self) -> str:
        spent = self.search.cost + self.final.cost
        lines = [] if self.untrained is None else [as_it_is(self.untrained)]
        lines.append(f"ledger: {self._amount(spent)} of {self._amount(self.budget)} {self._unit} spent")
        lines += _rows(self._headers, [self._row("search"), self._row("final")])
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.by_kind.items())
        ended = "".join(f"; {count} {status}" for status, count in self.unfinished.items())
        if self.by_kind:
            lines.append(f"runs of the search: {kinds}{ended}")
        setting = self.chosen
        negatives = f", {setting.negatives} hard negatives" if setting.negatives else ""
        lines += [
            f"chosen     {named(setting.model, setting.method)}, with {100 * self.probability:.0f} % within 0.5 % of "
            "the best",
            f"with       rate {setting.learning_rate:.3g}, batches of {setting.batch_size} pairs{negatives}, "
            f"{self.chosen_flops:.3g} FLOP{self._reused()}",
            f"predicted  held-out loss {self.predicted} before the final run",
            f"measured   {self._measured()}",
        ]
        if self.left_over:
            lines.append(f"left over  {self.left_over}")
        if self.alternatives:
            lines.append("without a search, the whole budget would have brought, by the same laws:")
        lines += [
            f"  {one.expected}  {named(one.model, one.method)}, the {one.name}{self._against(one)}"
            for one in self.alternatives
        ]
        return "\n".join(map(hung, lines))

    @property
    def _unit(self) -> str:
        return "FLOP" if self.unit == "FLOP" else "hours"

    def _amount(self, cost: float) -> str:
        return f"{cost:.3g}" if self.unit == "FLOP" else f"{cost / 3600:.3g}"

    @property
    def _headers(self) -> list[str]:
        money = [] if self.final.dollars is None else ["dollars"]
        return ["", "runs", "of budget", "FLOP", "hours of training here", *money]

    def _row(self, part: str) -> list[str]:
        values: Spent = getattr(self, part)
        dollars = [] if values.dollars is None else [f"{values.dollars:.2g}"]
        share = f"{100 * values.cost / self.budget:.1f} %"
        hours = f"{values.seconds / 3600:.3g}"
        return [part, str(values.runs), share, f"{values.train_flops:.3g}", hours, *dollars]

    def _reused(self) -> str:
        reused = self.chosen_flops - self.final.train_flops / max(1, self.final.runs)
        return f", {reused:.3g} of them from its trunk in the search" if reused > 1e-6 * self.chosen_flops else ""

    def _measured(self) -> str:
        if self.measured_loss is None:
            return "nothing: the final run has no loss"
        error = "" if self.loss_error is None else f" ± {self.loss_error:.3f}"
        inside = "inside" if self.predicted.low <= self.measured_loss <= self.predicted.high else "outside"
        base = "" if self.base_loss is None else f"; untrained it was {self.base_loss:.3f}"
        return f"held-out loss {self.measured_loss:.3f}{error}, {inside} what was predicted{base}"

    def _against(self, one: Alternative) -> str:
        if self.measured_loss is None:
            return ""
        return f": {100 * (one.expected.loss / self.measured_loss - 1):+.0f} % against the measured loss"


def make_ledger(
    allocation: Allocation,
    outcomes: Sequence[tuple[Measurement, RunRecord | None]],
    decision: Decision,
    forecast: Forecast,
    dollars_per_hour: float | None = None,
    untrained: Untrained | None = None,
    left_over: str = "",
) -> Ledger:
    """Draw up the account of a budget that was spent.

    Args:
        allocation: what could be bought.
        outcomes: all that was bought, in its order, with the records of what was trained.
        decision: the last one, which chose the final run.
        forecast: predicts a loss by what the search has taught.
        dollars_per_hour: price of an hour on the clock, of all devices, for a budget in seconds.
        untrained: the start that is the model, where no run beat it.
        left_over: why a part of the budget was not spent, as when the pairs end before.

    Returns:
        The account. Of several final runs the one of the lowest loss is the chosen one.
    """
    search = [one for one in outcomes if one[0].purchase.purpose == "search"]
    final = [one for one in outcomes if one[0].purchase.purpose == "final"]
    scored = [one for one in final if one[0].loss is not None] or final
    best, record = min(scored, key=lambda one: one[0].loss or 0.0)
    kinds = Counter(parse_method(one.purchase.setting.method).name for one, _ in search)
    return Ledger(
        budget=allocation.budget,
        unit=allocation.unit,
        search=_spent(allocation, search, dollars_per_hour),
        final=_spent(allocation, final, dollars_per_hour),
        by_kind=dict(sorted(kinds.items())),
        unfinished=dict(sorted(Counter(one.status for one, _ in search if one.status != "done").items())),
        chosen=best.purchase.setting,
        chosen_flops=best.purchase.train_flops,
        probability=decision.probability,
        predicted=ExpectedLoss(decision.expected_loss, *decision.interval),
        measured_loss=best.loss,
        loss_error=best.error or None,
        left_over=left_over,
        base_loss=None if record is None else record.base_loss,
        untrained=untrained,
        alternatives=tuple(
            Alternative(
                name=rule.name,
                model=rule.setting.model,
                method=rule.setting.method,
                expected=forecast(rule.setting, allocation.longest_final(rule.setting, allocation.budget)),
            )
            for rule in rules_of_thumb(allocation)
        ),
    )


def _spent(
    allocation: Allocation, outcomes: Sequence[tuple[Measurement, RunRecord | None]], dollars_per_hour: float | None
) -> Spent:
    cost = sum(one.purchase.cost for one, _ in outcomes)
    priced = allocation.unit == "seconds" and dollars_per_hour is not None
    return Spent(
        runs=len(outcomes),
        cost=cost,
        train_flops=sum(_own_flops(allocation, *one) for one in outcomes),
        seconds=sum((record.seconds or 0.0) * record.own_share for _, record in outcomes if record is not None),
        dollars=(dollars_per_hour or 0.0) * cost / 3600 if priced else None,
    )


def _own_flops(allocation: Allocation, measurement: Measurement, record: RunRecord | None) -> float:
    """FLOP that a run added, by its record; of one that did not end, what its cost says."""
    if record is not None and record.train_flops is not None:
        return record.train_flops - (record.shared_flops or 0.0)
    return allocation.paid(allocation.arm(measurement.purchase.setting), measurement.purchase.cost)


def _rows(headers: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    first, *others = widths
    return [
        "  ".join([line[0].ljust(first), *(text.rjust(width) for text, width in zip(line[1:], others, strict=True))])
        for line in (headers, *rows)
    ]
