"""What would a study take on devices that are not here: how many of them for how long, money, memory, disk?

Everything follows from the sizes of models, methods and pairs. Seconds are algorithmic FLOP by a device's peak and the
share of it that training reaches, which is an assumption until it is measured; loading models and measuring held-out
losses is not in them. Tasks are handed out as a sweep does, the longest first, those of one trunk to one device.
"""

from collections import Counter, defaultdict

from embudget.errors import ConfigError, InfeasibleError
from embudget.flops import DEFAULT_MFU, find_device
from embudget.limits import MOST_FLOPS
from embudget.means import MOST_DEVICES
from embudget.memory import USABLE_SHARE, parse_bytes, state_bytes, training_bytes, written
from embudget.methods import parse_method
from embudget.number import read_number
from embudget.pairs import load_pairs
from embudget.records import RunConfig
from embudget.spending.paper_outlook import PaperOutlook, TooLarge
from embudget.study import Plan, Study, plan
from embudget.study.longest_first import most_at_once, spans_of
from embudget.study.planning import PlannedRun, in_precision, plan_on_paper
from embudget.study.trunks import tasks
from embudget.suite import find_shape

RECORD_BYTES = 20_000
"""Bytes of a record in a store: assumption: as much as in `results/starts`, where losses are kept by group."""
WEIGHT_BYTES = 4
"""Bytes of a parameter on disk; assumption: float32. Checkpoints on the hub are often half as large."""
CHECKPOINTS_KEPT = 2
"""Checkpoints that a run in training keeps: the newest, and the one before."""
_SHARDS = (2, 4, 8, 16, 32, 64)


def paper_outlook(
    study: Study,
    device: str,
    *,
    count: int = 1,
    mfu: float | None = None,
    dollars_per_hour: float | None = None,
    device_memory: str | float | None = None,
) -> PaperOutlook:
    """Size a study for devices that are not here.

    Args:
        study: the grid. Its pairs are measured where their folder is there; else its ``assumed_pairs`` count.
        device: a name in `embudget.flops.DEVICES`.
        count: devices that train at the same time, a task each.
        mfu: share of the device's peak that training reaches; 0.4 by default.
        dollars_per_hour: price of one device, instead of the table's.
        device_memory: of one device, as 40GB, instead of the table's.

    Raises:
        BudgetError: the device is not in the table.
        ConfigError: a number is out of range, the pairs are neither there nor assumed, or no run is worth doing, or
            none fits.
        ModelError, MethodError, PairsError: as `embudget.plan`.
    """
    kind = find_device(device)
    devices = read_number(count, "count", least=1, most=MOST_DEVICES)
    if devices != int(devices):
        raise ConfigError(f"count must be a whole number, got {count:g}")
    reached = read_number(DEFAULT_MFU if mfu is None else mfu, "mfu", above=0, most=1)
    price = kind.dollars_per_hour
    if dollars_per_hour is not None:
        price = read_number(dollars_per_hour, "dollars_per_hour", above=0, most=MOST_FLOPS)
    memory = kind.memory_bytes if device_memory is None else parse_bytes(device_memory)
    sized, there = _sized(study, kind.peak_flops * reached)
    planned, too_large = _fitting(sized, memory)
    by_id = {run.config.id: run for run in planned.runs}
    groups = tasks(run.config for run in planned.runs)
    seconds = [sum(by_id[config.id].seconds for config in group) for group in groups]
    spans = spans_of(seconds, int(devices))
    kept = [CHECKPOINTS_KEPT * max(map(_state_bytes, group)) for group in groups]
    longest = max(range(len(groups)), key=seconds.__getitem__)
    hungry = max(planned.runs, key=lambda run: run.pairs)
    dear = max((run.config for run in planned.runs), key=_memory)
    shapes = [find_shape(model) for model in {run.config.model for run in planned.runs}]
    left = Counter(one.kind for one in sized.left_out)
    return PaperOutlook(
        runs=len(planned.runs), too_short=left["steps"], too_few_pairs=left["pairs"], unfit=left["model"],
        train_flops=planned.train_flops, trunk_flops=planned.flops_by_trunks(study.decay),
        tokens=sum(run.tokens for run in planned.runs), pairs_needed=hungry.pairs, pairs_of=_name(hungry.config),
        refused=sized.refused, training_pairs=there, tokens_per_pair=hungry.tokens / hungry.pairs,
        assumed=not _there(study), device=device.lower(), count=int(devices), mfu=reached,
        device_seconds=sum(seconds), makespan_seconds=max(span.end for span in spans),
        longest_seconds=seconds[longest], longest_of=_name(groups[longest][-1]), dollars_per_hour=price,
        memory_bytes=_memory(dear), memory_of=f"{dear.model} {dear.method}", device_memory=memory, too_large=too_large,
        checkpoint_bytes=most_at_once(spans, kept), record_bytes=RECORD_BYTES * len(planned.runs),
        model_bytes=WEIGHT_BYTES * sum(shape.model_params + shape.embedding_params for shape in shapes),
        token_bytes=max(map(_token_bytes, planned.runs)),
    )  # fmt: skip


def _sized(study: Study, speed: float) -> tuple[Plan, float | None]:
    """The plan of the study at a speed in FLOP/s, and how many training pairs there are; None if nobody says."""
    there: float | None
    if _there(study):
        pairs = load_pairs(study.pairs)
        found = plan(in_precision(study, "bf16").model_copy(update={"flops_per_second": speed}), pairs)
        there = float(pairs.rows("train"))
    else:
        found = plan_on_paper(study, speed)
        there = None if study.assumed_pairs is None else study.assumed_pairs.training_pairs
    if not found.runs:
        raise ConfigError(f"no run of the study is worth doing: {found.left_out[0].reason}")
    return found, there


def _there(study: Study) -> bool:
    """Whether the pairs are to be measured: those at a URL are fetched, whose trouble is told."""
    return isinstance(study.pairs, str) or study.pairs.exists()


def _fitting(sized: Plan, memory: float) -> tuple[Plan, tuple[TooLarge, ...]]:
    """The plan of the runs that fit into a device's memory, and the others by member and method."""
    others = defaultdict(list)
    for run in sized.runs:
        if _memory(run.config) > USABLE_SHARE * memory:
            others[run.config.model, run.config.method].append(run.config)
    too_large = tuple(
        TooLarge(
            model=model, method=method, runs=len(configs), memory_bytes=max(map(_memory, configs)),
            instead=_instead(max(configs, key=_memory), USABLE_SHARE * memory),
        )
        for (model, method), configs in others.items()
    )  # fmt: skip
    if sum(one.runs for one in too_large) == len(sized.runs):
        least = min(too_large, key=lambda one: one.memory_bytes)
        raise InfeasibleError(
            f"device_memory must be at least {written(least.memory_bytes / USABLE_SHARE * 1.005)} for {least.model} "
            f"{least.method}, the smallest of all, got {written(memory)}"
        )
    return sized.without({config.id for configs in others.values() for config in configs}), too_large


def _instead(config: RunConfig, usable: float) -> str:
    """What makes a run fit that does not: the cheapest change to it."""
    if config.precision != "bf16" and _memory(config.model_copy(update={"precision": "bf16"})) <= usable:
        return "precision: bf16 fits"
    for devices in _SHARDS:
        if _memory(config, devices) <= usable:
            return f"fits {devices} devices: embudget train --devices {devices} --shard"
    return f"does not fit {_SHARDS[-1]} devices either: take a smaller member or batch"


def _memory(config: RunConfig, shards: int = 1) -> float:
    """Bytes that a run takes on each of the devices over which its blocks are cut."""
    return training_bytes(
        parse_method(config.method), find_shape(config.model), config.batch_size, config.max_length,
        negatives=config.negatives, bf16=config.precision == "bf16", shards=shards,
    )  # fmt: skip


def _state_bytes(config: RunConfig) -> float:
    return state_bytes(parse_method(config.method), find_shape(config.model))


def _token_bytes(run: PlannedRun) -> float:
    """Size of the cache of tokens, which holds each pair once: ids, and 12 bytes of offset and hash for each text."""
    each = 2 if find_shape(run.config.model).vocab <= 2**16 else 4
    return (run.tokens * each + run.pairs * (2 + run.config.negatives) * 12) / run.config.max_epochs


def _name(config: RunConfig) -> str:
    return f"{config.model} {config.method} at {config.train_flops:.3g} FLOP"
