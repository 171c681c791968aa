"""What a budget allows: each candidate with its tokens, steps and batch size, or the first limit that it breaks.

Serving T tokens later costs 2N FLOP for each, which the budget pays too, so that C - 2NT is left to train with. Each
method is considered on sizes near those that it was measured on, n_1 to n_2:

    at a measured budget, or between two        n_1     to  n_2
    at f times the largest measured budget      n_1     to  f n_2
    at 1/f of the smallest                      n_1 / f to  n_2

The best size grows with the budget, and not faster than it, which would mean less data for more compute. A prediction
that says otherwise is an artefact of a badly determined exponent: in simulated studies sizes below n_1 were the worst
choices of all.

What a budget buys beyond the pairs that there are, the user's or else the study's, is repeated: its loss is that of
`embudget.laws.repetition`. Of the study's pairs a choice makes as many passes as it can pay, or as ``max_epochs``
allows, and leaves the rest of the budget over; of the user's it breaks a limit if it needs more than are allowed.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from embudget.choices import Candidate, Choices, candidates_of, members_for
from embudget.laws import Laws, Surface
from embudget.laws.on_pairs import OnPairs
from embudget.memory import USABLE_SHARE, training_bytes, written
from embudget.recipe.clock import Clock
from embudget.recipe.hyperparameters import Practice
from embudget.recipe.wishes import Limits, Wishes, limits_of
from embudget.suite import ModelShape, known_shape

MAX_EXTRAPOLATION = 1e6
"""Budgets further outside the measured ones than this factor are refused, unless forced."""


class Option(NamedTuple):
    """A candidate at a budget, within all limits."""

    candidate: Candidate
    train_flops: float
    """What serving leaves of the budget."""
    serve_flops: float
    tokens: float
    batch_size: int
    steps: int
    pairs: int
    """Seen, repetitions included."""

    def passes_over(self, pairs: int | None) -> int:
        """Passes over so many pairs, of which each has whole batches; 1 where their number is not known."""
        whole = 0 if pairs is None else pairs // self.batch_size * self.batch_size
        return ceil(self.pairs / whole) if whole else 1


class Broken(NamedTuple):
    """A limit that a candidate does not keep to at a budget."""

    candidate: Candidate
    limit: str
    """The same text for all candidates that break it, so that they can be counted; with what the user can do."""
    reason: str


class Question(NamedTuple):
    """All that a recipe depends on but the budget."""

    laws: Laws
    suite: str | None
    """As the user gave it."""
    candidates: tuple[Candidate, ...]
    limits: Limits
    practice: Practice
    pairs: int | None
    """Training pairs that there are, each counted once: those wished for, or else the study's; None: not known."""
    unmeasured: tuple[str, ...] = ()
    """Lineages of members of the suite of which no run was measured, so that they are not considered."""
    clock: Clock | None = None
    """Where the budget is hours: the speeds by which each candidate gets its FLOP."""

    @classmethod
    def of(
        cls, laws: Laws, wishes: Wishes, suite: str | None = None, members: Sequence[ModelShape] | None = None,
        clock: Clock | None = None,
    ) -> Self:  # fmt: skip
        """Check the wishes and find the members, unless they are given.

        Raises:
            ModelError: the suite is unknown, or a measured model is not there any more.
            ConfigError: a wish breaks its rule, the suite is not given where a measured model is no known member, or
                the laws are of several lineages, of which one must be chosen: `Laws.of`.
        """
        laws = laws.of(None)
        practice = Practice.of(laws)
        limits = limits_of(wishes)
        shapes = members_for(laws.table.models, suite) if members is None else members
        shapes, unmeasured = of_measured_start(laws, shapes)
        pairs = limits.pairs_available or laws.table.known_pairs
        return cls(laws, suite, candidates_of(shapes, laws.methods), limits, practice, pairs, unmeasured, clock)

    @property
    def law(self) -> Surface | OnPairs:
        """What predicts losses on these pairs."""
        return self.laws.on(None if self.pairs is None else self.pairs * self.practice.tokens_per_pair)

    def due(self, candidate: Candidate, budget: float) -> float:
        """The FLOP that a candidate gets for a budget: as many more than others as it is faster, where that is hours.

        Args:
            candidate: a member with a method.
            budget: FLOP; where it is hours, those that the clock's median run gets out of them.
        """
        if self.clock is None or candidate.refusal is not None:
            return budget
        return budget * self.clock.pace(candidate, self._tokens_per_step(candidate, budget))

    def seconds(self, candidate: Candidate, train_flops: float) -> float | None:
        """How long a candidate trains with so many FLOP; None where the budget is not hours."""
        if self.clock is None:
            return None
        return train_flops * self.clock.seconds_per_flop(candidate, self._tokens_per_step(candidate, train_flops))

    def told(self, budget: float) -> str:
        """A budget in words: hours where it was given as such."""
        return f"{budget:.3g} FLOP" if self.clock is None else f"{self.clock.hours(budget):.3g} hours"

    def _tokens_per_step(self, candidate: Candidate, flops: float) -> float:
        practice = self.practice
        return practice.batch_size(flops) * practice.tokens_a_pair(candidate.method, candidate.model_params, flops)

    def option(self, candidate: Candidate, budget: float) -> Option | Broken:
        """What a candidate does with a budget in FLOP, or the first limit that it does not keep to."""
        serve_flops = 2.0 * candidate.model_params * self.limits.serve_tokens
        if (broken := unsuitable(candidate, self.limits)) is not None:
            return broken
        if (train_flops := budget - serve_flops) <= 0:
            served = f"serving {self.limits.serve_tokens:.3g} tokens"
            reason = f"{served} takes {serve_flops:.3g} FLOP, which leaves none to train with"
            return Broken(candidate, f"{served} leaves nothing of the budget", reason)
        tokens, batch = train_flops / candidate.flops_per_token, self.practice.batch_size(train_flops)
        if (most := self._most_tokens(candidate, train_flops, batch)) < tokens:
            tokens, train_flops = most, most * candidate.flops_per_token
        a_pair = self.practice.tokens_a_pair(candidate.method, candidate.model_params, train_flops)
        steps = ceil(tokens / (a_pair * batch))
        option = Option(candidate, train_flops, serve_flops, tokens, batch, steps, steps * batch)
        limits = self.limits
        return (
            _too_far(self.laws, option, limits, self.practice)
            or _too_large(self.practice, option, limits)
            or _too_few(option, self.pairs)
            or option
        )

    def passes(self, candidate: Candidate, train_flops: float) -> int | None:
        """Passes over the pairs that are allowed; None: as many as help.

        The user's own pairs are seen as often as those of the nearest measured run, unless ``max_epochs`` says more.
        """
        if self.limits.max_epochs is not None or self.limits.pairs_available is None:
            return self.limits.max_epochs
        return self.practice.epochs(candidate.method, candidate.model_params, train_flops)

    def _most_tokens(self, candidate: Candidate, train_flops: float, batch: int) -> float:
        """The tokens after which a choice stops, since the pairs may be repeated no more often."""
        whole = (self.pairs or 0) // batch * batch
        if not whole or (passes := self.passes(candidate, train_flops)) is None:
            return float("inf")
        a_pair = self.practice.tokens_a_pair(candidate.method, candidate.model_params, train_flops)
        return passes * whole * a_pair * (1 - 1e-9)

    def choices(self, budgets: ArrayLike) -> Choices:
        """The candidates at budgets in FLOP (b,), at each those that keep to the limits."""
        at = np.asarray(budgets, dtype=float)
        found = [[self.option(one, self.due(one, budget)) for budget in at.tolist()] for one in self.candidates]
        tokens = [[one.tokens if isinstance(one, Option) else np.nan for one in row] for row in found]
        return Choices(self.law, self.candidates, at, np.array(tokens).reshape(len(found), len(at)))


def of_measured_start(laws: Laws, shapes: Sequence[ModelShape]) -> tuple[tuple[ModelShape, ...], tuple[str, ...]]:
    """The members whose kind of start was measured, and the lineages of the others, whom no law here is of.

    A retriever is good before any training and a base language model is not, so that neither has the other's law. All
    members are kept where nothing is known of the measured models, and where none is of their kind of start: a recipe
    then says that no member was measured.
    """
    measured = {shape.start for name in laws.table.models if (shape := known_shape(name)) is not None}
    kept = tuple(shape for shape in shapes if not measured or shape.start in measured)
    if not kept:
        return tuple(shapes), ()
    return kept, tuple(dict.fromkeys(shape.lineage for shape in shapes if shape not in kept))


def unsuitable(candidate: Candidate, limits: Limits) -> Broken | None:
    """What rules a candidate out at any budget."""
    if candidate.refusal is not None:
        return Broken(candidate, f"{candidate.method} cannot train the model", candidate.refusal)
    if limits.max_params is not None and candidate.model_params > limits.max_params:
        reason = f"{candidate.model_params:.3g} parameters, more than {limits.max_params:.3g}"
        return Broken(candidate, f"more than the {limits.max_params:.3g} parameters of max_params", reason)
    return None


def _too_far(laws: Laws, option: Option, limits: Limits, practice: Practice) -> Broken | None:
    """Whether an option lies where the laws know nothing."""
    candidate, size = option.candidate, option.candidate.model_params
    name = str(candidate.method)
    extrapolation = laws.extrapolation(option.train_flops, name)
    if extrapolation > MAX_EXTRAPOLATION and not limits.force:
        reason = f"the budget is {extrapolation:.3g} times outside those measured of the method"
        return Broken(candidate, f"the budget is too far outside those measured of {name}, unless forced", reason)
    least, most = sizes_considered(laws, name, option.train_flops)
    if not limits.any_size and not least <= size <= most:
        reason = f"{size:.3g} parameters, too far outside the measured sizes (at this budget {least:.3g} to {most:.3g})"
        limit = "too far outside the measured sizes, unless allow_unmeasured_sizes is set"
        return Broken(candidate, limit, reason)
    least_steps = practice.least_steps(option.train_flops) if limits.min_steps is None else limits.min_steps
    if option.steps < least_steps:
        reason = f"{option.steps} steps of {option.batch_size} pairs, fewer than {least_steps}"
        limit = f"fewer than {least_steps} steps, the least unless min_steps is set lower"
        return Broken(candidate, limit, reason)
    return None


def sizes_considered(laws: Laws, method: str, train_flops: float) -> tuple[float, float]:
    """The smallest and the largest N that is considered for a method at a budget in FLOP."""
    measured = laws.domain[method]
    (least, most), (low, high) = measured.model_params, measured.budgets
    return least * min(1.0, train_flops / low), most * max(1.0, train_flops / high)


def _too_large(practice: Practice, option: Option, limits: Limits) -> Broken | None:
    """Whether an option takes more memory than there is."""
    candidate, batch = option.candidate, option.batch_size
    if limits.device_bytes is not None:
        assert candidate.shape is not None
        needed = _training_bytes(
            candidate.method, candidate.shape, batch, practice.max_length, negatives=practice.negatives
        )
        usable = USABLE_SHARE * limits.device_bytes
        if needed > usable:
            limit = f"{written(usable)} that can be used of {written(limits.device_bytes)}"
            reason = f"needs about {written(needed)} of memory to train, more than the {limit}"
            return Broken(candidate, f"more memory to train than the {limit} of device_memory", reason)
    return None


def _too_few(option: Option, pairs: int | None) -> Broken | None:
    """Whether there are fewer pairs than in one batch."""
    if pairs is None or pairs >= option.batch_size:
        return None
    reason = f"needs {option.pairs} pairs, there are {pairs}, fewer than in a batch of {option.batch_size}"
    return Broken(option.candidate, f"more pairs than the {pairs} there are: build more", reason)


_training_bytes = lru_cache(maxsize=4096)(training_bytes)
"""Cached, because along budgets the estimate of a choice changes with the batch size alone."""
