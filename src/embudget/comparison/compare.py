"""Is A better than B, or was it luck? The answer for two choices, or two runs, of one study."""

from collections.abc import Iterable

from pydantic import Field

from embudget.comparison.contrast import Contrast, contrast
from embudget.comparison.noise import SeedNoise, seed_noise
from embudget.comparison.sides import (
    Asked,
    at_budget,
    best_setting,
    common_budgets,
    find_side,
    on_one_yardstick,
)
from embudget.errors import ConfigError
from embudget.frozen import Frozen
from embudget.records import RunRecord
from embudget.yardstick import Measure, measured_by


class Contrasts(Frozen):
    """Two choices against each other, at each budget asked for."""

    first: str = Field(description="A, as it was asked for")
    second: str = Field(description="B, as it was asked for")
    budgets: tuple[Contrast, ...] = Field(description="what came out, from the lowest budget")

    def __str__(self) -> str:
        """What `embudget compare` prints: five lines a budget."""
        return "\n\n".join(map(str, self.budgets))


def compare(records: Iterable[RunRecord], first: str, second: str) -> Contrasts:
    """Say whether A is better than B by more than noise, and what would tell if it cannot be told.

    Each side is a run, by the beginning of its id, or a member and a method, as ``smollm2-135m:2/full``, with ``@4e12``
    at that budget only. Of a member and a method the best setting of those tried counts, averaged over its seeds. The
    difference is taken group by group on the held-out pairs of both. Its error has two parts: other groups could have
    been held out, and other seeds drawn; the noise of seeds is that of all settings of the records that have several.

    To choose among all that a study measured use `embudget.recommend`: the laws know more than two cells do.

    Args:
        records: runs of one study, as `embudget.sweep` returns them or `Store.records` reads them.
        first: A.
        second: B.

    Raises:
        ConfigError: a side names no run, or several; the runs were measured on different held-out pairs; or before
            losses were kept by group.
        MethodError, BudgetError: a method or a budget cannot be read.

    Example:
        >>> with eb.Store("study.db") as store:
        ...     found = eb.compare(store.records(), "smollm2-135m:2/freeze:0.5@4e12", "smollm2-135m:2/full@4e12")
        >>> found.budgets[0].loss.more_than_noise
        True
        >>> print(found)
    """
    every = list(records)
    a, b = on_one_yardstick(find_side(every, first), find_side(every, second))
    alike = [record for record in every if measured_by(record.config) == measured_by(a.runs[0].config)]
    noises: dict[Measure, SeedNoise] = {"loss": seed_noise(alike), "ndcg": seed_noise(alike, "ndcg")}
    return Contrasts(first=first, second=second, budgets=tuple(_contrast(*sides, noises) for sides in _by_budget(a, b)))


def _by_budget(a: Asked, b: Asked) -> list[tuple[Asked, Asked]]:
    """The two sides at each budget at which they are to be compared."""
    if a.budget is not None and b.budget is not None:
        return [(a, b)]
    if a.budget is None and b.budget is None:
        return [(at_budget(a, budget), at_budget(b, budget)) for budget in common_budgets(a, b)]
    budget = a.budget if b.budget is None else b.budget
    assert budget is not None
    return [(at_budget(a, budget), at_budget(b, budget))]


def _contrast(a: Asked, b: Asked, noises: dict[Measure, SeedNoise]) -> Contrast:
    (first, tried), (second, others) = best_setting(a.runs), best_setting(b.runs)
    if {run.id for run in first} & {run.id for run in second}:
        raise ConfigError(f"A and B must be different runs, got {a.name} and {b.name}")
    return contrast(first, second, (tried, others), noises)
