"""How fast does this machine train and measure? A few seconds of real steps, and what follows of them for all members.

A step costs about as much in every block, so that the first one or two blocks of a model tell of all of it: they are
what is timed, then whole members as long as the time lasts. They are trained by our own engine at the batch of the
runs, on random ids as long as the texts of the pairs, so that nothing has to be tokenised. What else takes hours is
timed beside them: loading a model, and embedding held-out pairs, in float32 as every measurement does.

`embudget.speed` is the rule for the members and methods that were not timed. What was timed is kept in `speeds/` of the
user's cache, by device, precision, threads, text length and versions, and only what is missing is timed again.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from pydantic import Field, PositiveFloat

from embudget.errors import EmbudgetError
from embudget.frozen import Frozen
from embudget.methods import kind_of, parse_method
from embudget.pairs import Pairs
from embudget.pairs.manifest import TokenStats
from embudget.records import MethodText, RunConfig
from embudget.speed import Speeds, Step, TimedStep
from embudget.spending.random_texts import RandomTexts
from embudget.spending.speed_cache import Conditions, Kept, conditions_of, keep, kept
from embudget.suite import find_shape
from embudget.suite.members import split_depth
from embudget.training.job import lengths_of

if TYPE_CHECKING:
    from embudget.pairs.token_cache import TokenCache

SECONDS = 20.0
"""Time that the probe may take; the first of its steps is taken whatever it takes."""
STEPS, STEP_SECONDS = 5, 2.0
"""Steps timed of a member, and the time after which two are enough."""
FIRST_BATCH, SMALLEST_BATCH = 8, 4
"""Pairs of the step that tells what the others take, and the fewest to which a batch is halved so that it fits."""
WITH_REST = 6
"""Steps that a timing takes as long as: one to warm up, two or more, loading and embedding."""
EMBEDDED = 32
"""Held-out pairs that are embedded for the clock."""
ALIKE = 1.5
"""Factor by which a step that was timed may have fewer tokens than another that it tells of."""


class Timing(Frozen):
    """What was timed of a member and method."""

    model: str
    method: MethodText
    tokens: PositiveFloat = Field(description="non-pad tokens of a step")
    seconds: PositiveFloat = Field(description="of a step, the median")
    loading: PositiveFloat = Field(description="seconds until the model is ready to train")
    embedding: PositiveFloat = Field(description="seconds for each token of a text that is measured, in float32")

    @property
    def timed(self) -> TimedStep:
        """The step, for the rule."""
        return TimedStep(Step(find_shape(self.model), parse_method(self.method), self.tokens), self.seconds)


class Probe(NamedTuple):
    """What is known of this machine's speed."""

    conditions: Conditions
    timings: tuple[Timing, ...]

    @property
    def speeds(self) -> Speeds:
        """The rule of all timings."""
        return Speeds([one.timed for one in self.timings])

    def seconds_per_flop(self, config: RunConfig, tokens_per_pair: float, speeds: Speeds | None = None) -> float:
        """Seconds that an algorithmic FLOP of a run takes, by the rule of all timings."""
        step = Step(find_shape(config.model), parse_method(config.method), config.batch_size * tokens_per_pair)
        return (speeds or self.speeds).seconds_per_flop(step)

    def seconds_per_run(self, config: RunConfig, tokens_per_pair: float, speeds: Speeds | None = None) -> float:
        """Seconds that a run takes beside its training: it is loaded, measured before it, and measured behind it.

        A process measures the start of a member once for all its runs, which is not counted on.
        """
        embedding = self._embedding(config, speeds or self.speeds)
        return self._loading(config) + 2 * embedding * config.eval_pairs * tokens_per_pair

    def _embedding(self, config: RunConfig, speeds: Speeds) -> float:
        """Embedding goes forward only: a share of the time of a full step, the same for all members of one width."""
        full = parse_method("full")

        def step_of(model: str, tokens: float) -> float:
            return speeds.step_seconds(Step(find_shape(model), full, tokens)) / tokens

        wide = find_shape(config.model).hidden
        alike = [one for one in self.timings if find_shape(one.model).hidden == wide] or list(self.timings)
        share = fmean(one.embedding / step_of(one.model, one.tokens) for one in alike)
        return share * step_of(config.model, fmean(one.tokens for one in alike))

    def _loading(self, config: RunConfig) -> float:
        """By the parameters, embeddings included, that the checkpoint holds; a line through what was timed."""

        def size(model: str) -> float:
            shape = find_shape(model)
            return float(shape.model_params + shape.embedding_params)

        if own := [one.loading for one in self.timings if one.model == config.model]:
            return median(own)
        sizes, seconds = np.array([size(one.model) for one in self.timings]), [one.loading for one in self.timings]
        per_param = float(np.median(np.array(seconds) / sizes))
        return max(min(seconds), per_param * size(config.model))


def probe(
    configs: Sequence[RunConfig],
    pairs: Pairs,
    *,
    refresh: bool = False,
    progress: Callable[[str], None] = lambda model: None,
) -> Probe:
    """Time a few members and methods here, or look up what was timed before.

    Args:
        configs: a run of each member and method, with the batch, the length and the precision that runs will have.
        pairs: their text pairs, for the lengths and for the held-out ones.
        refresh: time again what was timed before.
        progress: called with what is timed next.

    Raises:
        ModelError: no member can be loaded.
        PairsError: the pairs cannot be read.

    Example:
        >>> speeds = probe(study.configs(pairs), pairs).speeds
    """
    assert configs, "a probe is of some runs"
    conditions = conditions_of(configs[0])
    known = [] if refresh else known_timings(conditions)
    lengths = lengths_of(configs[0], pairs)
    import embudget.training.loop  # noqa: F401 - before the clock runs: the libraries take seconds to load

    ended, trouble = time.perf_counter() + SECONDS, None
    asked = [] if refresh or not known else kept(conditions).asked
    targets = [config for config in wanted(configs) if _key(config) not in asked]
    new = [_key(config) for config in targets]
    if not known:  # a small batch first, which tells what can be afforded
        targets.insert(0, targets[0].model_copy(update={"batch_size": min(FIRST_BATCH, targets[0].batch_size)}))
    for config in targets:
        batch = config.batch_size
        if known:
            speeds = Speeds([one.timed for one in known])
            batch = _affordable(config, lengths.tokens_per_pair, speeds, ended - time.perf_counter())
        if not batch or any(_tells(one, config, batch * lengths.tokens_per_pair) for one in known):
            continue
        progress(f"{config.model} {config.method}")
        try:
            known.append(timing(config.model_copy(update={"batch_size": batch}), pairs, lengths))
        except EmbudgetError as error:  # as of a model that lacks its weights; another may tell
            trouble = error
    if not known:
        assert trouble is not None
        raise trouble
    if new:
        keep(conditions, Kept([one.model_dump(mode="json") for one in known], asked + new))
    return Probe(conditions, tuple(known))


def known_timings(conditions: Conditions) -> list[Timing]:
    """What was timed before under these conditions, as far as it can still be read and its members are still there."""
    found = []
    for one in kept(conditions).timings:
        with suppress(ValueError, EmbudgetError):  # written by another version, or of a folder that was moved
            timing_before = Timing.model_validate(one)
            find_shape(timing_before.model)
            found.append(timing_before)
    return found


def wanted(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """What to time, the most telling first: two blocks of each width, the kinds of method there, then whole members."""
    bases: dict[str, RunConfig] = {}
    for config in configs:
        bases.setdefault(split_depth(config.model)[0], config)
    by_width = sorted(bases, key=lambda base: find_shape(base).block_params)
    spread = list(dict.fromkeys([by_width[0], by_width[-1], by_width[len(by_width) // 2], *by_width]))
    first: dict[str, str] = {}
    for config in configs:
        first.setdefault(kind_of(config.method), config.method)
    main, *others = first.values()

    def cut(base: str, depth: int, method: str) -> RunConfig:
        shape = find_shape(base)
        name = f"{base}:{depth}" if depth < shape.layers else shape.name
        return bases[base].model_copy(update={"model": name, "method": method})

    found = [cut(base, 2, main) for base in spread]
    found += [cut(spread[0], 2, method) for method in others]
    found += [cut(base, 1, main) for base in spread]
    found += [cut(base, 2, method) for base in spread[1:] for method in others]
    whole = sorted(configs, key=lambda config: find_shape(config.model).model_params)
    found += [config for config in whole if config.method == main]
    once: dict[tuple[str, str], RunConfig] = {}
    for config in found:
        once.setdefault((config.model, config.method), config)
    return list(once.values())


def timing(config: RunConfig, pairs: Pairs, lengths: TokenStats) -> Timing:
    """Time a run's loading, its steps and the embedding of held-out texts.

    Raises:
        ModelError: the model cannot be loaded.
    """
    import torch

    from embudget.training.device import in_float32
    from embudget.training.heldout import embed
    from embudget.training.job import Job
    from embudget.training.loop import Training
    from embudget.training.yardstick import held_out_pairs

    def finish() -> None:
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()

    method, shape = parse_method(config.method), find_shape(config.model)
    method.check(shape)
    texts = cast("TokenCache", RandomTexts(shape.vocab, lengths, config.max_length))
    job = Job.of(config, pairs)
    started = time.perf_counter()
    training = Training(Job(config, method, shape, pairs, texts, job.resources))
    loading = time.perf_counter() - started
    training.step(1e-3)  # the first one loads kernels
    finish()
    taken: list[float] = []
    while len(taken) < STEPS and not (len(taken) >= 2 and sum(taken) > STEP_SECONDS):
        started = time.perf_counter()
        training.step(1e-3)
        finish()
        taken.append(time.perf_counter() - started)
    drawn = held_out_pairs(pairs, min(EMBEDDED, config.eval_pairs), config.yardstick)
    said = [pair.query for pair in drawn] + [pair.positive for pair in drawn]
    with in_float32(training.model):
        embed(training.model, said[:4])
        started = time.perf_counter()
        embed(training.model, said)
        finish()
        embedding = time.perf_counter() - started
    tokens = training.meter.tokens / training.meter.steps
    return Timing(
        model=config.model, method=config.method, tokens=tokens, seconds=median(taken), loading=loading,
        embedding=embedding / (len(drawn) * lengths.tokens_per_pair),
    )  # fmt: skip


def _key(config: RunConfig) -> str:
    return f"{config.model} {config.method} {config.batch_size}"


def _tells(one: Timing, config: RunConfig, tokens: float) -> bool:
    """Whether a timing is of a member and method, with about so many tokens a step or more."""
    return (one.model, one.method) == (config.model, config.method) and ALIKE * one.tokens >= tokens


def _affordable(config: RunConfig, tokens_per_pair: float, speeds: Speeds, seconds: float) -> int:
    """The largest batch, the run's or a half, a quarter, ... of it, that the time left allows to be timed; else 0."""
    shape, method, batch = find_shape(config.model), parse_method(config.method), config.batch_size
    while batch >= min(SMALLEST_BATCH, config.batch_size):
        if WITH_REST * speeds.step_seconds(Step(shape, method, batch * tokens_per_pair)) < seconds:
            return batch
        batch //= 2
    return 0
