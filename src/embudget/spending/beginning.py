"""What does a spending begin from? What an earlier start of it has written down, or what the store holds already."""

from collections.abc import Callable
from pathlib import Path

from embudget.errors import ConfigError
from embudget.pairs import Pairs
from embudget.records import RunRecord
from embudget.spending.allocation import Allocation, Purchase
from embudget.spending.arms import Sources
from embudget.spending.on_devices import DevicesHere
from embudget.spending.rounds import Beginning, DecisionLog
from embudget.spending.starts import with_starts
from embudget.study import Store


def earlier_start(
    file: Path,
    allocation: Allocation,
    sources: Sources,
    store: Store,
    log: DecisionLog,
    pairs: Pairs,
    devices: DevicesHere,
    tell: Callable[[str, float], None],
) -> tuple[Beginning, Sources]:
    """What the decisions rest on: that of an earlier start, where there is one.

    Raises:
        ConfigError: the earlier start was for another budget or other runs.
    """
    arms = tuple(sources.templates.values())
    if not file.exists():
        if log.rounds:
            raise ConfigError(f"{file.parent} holds decisions and no {file.name}: name another folder")
        known = [record for record in store.records() if _is_known(record, allocation, sources)]
        allocation = with_final_speed(with_starts(allocation, sources, pairs, known, tell), sources, devices)
        start = Beginning(allocation=allocation, known=tuple(record.id for record in known), arms=arms)
        start.save(file)
        return start, sources
    start = Beginning.load(file)
    # speeds are measured anew by each start, with what follows from them, and the workers may be others
    free = {"arms", "workers", "final_speedup"} | ({"batch_sizes"} if allocation.unit == "seconds" else set())
    before, now = (one.model_dump(exclude=free) for one in (start.allocation, allocation))
    if other := [name for name in now if now[name] != before[name]]:
        raise ConfigError(
            f"{file.parent} holds another spending: its {other[0]} is {_shown(before[other[0]])}, now "
            f"{_shown(now[other[0]])}: name another folder"
        )
    earlier = Sources({(one.model, one.method): one for one in start.arms})
    if [one.model_copy(update={"precision": "float32"}) for one in arms] != [
        one.model_copy(update={"precision": "float32"}) for one in start.arms
    ]:
        raise ConfigError(f"{file.parent} holds a spending on other members, methods or pairs: name another folder")
    return start, earlier


def with_final_speed(allocation: Allocation, sources: Sources, devices: DevicesHere) -> Allocation:
    """How much faster all devices train the final run than one, where the budget is of time.

    It is timed for one arm, the middle one by size of those that the budget can train, since the search asks for all of
    them in every round. The final run that is chosen is timed by itself (`embudget.spending.sizing`).
    """
    if allocation.unit == "FLOP":
        return allocation
    batch = min(allocation.batch_sizes)
    able = [arm for arm in allocation.arms if allocation.paid(arm, allocation.budget) >= allocation.least(arm, batch)]
    by_size = sorted(able or allocation.arms, key=lambda one: one.model_params)
    typical = by_size[len(by_size) // 2]
    config = sources.templates[typical.model, typical.method].model_copy(update={"batch_size": batch})
    return allocation.model_copy(update={"final_speedup": devices.pace(config).speedup})


def _shown(value: object) -> str:
    """A value of the allocation, numbers as a user writes them: 4e+10 and not 40000000000.0."""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _is_known(record: RunRecord, allocation: Allocation, sources: Sources) -> bool:
    """Whether a run of the store is one that the budget could have bought."""
    setting = sources.setting(record.config)
    return (
        setting is not None
        and record.status != "failed"
        and setting.batch_size in allocation.batch_sizes
        and setting.negatives in allocation.negatives
        and any((one.model, one.method) == (setting.model, setting.method) for one in allocation.arms)
    )


def known_runs(start: Beginning, sources: Sources, store: Store) -> list[tuple[Purchase, RunRecord]]:
    """The runs that the store held before the first decision, as purchases that cost nothing.

    Raises:
        ConfigError: the store has them no more.
    """
    records = {record.id: record for record in store.records()}
    if gone := [run for run in start.known if run not in records]:
        raise ConfigError(f"{store.location} lacks the run {gone[0]}, by which was decided: put its store back")
    found = []
    for record in (records[run] for run in start.known):
        setting = sources.setting(record.config)
        assert setting is not None
        why = "it was in the store before"
        found.append((Purchase(setting=setting, train_flops=record.config.train_flops, cost=0.0, why=why), record))
    return found
