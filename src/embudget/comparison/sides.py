"""What is compared: a run by its id, or a member and a method, at a budget, by the best of the settings tried.

The best setting is the one with the lowest mean loss over its seeds, as a recipe would take it. The lowest of several
means is low by chance, the more so the more rates were tried and the fewer seeds each had.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from embudget.errors import ConfigError, shortened
from embudget.flops import parse_budget
from embudget.methods import parse_method
from embudget.records import RunConfig, RunRecord
from embudget.suite.members import known_shape
from embudget.yardstick import MeasuredBy, measured_by

SAME_BUDGET = 1e-6
"""Relative difference up to which two budgets are one: 1e12 written in another way."""


class Asked(NamedTuple):
    """The runs that one side may be: those of a member and a method, or one run."""

    name: str
    runs: tuple[RunRecord, ...]
    budget: float | None
    """FLOP of the one run, or as it was asked for; None where any will do."""

    @property
    def budgets(self) -> list[float]:
        """The budgets at which there are runs, rising."""
        return sorted({record.config.train_flops for record in self.runs})


def find_side(records: Sequence[RunRecord], text: str) -> Asked:
    """Look up what a user wrote: the beginning of a run's id, or member/method, perhaps with @ and a budget.

    Raises:
        ConfigError: there is no such run, or several; or its runs ended without a loss.
    """
    name, at, written = text.rpartition("@")
    if not at or "/" in written:
        name, written = text, ""
    budget = parse_budget(written) if written else None
    found = _of_choice(records, name) if "/" in name else _of_id(records, name)
    done = [record for record in found if record.status == "done" and record.loss is not None]
    if not done:
        raise ConfigError(f"{name} has no run with a loss: {len(found)} ended as {found[0].status}")
    if "/" not in name:
        if budget is not None and not _is_same(budget, done[0].config.train_flops):
            raise ConfigError(f"run {name} is at {done[0].config.train_flops:g} FLOP, got @{written}: leave that away")
        return Asked(name, tuple(done), done[0].config.train_flops)
    asked = Asked(name, tuple(done), budget)
    return asked if budget is None else at_budget(asked, budget)


def at_budget(asked: Asked, budget: float) -> Asked:
    """The runs of a side at one budget.

    Raises:
        ConfigError: it has none there.
    """
    there = tuple(record for record in asked.runs if _is_same(record.config.train_flops, budget))
    if not there:
        known = ", ".join(f"{one:g}" for one in asked.budgets)
        raise ConfigError(f"{asked.name} has no run at {budget:g} FLOP: its budgets are {known}")
    return Asked(asked.name, there, there[0].config.train_flops)


def common_budgets(first: Asked, second: Asked) -> list[float]:
    """The budgets at which both sides have runs.

    Raises:
        ConfigError: there is none.
    """
    both = [budget for budget in first.budgets if any(_is_same(budget, other) for other in second.budgets)]
    if not both:
        known = (", ".join(f"{budget:g}" for budget in side.budgets) for side in (first, second))
        raise ConfigError(
            f"{first.name} and {second.name} share no budget: {' and '.join(known)} FLOP; name one each, as "
            f"{first.name}@{first.budgets[-1]:g}"
        )
    return both


def on_one_yardstick(first: Asked, second: Asked) -> tuple[Asked, Asked]:
    """Keep of both sides the runs that were measured alike: on the yardstick that most of them share.

    Raises:
        ConfigError: the runs of a side have no losses by group, or no two were measured alike.
    """
    for side in (first, second):
        if not any(record.groups for record in side.runs):
            raise ConfigError(
                f"the runs of {side.name} were measured before losses were kept by group, so the error of a difference "
                "is not known: run them again"
            )
    counts: defaultdict[MeasuredBy, list[int]] = defaultdict(lambda: [0, 0])
    for place, side in enumerate((first, second)):
        for record in side.runs:
            counts[measured_by(record.config)][place] += bool(record.groups)
    shared = [yardstick for yardstick, (one, other) in counts.items() if one and other]
    if not shared:
        one, other = (next(record.config for record in side.runs if record.groups) for side in (first, second))
        apart = measured_by(one).apart(measured_by(other))
        raise ConfigError(f"{first.name} and {second.name} were measured differently: {apart}")
    chosen = max(shared, key=lambda yardstick: sum(counts[yardstick]))
    kept = [
        tuple(record for record in side.runs if record.groups and measured_by(record.config) == chosen)
        for side in (first, second)
    ]
    return first._replace(runs=kept[0]), second._replace(runs=kept[1])


def best_setting(runs: Iterable[RunRecord]) -> tuple[list[RunRecord], int]:
    """The seeds of the setting with the lowest mean loss, and how many settings there are."""
    by_setting: defaultdict[RunConfig, list[RunRecord]] = defaultdict(list)
    for record in runs:
        by_setting[record.config.model_copy(update={"seed": 0})].append(record)
    best = min(by_setting.values(), key=lambda seeds: math.fsum(_loss(one) for one in seeds) / len(seeds))
    return best, len(by_setting)


def _of_choice(records: Sequence[RunRecord], name: str) -> list[RunRecord]:
    member, _, written = name.rpartition("/")
    method = str(parse_method(written))
    shape = known_shape(member)
    names = {member} | ({shape.name} if shape is not None else set())
    found = [record for record in records if record.config.model in names and record.config.method == method]
    if not found:
        members, methods = ({getattr(record.config, field) for record in records} for field in ("model", "method"))
        raise ConfigError(
            f"no run of {member} by {method} is in these records: they have the members {_listed(members)} and the "
            f"methods {_listed(methods)}"
        )
    return found


def _of_id(records: Sequence[RunRecord], name: str) -> list[RunRecord]:
    found = [record for record in records if name and record.id.startswith(name.lower())]
    if not found:
        raise ConfigError(
            f"no run's id begins with {shortened(name, 40) or 'nothing'}: `embudget records` lists them; or name a "
            "member and a method, as smollm2-135m:2/full"
        )
    if len(found) > 1:
        ids = ", ".join(record.id for record in found[:3])
        raise ConfigError(f"{len(found)} runs have ids that begin with {name}: give more of one, such as {ids}")
    return found


def _is_same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SAME_BUDGET)


def _loss(record: RunRecord) -> float:
    assert record.loss is not None
    return record.loss


def _listed(names: Iterable[str]) -> str:
    every = sorted(names)
    return ", ".join(every[:8]) + (f" and {len(every) - 8} more" if len(every) > 8 else "")
