"""What would a study take on this machine: hours by a probe of its speed instead of an assumed one, memory, disk?"""

from collections.abc import Callable

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from embudget.duration import duration
from embudget.errors import ConfigError, InfeasibleError
from embudget.frozen import Frozen
from embudget.memory import USABLE_SHARE, parse_bytes, state_bytes, training_bytes, ways_to_fit, written
from embudget.methods import parse_method
from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.spending.changes import hung
from embudget.spending.probe import probe
from embudget.study import Study, plan
from embudget.suite import find_shape
from embudget.training.job import lengths_of


class StudyOutlook(Frozen):
    """What a study takes.

    Example:
        >>> print(study_outlook(study, load_pairs(study.pairs)))
    """

    runs: PositiveInt
    left_out: NonNegativeInt = Field(description="runs that are not worth doing, or cannot be done")
    train_flops: NonNegativeFloat = Field(description="of all runs, those of one trunk spent once")
    training_seconds: NonNegativeFloat
    other_seconds: float | None = Field(description="of loading and measuring; None where the machine was not timed")
    memory_bytes: NonNegativeFloat = Field(description="of the run that takes most, estimated")
    memory_of: str
    disk_bytes: NonNegativeFloat = Field(description="of the checkpoint of the run that has the largest")
    speed: str = Field(description="where the seconds come from, in words")

    def __str__(self) -> str:
        """A few lines, for a person."""
        beside = "" if self.other_seconds is None else f", {duration(self.other_seconds)} to load and measure"
        total = duration(self.training_seconds + (self.other_seconds or 0.0))
        left = f", {self.left_out} left out: see `embudget sweep --dry-run`" if self.left_out else ""
        return "\n".join(map(hung, [
            f"{self.runs} run{'s' * (self.runs > 1)}, {self.train_flops:.3g} FLOP{left}",
            f"  time      {total} of one device: {duration(self.training_seconds)} to train{beside}",
            f"  speed     {self.speed}",
            f"  memory    {written(self.memory_bytes)} for {self.memory_of}, the most of all",
            f"  disk      {written(self.disk_bytes)} for a checkpoint, the largest of all",
        ]))  # fmt: skip


def study_outlook(
    study: Study,
    pairs: Pairs,
    *,
    device_memory: str | float | None = None,
    clock: bool = True,
    refresh: bool = False,
    progress: Callable[[str], None] = lambda model: None,
) -> StudyOutlook:
    """Size a study, and time this machine for it.

    Args:
        study: the grid.
        pairs: its text pairs.
        device_memory: of the device, as 24GB: a study with a run that does not fit is refused.
        clock: time this machine; else hours are by the study's assumed speed.
        refresh: time again what was timed before.
        progress: called with what is timed next.

    Raises:
        ConfigError: no run is worth doing.
        InfeasibleError: a run does not fit into the memory; it is named with what it needs.
        ModelError, MethodError, PairsError: as `embudget.plan`.
    """
    planned = plan(study, pairs)
    if not planned.runs:
        raise ConfigError(f"no run of the study is worth doing: {planned.left_out[0].reason}")
    memory = {run.config.id: _memory(run.config) for run in planned.runs}
    dear = max((run.config for run in planned.runs), key=lambda config: memory[config.id])
    if device_memory is not None and memory[dear.id] > USABLE_SHARE * parse_bytes(device_memory):
        raise InfeasibleError(
            f"device_memory must be at least {written(memory[dear.id] / USABLE_SHARE * 1.005)} for {dear.model} "
            f"{dear.method}, got {written(parse_bytes(device_memory))}: {_ways(dear, parse_bytes(device_memory))}"
        )
    training, other = planned.seconds, None
    speed = f"{study.flops_per_second:.2g} FLOP/s, assumed"
    if clock:
        configs = list({(run.config.model, run.config.method): run.config for run in planned.runs}.values())
        found = probe(configs, pairs, refresh=refresh, progress=progress)
        speeds, training, other = found.speeds, 0.0, 0.0
        for run in planned.runs:
            a_pair = lengths_of(run.config, pairs).tokens_per_pair
            training += run.own_flops * found.seconds_per_flop(run.config, a_pair, speeds)
            other += found.seconds_per_run(run.config, a_pair, speeds)
        speed = f"timed on {found.conditions}"
        if (error := speeds.error) is not None:
            speed += f", give or take {100 * error:.0f} % where a member was not timed"
    return StudyOutlook(
        runs=len(planned.runs), left_out=len(planned.left_out), train_flops=planned.train_flops,
        training_seconds=training, other_seconds=other, memory_bytes=memory[dear.id],
        memory_of=f"{dear.model} {dear.method}", speed=speed,
        disk_bytes=max(
            state_bytes(parse_method(run.config.method), find_shape(run.config.model)) for run in planned.runs
        ),
    )  # fmt: skip


def _ways(config: RunConfig, there: float) -> str:
    return ways_to_fit(
        parse_method(config.method), find_shape(config.model), config.batch_size, config.max_length,
        USABLE_SHARE * there, negatives=config.negatives, bf16=config.precision == "bf16",
    )  # fmt: skip


def _memory(config: RunConfig) -> float:
    return training_bytes(
        parse_method(config.method), find_shape(config.model), config.batch_size, config.max_length,
        negatives=config.negatives, bf16=config.precision == "bf16",
    )  # fmt: skip
