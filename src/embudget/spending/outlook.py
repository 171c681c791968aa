"""What would a budget bring, before any of it is spent? The search is played through in worlds that may be the truth.

A world is a law of every arm, drawn from what is believed before the first measurement: from earlier laws where there
are some, else from what laws look like (`embudget.spending.prior`). In each the same policy buys, measures with a run's
noise and decides, as it will for real, and trains the final run. So what is told of hours, disk, pairs and loss is of
whole searches. The other budgets, and twice the pairs, meet the same worlds, so that their gains are compared in pairs.
"""

from collections.abc import Callable, Sequence
from math import exp
from typing import NamedTuple

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from embudget.duration import duration
from embudget.frozen import Frozen
from embudget.laws.forms import Array
from embudget.memory import state_bytes, written
from embudget.methods import parse_method
from embudget.spending.allocation import Allocation, Decision, Measurement, Purchase, Setting, added
from embudget.spending.belief import Ensemble, belief_of
from embudget.spending.changes import hung
from embudget.spending.fitting import arm_bytes
from embudget.spending.law import log_losses, points_at, points_of
from embudget.spending.prepare import Prepared
from embudget.suite import find_shape

WORLDS = 4
MOST_ROUNDS = 80
LEVEL = 0.9
WEIGHT_BYTES = 4
"""What a weight takes in a model folder and in a checkpoint, which hold float32."""

Progress = Callable[[int, int], None]


class Case(Frozen):
    """A budget or a number of pairs other than the given ones, and the loss that it is expected to bring."""

    what: str = Field(description="half the budget, twice the budget, twice the pairs")
    expected_loss: PositiveFloat = Field(description="nats")
    change: float = Field(description="of the loss, relative to the budget as given")
    change_error: NonNegativeFloat | None = Field(description="standard error of it; None from a single world")

    def __str__(self) -> str:
        """A line of the plan."""
        error = "" if self.change_error is None else f" ± {100 * self.change_error:.1f}"
        return f"{self.what:17s} {self.expected_loss:.3f}, {100 * self.change:+.1f} %{error}"


class Outlook(Frozen):
    """What a budget is expected to take and to bring.

    Example:
        >>> print(outlook(prepare(study, find_means("2e13"))))
    """

    budget: str = Field(description="as it was given, in words")
    worlds: PositiveInt = Field(description="possible truths in which the search was played through")
    searched: float = Field(ge=0, lt=1, description="share of the budget that the search takes, mean over the worlds")
    runs: NonNegativeFloat = Field(description="of the search, mean")
    search_flops: NonNegativeFloat
    final_flops: NonNegativeFloat = Field(
        description="of the final run, or of all that are kept; of one that goes on from a trunk what it adds"
    )
    search_seconds: float | None = Field(description="of one device; None where the machine was not timed")
    final_seconds: float | None
    dollars: float | None = Field(description="of both, for all devices; None where no price is known")
    memory_bytes: PositiveFloat = Field(description="of the dearest arm's training, estimated")
    memory_of: str = Field(description="that arm")
    disk_bytes: PositiveFloat = Field(
        description="of the states of trunks, the model and its checkpoint; most of all worlds"
    )
    pairs_needed: PositiveInt = Field(description="of the final run, of several the longest, mean")
    pairs_there: NonNegativeInt | None
    expected_loss: PositiveFloat = Field(description="of the final run, nats")
    interval: tuple[float, float] = Field(description="of it, with 90 %")
    choices: tuple[tuple[str, str, float], ...] = Field(description="model, method and share of the worlds they win")
    cases: tuple[Case, ...]
    speed: str = Field(description="how fast this machine is, in words; empty where it was not timed")

    def __str__(self) -> str:
        """A few lines, for a person."""
        low, high = self.interval
        there = "" if self.pairs_there is None else f" of {self.pairs_there:,} there"
        repeated = ""
        if self.pairs_there is not None and self.pairs_needed > self.pairs_there:
            repeated = f": each {self.pairs_needed / self.pairs_there:.1f} times"
        time = "not known, since this machine was not timed" if self.search_seconds is None else self._time()
        won = ", ".join(f"{model} {method} {100 * share:.0f} %" for model, method, share in self.choices[:4])
        return "\n".join(map(hung, [
            f"{self.budget}",
            f"  search    about {100 * self.searched:.0f} % of it, {self.runs:.0f} runs, {self.search_flops:.3g} FLOP",
            f"  final     {self.final_flops:.3g} FLOP",
            f"  time      {time}",
            *([f"  speed     {self.speed}"] if self.speed else []),
            *([f"  money     {_money(self.dollars)} dollars"] if self.dollars is not None else []),
            f"  memory    {written(self.memory_bytes)} for {self.memory_of}, the most of all",
            f"  disk      {written(self.disk_bytes)} for the states of trunks, the model and its checkpoint",
            f"  pairs     the final run needs {self.pairs_needed:,}{there}{repeated}",
            f"  expect    held-out loss {self.expected_loss:.3f}, with 90 % {low:.3f} to {high:.3f} "
            f"({self.worlds} possible truth{'s' * (self.worlds > 1)})",
            f"  winners   {won}",
            *(f"  {one}" for one in self.cases),
        ]))  # fmt: skip

    def _time(self) -> str:
        assert self.search_seconds is not None and self.final_seconds is not None
        both = duration(self.search_seconds + self.final_seconds)
        search, final = duration(self.search_seconds), duration(self.final_seconds)
        return f"{both} of one device: {search} to search, {final} for the final run"


def _money(dollars: float) -> str:
    return f"{dollars:.2f}" if dollars >= 1 else f"{dollars:.2g}"


class Course(NamedTuple):
    """One search, played through."""

    measured: tuple[Measurement, ...]
    finals: tuple[Purchase, ...]
    """The final runs: one, or as many as are kept and paid for."""
    best: Purchase
    """That of them whose measured loss is lowest: the model."""
    loss: float
    """Its true loss, nats."""


def outlook(prepared: Prepared, worlds: int = WORLDS, progress: Progress = lambda done, of: None) -> Outlook:
    """Play the spending of a budget through, and of half of it, of twice as much, and with twice the pairs.

    Args:
        prepared: the budget and what it may be spent on.
        worlds: possible truths.
        progress: called with the searches done, and all of them.
    """
    given = prepared.allocation
    truth = belief_of(given.model_copy(update={"seed": given.seed + 1}), (), prepared.prior)
    others = {"half the budget": {"budget": given.budget / 2}, "twice the budget": {"budget": given.budget * 2}}
    if given.training_pairs is not None:
        others["twice the pairs"] = {"training_pairs": 2 * given.training_pairs}
    cases = {"": given} | {what: given.model_copy(update=update) for what, update in others.items()}
    rows = np.linspace(0, len(truth.theta) // 2 - 1, worlds).astype(int).tolist()  # no two of opposite signs
    courses: dict[str, list[Course]] = {}
    for what, allocation in cases.items():
        courses[what] = []
        for row in rows:
            courses[what].append(course(prepared.decide, allocation, truth, row))
            progress(sum(map(len, courses.values())), len(cases) * worlds)
    best = _best_losses(truth, given, float(np.mean([_share(given, one) for one in courses[""]])))
    return _told(prepared, courses, best, rows)


def course(
    decide: Callable[[Allocation, Sequence[Measurement]], Decision], allocation: Allocation, truth: Ensemble, row: int
) -> Course:
    """Search and final run in the world that is one row of ``truth``.

    The truth is a law of the arms by its own allocation's basis, so that other budgets meet the same one.
    """
    rng = np.random.default_rng([allocation.seed, 41, row])
    known = truth.allocation.model_copy(update={"training_pairs": allocation.training_pairs})

    def loss(purchase: Purchase) -> float:
        at = points_of(known, [(purchase.setting, purchase.train_flops)])
        return exp(float(log_losses(truth.basis, truth.theta[[row]], at)[0, 0]))

    def seen(purchase: Purchase) -> float:
        return loss(purchase) * exp(truth.noise * rng.standard_normal())

    measured: list[Measurement] = []
    for _ in range(MOST_ROUNDS):
        decision = decide(allocation, measured)
        if decision.final:
            break
        for purchase in decision.purchases:
            found = seen(purchase)
            measured.append(Measurement(purchase, found, truth.noise * found))
    finals = decision.purchases
    if not decision.final:  # a search that goes on for so long is cut off
        left = allocation.budget - sum(one.purchase.cost for one in measured)
        flops = allocation.longest_final(decision.best, left, measured)
        finals = (Purchase(setting=decision.best, train_flops=flops, cost=left, purpose="final"),)
    best = min(finals, key=seen)
    return Course(tuple(measured), tuple(finals), best, loss(best))


def _best_losses(truth: Ensemble, allocation: Allocation, searched: float) -> Array:
    """Log loss of the best arm at its best rate, trained with what the search leaves, in every world (worlds,)."""
    left = (1 - searched) * allocation.budget
    count = len(allocation.arms)
    flops = np.array([max(allocation.paid_final(arm, left), 1.0) for arm in allocation.arms])
    batch = np.full(count, min(allocation.batch_sizes))
    at = points_at(truth.allocation, np.arange(count), flops, np.full(count, np.nan), batch, np.zeros(count))
    lowest: Array = truth.log_losses(at).min(axis=1)
    return lowest


def _share(allocation: Allocation, one: Course) -> float:
    return sum(each.purchase.cost for each in one.measured) / allocation.budget


def _told(prepared: Prepared, courses: dict[str, list[Course]], best: Array, rows: Sequence[int]) -> Outlook:
    """The loss is that of the best arm in all worlds, and what the searches lost against it where they were played."""
    allocation, means, given = prepared.allocation, prepared.means, courses[""]
    logs = np.log([one.loss for one in given])
    lost, count = float((logs - best[list(rows)]).mean()), len(given)
    low, mean, high = (float(np.quantile(best, at)) + lost for at in ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2))
    seconds = [_seconds(allocation, one) for one in given]
    timed = all(one is not None for one in seconds)
    search, final = (float(np.mean([one[place] for one in seconds if one])) if timed else None for place in (0, 1))
    batch, bf16 = max(allocation.batch_sizes), prepared.bf16
    memory = {arm: arm_bytes(arm, prepared.study, batch, bf16=bf16) for arm in allocation.arms}
    dear = max(memory, key=lambda arm: memory[arm])
    won = [(one.best.setting.model, one.best.setting.method) for one in given]
    needed = np.mean([
        max(each.train_flops / allocation.arm(each.setting).flops_per_token for each in one.finals)
        for one in given
    ]) / allocation.tokens_per_pair  # fmt: skip
    return Outlook(
        budget=str(means),
        worlds=count,
        searched=float(np.mean([_share(allocation, one) for one in given])),
        runs=float(np.mean([len(one.measured) for one in given])),
        search_flops=float(np.mean([_added_flops(one)[0] for one in given])),
        final_flops=float(np.mean([_added_flops(one)[1] for one in given])),
        search_seconds=search,
        final_seconds=final,
        dollars=None if search is None or final is None else means.dollars(search + final),
        memory_bytes=memory[dear],
        memory_of=f"{dear.model} {dear.method}",
        disk_bytes=max(_disk(one) for one in given),
        pairs_needed=max(1, round(float(needed))),
        pairs_there=allocation.training_pairs,
        expected_loss=exp(mean),
        interval=(exp(low), exp(high)),
        choices=tuple((*one, won.count(one) / count) for one in sorted(set(won), key=won.count, reverse=True)),
        cases=tuple(
            _case(what, mean, logs, np.log([one.loss for one in each])) for what, each in courses.items() if what
        ),
        speed="" if prepared.timed is None else str(prepared.timed),
    )


def _case(what: str, mean: float, given: Array, logs: Array) -> Case:
    changes = np.expm1(logs - given)
    error = float(changes.std(ddof=1)) / len(changes) ** 0.5 if len(changes) > 1 else None
    change = float(changes.mean())
    return Case(what=what, expected_loss=exp(mean) * (1 + change), change=change, change_error=error)


def _added_flops(one: Course) -> tuple[float, float]:
    """FLOP of the search and of the final runs, of a run that goes on from its trunk those that it adds."""
    last: dict[Setting, float] = {}
    each_added = []
    for purchase in (*(each.purchase for each in one.measured), *one.finals):
        before, flops = last.get(purchase.setting, 0.0), purchase.train_flops
        each_added.append(added(flops, before))
        last[purchase.setting] = max(before, flops)
    return sum(each_added[: len(one.measured)]), sum(each_added[len(one.measured) :])


def _seconds(allocation: Allocation, one: Course) -> tuple[float, float] | None:
    """Seconds of the search and of the final runs; None where the arms were not timed."""

    def of(purchase: Purchase) -> float:
        arm = allocation.arm(purchase.setting)
        assert arm.seconds_per_flop is not None
        if allocation.unit == "seconds":
            return purchase.cost
        return arm.seconds_per_run + purchase.cost * arm.seconds_per_flop

    if any(arm.seconds_per_flop is None for arm in allocation.arms):
        return None
    return sum(of(each.purchase) for each in one.measured), sum(map(of, one.finals))


def _disk(one: Course) -> float:
    """Bytes of the states of the search's trunks, of the final runs' checkpoints and of their models.

    A state takes 12 bytes for each trained parameter: the weight and two moments.
    """
    settings = {each.purchase.setting for each in one.measured} | {each.setting for each in one.finals}
    models = 0.0
    for final in one.finals:
        shape, method = find_shape(final.setting.model), parse_method(final.setting.method)
        models += WEIGHT_BYTES * (method.total_params(shape) + shape.embedding_params)
    states = (state_bytes(parse_method(each.method), find_shape(each.model)) for each in settings)
    return float(sum(states) + models)
