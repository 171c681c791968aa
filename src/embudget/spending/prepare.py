"""From what a user asks for to what a policy decides: the study of all runs, the allocation, and what is known."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from embudget.laws import find_laws
from embudget.means import Means
from embudget.pairs import Pairs, load_pairs
from embudget.pairs.token_batch import check_negatives
from embudget.spending.allocation import Allocation, Decision, Measurement
from embudget.spending.arms import allocation_of, batch_sizes
from embudget.spending.checks import check_affordable, check_caps
from embudget.spending.fitting import arms_that_fit
from embudget.spending.keeping import share_final
from embudget.spending.policy import decide
from embudget.spending.prior import KnownLaws
from embudget.spending.timed import TimedArms, timed_arms
from embudget.study import Study

METHODS = ("full", "freeze:0.5", "lora:32")
"""Methods that every model can be trained by; bias tuning needs biases, which most language models lack."""


class Caps(NamedTuple):
    """Limits of the search, and how it goes on."""

    search_share: float | None = None
    """Share of the budget for the search; None leaves it to the policy."""
    max_runs: int | None = None
    """Runs of the search at most."""
    keep: int = 1
    """Final runs, which share what the search left; the best of them is the model."""
    workers: int = 1
    """Runs that are trained at the same time."""
    seed: int = 0


class Prepared(NamedTuple):
    """A budget that is ready to be spent."""

    means: Means
    study: Study
    pairs: Pairs
    allocation: Allocation
    prior: KnownLaws
    keep: int
    timed: TimedArms | None = None
    """How fast this machine trains the arms; None where it was not timed."""

    @property
    def bf16(self) -> bool:
        """Whether runs multiply in bf16, as far as it is known before the machine is asked."""
        return self.study.precision == "bf16" if self.timed is None else self.timed.probe.conditions.precision == "bf16"

    def decide(self, allocation: Allocation, measured: Sequence[Measurement]) -> Decision:
        """What to buy next, by what was measured."""
        decision = decide(allocation, measured, self.prior)
        return share_final(decision, allocation, measured, self.keep)


def study_of(
    suite: str,
    pairs: str | Path,
    methods: Sequence[str] = METHODS,
    batch_size: int | None = None,
    negatives: Sequence[int] | None = None,
) -> Study:
    """The study whose members and methods a budget may be spent on.

    Raises:
        ConfigError: a value is out of its range.
        ModelError: there is no such suite.
    """
    given = {
        "suite": suite,
        "pairs": str(pairs),
        "methods": tuple(methods),
        "budgets": (1e12,),  # those of the runs are the policy's to decide
        "batch_size": batch_size,
        "negatives": None if negatives is None else tuple(negatives),
    }
    return Study.read({name: value for name, value in given.items() if value is not None}, "")


def prepare(
    study: Study,
    means: Means,
    caps: Caps | None = None,
    laws: Sequence[str] = (),
    *,
    device_memory: str | float | None = None,
    clock: bool = False,
    refresh: bool = False,
    progress: Callable[[str], None] = lambda model: None,
) -> Prepared:
    """Look everything up that a budget is spent on, and refuse what cannot be done before anything is trained.

    Args:
        study: members, methods, pairs, and how texts are read.
        means: the budget. Of hours on several devices each run is charged as if it had the clock to itself, so that
            the hours hold; with as many workers the runs of a round take less of them than they are charged.
        caps: limits of the search.
        laws: files or names of earlier laws, which the choice begins from.
        device_memory: of the device that trains, as 24GB: arms that are estimated to need more are left out.
        clock: time this machine even where the budget is of FLOP, so that the arms say what they take.
        refresh: time again what was timed before.
        progress: called with what is timed next, where the budget is of hours.

    Raises:
        BudgetError: the budget buys no run; the least that works is named.
        ConfigError: limits contradict each other, or laws cannot be read.
        ModelError, MethodError: a member is unknown, none can be trained, or a method does not fit one.
        PairsError: there are too few pairs.
        InfeasibleError: no member fits into the memory of the device.
    """
    caps = caps or Caps()
    check_caps(caps.search_share, caps.max_runs, caps.keep)
    prior = KnownLaws(laws=tuple(find_laws(one) for one in laws))
    pairs = load_pairs(study.pairs)
    check_negatives(pairs, max(study.negatives))
    timed = None
    if means.unit == "seconds" or clock:
        timed = timed_arms(study, pairs, means, refresh=refresh, progress=progress)
    # as if all runs had one device; how much faster all of them train the final one is timed once it begins
    allocation = allocation_of(
        study, pairs, means.of_one_device, unit=means.unit, arms=None if timed is None else timed.arms,
        batch_flops=None if timed is None else timed.flops(means), search_share=caps.search_share,
        max_runs=caps.max_runs, workers=caps.workers, seed=caps.seed,
    )  # fmt: skip
    prepared = Prepared(means, study, pairs, allocation, prior, caps.keep, timed)
    if device_memory is not None:
        arms = arms_that_fit(allocation.arms, study, max(allocation.batch_sizes), device_memory, bf16=prepared.bf16)
        allocation = allocation.model_copy(update={"arms": arms})
    check_affordable(allocation, caps.keep, lambda budget: min(batch_sizes(study, budget)))
    return prepared._replace(allocation=allocation)
