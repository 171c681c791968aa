"""Plans: the runs of a study and those it leaves out, with tokens, steps, FLOP and time, before anything is trained."""

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from embudget.errors import ConfigError, ModelError
from embudget.flops import attention_share, steps_for, tokens_for
from embudget.pairs import Pairs, as_pairs
from embudget.pairs.token_batch import check_negatives
from embudget.pairs.tokens import check_prompts
from embudget.records import RunConfig, RunRecord
from embudget.records.config import Precision
from embudget.study.grid import GridRun
from embudget.study.spec import Study
from embudget.study.trunks import own_flops, own_flops_of
from embudget.suite import ModelShape
from embudget.training.job import lengths_of, pairs_there, sizes_problem
from embudget.training.precision import study_precision
from embudget.training.yardstick import check_yardstick, counts_for


class PlannedRun(NamedTuple):
    """One run of the grid and its size."""

    config: RunConfig
    tokens: float
    steps: float
    pairs: float
    """Pairs that it sees, repeated ones included."""
    own_flops: float
    """FLOP that it adds to the plan: all of its own, without those that a cheaper run of its trunk spends."""
    seconds: float
    """Estimate of the time that these take, training alone."""
    attention: float = 0.0
    """What attention adds to its FLOP, as a share of them: see `embudget.flops.attention_share`."""


class LeftOut(NamedTuple):
    """One run of the grid that is not worth doing or cannot be done, and why."""

    config: RunConfig
    reason: str
    kind: Literal["steps", "pairs", "model"] = "model"
    """What is too few, or that the model cannot be trained so."""


class Plan(NamedTuple):
    """The runs of a study that are worth doing, and those that are left out."""

    runs: list[PlannedRun]
    left_out: list[LeftOut]
    refused: dict[str, str]
    """The members that cannot be trained, by name, and why; none of their runs is planned."""

    @property
    def train_flops(self) -> float:
        """Algorithmic FLOP that the runs cost: what runs of one trunk share is spent once."""
        return sum(run.own_flops for run in self.runs)

    @property
    def separate_flops(self) -> float:
        """Algorithmic FLOP that the same runs would cost one by one."""
        return sum(run.config.train_flops for run in self.runs)

    @property
    def seconds(self) -> float:
        """Estimate for all runs, training alone."""
        return sum(run.seconds for run in self.runs)

    def without(self, done: Collection[str]) -> "Plan":
        """The plan of the runs that are left when those with these ids are done."""
        left = [run for run in self.runs if run.config.id not in done]
        own = own_flops_of(run.config for run in left)
        adding = [(run, own[run.config.id]) for run in left]
        runs = [run._replace(own_flops=flops, seconds=run.seconds * flops / run.own_flops) for run, flops in adding]
        return Plan(runs, self.left_out, self.refused)

    def add(
        self, run: GridRun, tokens_per_pair: float, attention_length: float, pairs_there: float, speed: float
    ) -> None:
        """Size a run of the grid, and plan it, or leave it out as not worth doing.

        Args:
            run: the run.
            tokens_per_pair: of its texts, all of a pair together.
            attention_length: the length of the text in which the mean token stands.
            pairs_there: the most pairs that it can see.
            speed: algorithmic FLOP/s.
        """
        config, method, shape, min_steps = run
        flops = config.train_flops
        tokens = tokens_for(flops, method, shape)
        steps = steps_for(flops, method, shape, tokens_per_pair, config.batch_size)
        needed = tokens / tokens_per_pair
        if steps < min_steps:
            self.left_out.append(LeftOut(config, f"{steps:.1f} steps, fewer than min_steps={min_steps}", "steps"))
        elif needed > pairs_there:
            said = f"needs {needed:,.0f} pairs, more than the {pairs_there:,.0f} there are"
            self.left_out.append(LeftOut(config, said, "pairs"))
        else:
            share = attention_share(method, shape, [attention_length])
            self.runs.append(PlannedRun(config, tokens, steps, needed, flops, flops / speed, share))

    def flops_by_trunks(self, decay: float) -> float:
        """Algorithmic FLOP that the study would cost with trunks, if each had one batch size for all its budgets."""
        trunks = defaultdict(set)
        for run in self.runs:
            trunk = run.config.model_copy(update={"train_flops": 1.0, "warmup": 0.0, "batch_size": 2})
            trunks[trunk].add(run.config.train_flops)
        return sum(sum(own_flops(sorted(budgets), decay)) for budgets in trunks.values())


def settled(study: Study, pairs: Pairs, measured: Sequence[RunRecord] = ()) -> Study:
    """Settle in which numbers the study's runs multiply on this machine, where it leaves that open.

    Args:
        study: the grid.
        pairs: its text pairs.
        measured: records of the store: a study that has runs there goes on with the precision of these.

    Raises:
        ModelError: a member is unknown.
    """
    if study.precision in ("float32", "bf16") and not any(grid.get("precision") == "auto" for grid in study.also):
        return study
    ids = {record.id for record in measured}
    there = [
        precision
        for precision in get_args(Precision)
        if ids and any(config.id in ids for config in in_precision(study, precision).configs(pairs))
    ]
    shapes = [member.shape for grid in study.grids() for member in grid.find_members()[0]]
    return in_precision(study, study_precision(study.precision, shapes, there)) if shapes else study


def in_precision(study: Study, precision: Precision) -> Study:
    """The study in this precision, where it leaves that open; grids that name one themselves keep it."""
    open_ones = ("auto", None)
    also = [grid | {"precision": precision} if grid.get("precision", "") in open_ones else grid for grid in study.also]
    own = precision if study.precision in open_ones else study.precision
    return study.model_copy(update={"precision": own, "also": tuple(also)})


def plan(study: Study, pairs: Pairs | str | Path, measured: Sequence[RunRecord] = ()) -> Plan:
    """Size every run of the grid.

    Args:
        study: the grid.
        pairs: the study's text pairs, or their folder.
        measured: records of earlier runs; their median speed replaces the study's assumed one.

    Raises:
        PairsError: there are fewer validation pairs than the study measures on, or nothing in them to tell apart.
        ModelError, MethodError: a member is unknown, none of them can be trained, or a method does not fit one.

    Example:
        >>> study = eb.Study.from_yaml("study.yaml")
        >>> hours = eb.plan(study, study.pairs).seconds / 3600
    """
    pairs = as_pairs(pairs)
    study = settled(study, pairs, measured)
    for grid in study.grids():
        check_yardstick(pairs, *counts_for(pairs, grid.eval_pairs, grid.eval_candidates), grid.yardstick)
        check_negatives(pairs, max(grid.negatives))
    result = Plan([], [], study.refused())
    speed = flops_per_second(measured) or study.flops_per_second
    runs = [run for run in study.runs(pairs) if run.config.model not in result.refused]
    if not runs:
        first, *others = result.refused.values()
        raise ModelError(first + (f" (and {len(others)} more members that cannot be trained)" if others else ""))
    for run in runs:
        if reason := _unfit(run.config, run.shape):
            result.left_out.append(LeftOut(run.config, reason))
            continue
        lengths = lengths_of(run.config, pairs)
        result.add(run, lengths.tokens_per_pair, lengths.attention_length, pairs_there(run.config, pairs), speed)
    return result.without(())


def plan_on_paper(study: Study, speed: float) -> Plan:
    """Size every run of the grid by shapes alone, without its pairs and weights, which may not be there yet.

    The runs' ids are not those of real runs, since what the pairs and the weights are is a part of these. Matrices are
    multiplied in bf16, as devices of the table do, unless the study says otherwise.

    Args:
        study: the grid, with ``assumed_pairs``.
        speed: algorithmic FLOP/s of a device.

    Raises:
        ConfigError: the study does not say what to take its pairs to be.
        ModelError, MethodError: a member is unknown, or a method does not fit one.
    """
    assumed = study.assumed_pairs
    if assumed is None:
        raise ConfigError(
            f"pairs folder {study.pairs} does not exist: build it, or have the study say what to take it to be, as in "
            "assumed_pairs: {query_tokens: 14, positive_tokens: 64, training_pairs: 1e8}"
        )
    result = Plan([], [], {})
    for run in in_precision(study, "bf16").runs("assumed", identified=False):
        config = run.config
        if reason := _too_long(config, run.shape) or sizes_problem(config, run.shape):
            result.left_out.append(LeftOut(config, reason))
            continue
        pairs, negatives = assumed.training_pairs, config.negatives
        there = math.inf if pairs is None else config.max_epochs * (pairs // config.batch_size) * config.batch_size
        result.add(run, assumed.tokens_per_pair(negatives), assumed.attention_length(negatives), there, speed)
    return result.without(())


def _unfit(config: RunConfig, shape: ModelShape) -> str | None:
    """Why the model of a run cannot be trained as it says; None where it can."""
    if reason := _too_long(config, shape):
        return reason
    try:
        prompts = config.query_prompt, config.document_prompt
        check_prompts(config.model, config.max_length, prompts, config.end_token)
    except ConfigError as error:
        return str(error)
    return sizes_problem(config, shape)


def _too_long(config: RunConfig, shape: ModelShape) -> str | None:
    if config.max_length <= shape.max_length:
        return None
    return f"max_length must be <= {shape.max_length} for this model, got {config.max_length}"


def flops_per_second(records: Sequence[RunRecord]) -> float | None:
    """Median algorithmic FLOP/s of finished runs; None without any."""
    speeds = sorted(r.train_flops / r.seconds for r in records if r.train_flops is not None and r.seconds is not None)
    return speeds[len(speeds) // 2] if speeds else None
