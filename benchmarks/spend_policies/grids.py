"""What do people do who measure a small grid first? The paper's grid and lines, and carrying the best cell forward."""

from collections.abc import Sequence
from itertools import product
from math import exp

from benchmarks import carry_forward, paper_procedure
from benchmarks.spend_policies.scripts import Script, Wanted, nearest_arm, setting_of, spread
from embudget.methods import kind_of
from embudget.records import RunConfig, RunRecord
from embudget.spending.allocation import DECAY, Allocation, Arm, Measurement, Setting
from embudget.suite import ModelShape, find_shape

STEP = 4.0
"""A budget of the paper's grid, times the one before."""
USUAL = ("full", "lora:32", "freeze:0.5", "bias")
KINDS = ("full", "lora", "freeze", "bias")
RATES = (exp(-0.8), 1.0, exp(0.8))


def paper(allocation: Allocation, share: float = 0.5) -> Script:
    """The paper's grid at default rates on half the budget, then its lines; one a lineage, the lower one counts."""
    wanted = _first_grid(allocation, share, (1.0,), (3, 2))
    measured = yield wanted
    best: list[tuple[float, Setting]] = []
    for lineage in dict.fromkeys(arm.lineage for arm in allocation.arms):
        arms = [arm for arm in allocation.arms if arm.lineage == lineage]
        records = records_of(measured, arms)
        try:
            model, method = paper_procedure.choose(records, allocation.budget, _members(arms))
        except ValueError:  # no method has two budgets
            continue
        arm = _arm(arms, model, method)
        loss = paper_procedure.expected_loss(records, method, allocation.budget)
        best.append((loss, setting_of(allocation, arm)))
    return min(best, key=lambda one: one[0])[1] if best else _lowest(allocation, measured)


def carry(allocation: Allocation, multiples: Sequence[float] = (1.0,), share: float = 0.25) -> Script:
    """A grid of members and methods at one budget, at these multiples of the default rates; then N ~ C^0.25."""
    wanted = _first_grid(allocation, share, multiples, (1,))
    measured = yield wanted
    arms = [allocation.arm(one.purchase.setting) for one in measured if one.loss is not None]
    if not arms:
        return _lowest(allocation, measured)
    losses = {one.purchase.setting: one.loss for one in measured if one.loss is not None}
    lineage = allocation.arm(min(losses, key=losses.__getitem__)).lineage
    arms = [arm for arm in allocation.arms if arm.lineage == lineage]
    records = records_of(measured, arms)
    carried = carry_forward.choose(records, allocation.budget, _members(arms))
    arm = _arm(arms, carried.model, carried.method)
    first = next(one for one in losses if one.learning_rate == carried.learning_rate)
    multiple = carried.learning_rate / allocation.arm(first).default_rate
    return setting_of(allocation, arm, multiple)


def _first_grid(allocation: Allocation, share: float, multiples: Sequence[float], budgets: Sequence[int]) -> Wanted:
    """The richest grid that this share of the budget pays for; empty where it pays for none."""
    every = len(_methods(allocation))
    for count, (members, methods) in product(budgets, ((5, every), (4, every), (3, every), (3, 2), (2, every), (2, 2))):
        if wanted := _grid(allocation, share, multiples, count, members, methods):
            return wanted
    smaller = ((3, 1), (2, 1), (1, 2), (1, 1))
    tried = (_grid(allocation, share, multiples, budgets[-1], *one) for one in smaller)
    return next((wanted for wanted in tried if wanted), [])


def _grid(
    allocation: Allocation, share: float, multiples: Sequence[float], budgets: int, members: int, methods: int
) -> Wanted:
    """A grid that costs this share of the budget; empty where its shortest runs would teach nothing.

    Its members are spread from the smallest to the largest for which even the shortest run takes the fewest useful
    steps.
    """
    levels = [STEP**-k for k in range(budgets - 1, -1, -1)]
    arms = [arm for arm in allocation.arms if arm.method in _methods(allocation)[:methods]]
    sizes, batch = sorted({arm.model_params for arm in arms}), allocation.batch_sizes[0]
    for largest in range(len(sizes), members - 1, -1):
        kept = spread(sizes[:largest], members)
        settings = [
            setting_of(allocation, arm, multiple)
            for arm, multiple in product(arms, multiples)
            if arm.model_params in kept
        ]
        top = share * allocation.budget / (sum(_prices(levels)) * len(settings))
        if all(allocation.least(arm, batch) <= levels[0] * top for arm in arms if arm.model_params in kept):
            return [(setting, level * top) for level in levels for setting in settings]
    return []


def _prices(levels: Sequence[float]) -> list[float]:
    """What a trunk costs at each level, the ones before being bought."""
    return [level - ((1 - DECAY) * levels[place - 1] if place else 0.0) for place, level in enumerate(levels)]


def _methods(allocation: Allocation) -> list[str]:
    """One method of each kind, the more usual first: full, lora:32, freeze:0.5 and bias, or others of their kind."""
    every = list(dict.fromkeys(arm.method for arm in allocation.arms))
    found: dict[str, str] = {}
    for method in (*(usual for usual in USUAL if usual in every), *every):
        found.setdefault(kind_of(method), method)
    return sorted(found.values(), key=lambda method: KINDS.index(kind_of(method)))


def records_of(measured: Sequence[Measurement], arms: Sequence[Arm]) -> list[RunRecord]:
    """The measurements of some arms, as records of a study."""
    known = {(arm.model, arm.method): arm for arm in arms}
    records = []
    for one in measured:
        setting = one.purchase.setting
        arm = known.get((setting.model, setting.method))
        if arm is not None and one.loss is not None:
            config = RunConfig(
                model=setting.model, method=setting.method, train_flops=one.purchase.train_flops, pairs="simulated",
                batch_size=setting.batch_size, learning_rate=setting.learning_rate, seed=setting.seed,
            )  # fmt: skip
            records.append(
                RunRecord(config=config, status="done", model_params=arm.model_params, loss=one.loss, steps=1, tokens=1)
            )
    return records


def _members(arms: Sequence[Arm]) -> list[ModelShape]:
    shapes = {arm.model: find_shape(arm.model) for arm in arms}
    return sorted(shapes.values(), key=lambda shape: shape.model_params)


def _arm(arms: Sequence[Arm], model: str, method: str) -> Arm:
    """The arm of a method whose size is nearest to that of a member."""
    return nearest_arm([arm for arm in arms if arm.method == method], find_shape(model).model_params)


def _lowest(allocation: Allocation, measured: Sequence[Measurement]) -> Setting:
    """The setting with the lowest loss; the cheapest arm at its default rate where there is none."""
    losses = {one.purchase.setting: one.loss for one in measured if one.loss is not None}
    if losses:
        return min(losses, key=losses.__getitem__)
    return setting_of(allocation, min(allocation.arms, key=lambda arm: arm.flops_per_token))
