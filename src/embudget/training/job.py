"""A job: one run as training sees it, its model and method looked up, and whether its pairs suffice for its budget.

A `RunConfig` is text, for files and databases. A `Job` is made of it once, where training begins; everything below
works with its `Method`, its `ModelShape` and its one open `TokenCache`.

A budget of C FLOP asks for D = C / c tokens, c FLOP a token (see `embudget.flops`). Whether the pairs give as many is
settled before the first step: by their number times the mean length of a pair, and then by drawing the batches that the
run will see, because pairs whose texts repeat too often fit into no batch.
"""

from dataclasses import dataclass
from typing import Self

from embudget.errors import BudgetError, ModelError, PairsError, RunError
from embudget.flops import steps_for, tokens_for
from embudget.methods import Method, parse_method
from embudget.pairs import Pairs, token_stats
from embudget.pairs.manifest import TokenStats
from embudget.pairs.token_batch import check_negatives
from embudget.pairs.token_cache import TokenCache
from embudget.pairs.tokens import check_prompts
from embudget.records import RunConfig
from embudget.suite import ModelShape, find_shape
from embudget.suite.checks import check_member
from embudget.suite.loading import weights_of
from embudget.suite.members import pooling_for
from embudget.training.resources import Resources
from embudget.training.yardstick import check_yardstick


@dataclass(frozen=True)
class Job:
    """A run whose model and method are looked up, with its pairs and their tokens."""

    config: RunConfig
    method: Method
    shape: ModelShape
    pairs: Pairs
    tokens: TokenCache
    resources: Resources

    @classmethod
    def of(cls, config: RunConfig, pairs: Pairs, resources: Resources | None = None) -> Self:
        """Look up what a configuration names.

        Raises:
            ModelError: there is no such model, it cannot be trained, or its weights are others than the run's.
            MethodError: the method cannot train this model.
            ConfigError: a prompt leaves no room for a text.
        """
        method, shape = parse_method(config.method), find_shape(config.model)
        method.check(shape)
        check_weights(config)
        check_member(config.model)
        pooling_for(config.model, config.pooling)
        if problem := sizes_problem(config, shape):
            raise ModelError(problem)
        prompts = config.query_prompt, config.document_prompt
        check_prompts(config.model, config.max_length, prompts, config.end_token)
        tokens = TokenCache(
            pairs,
            config.model,
            config.max_length,
            end_token=config.end_token,
            negatives=config.negatives,
            prompts=prompts,
        )
        return cls(config, method, shape, pairs, tokens, resources or Resources())

    @property
    def tokens_needed(self) -> float:
        """D: tokens that the budget buys."""
        return tokens_for(self.config.train_flops, self.method, self.shape)

    @property
    def tokens_per_pair(self) -> float:
        """Mean tokens of a query, its positive and its hard negatives, cut as in training."""
        return lengths_of(self.config, self.pairs).tokens_per_pair

    def check_number(self) -> None:
        """Refuse pairs that are not the configuration's, or too few for the budget or for the held-out measurement.

        Raises:
            BudgetError: the budget does not pay for a single step.
            PairsError: says how many are needed, and how many there are.
        """
        config, pairs = self.config, self.pairs
        if pairs.hash != config.pairs:
            raise PairsError(f"pairs must have the content hash {config.pairs}, got {pairs.hash} in {pairs.folder}")
        check_negatives(pairs, config.negatives)
        steps = steps_for(config.train_flops, self.method, self.shape, self.tokens_per_pair, config.batch_size)
        if steps < 1:
            step = config.train_flops / steps
            raise BudgetError(
                f"train_flops must pay for one step, which takes {step:.3g} FLOP with {config.batch_size} pairs, got "
                f"{config.train_flops:.3g}: raise the budget or lower batch_size"
            )
        needed, there = self.tokens_needed / self.tokens_per_pair, pairs_there(config, pairs)
        if needed > there:
            raise PairsError(
                f"{config.model} with {config.method} at {config.train_flops:g} FLOP needs about {needed:,.0f} pairs, "
                f"got {there:,} in {pairs.folder} with max_epochs={config.max_epochs}: allow more epochs"
            )
        check_yardstick(pairs, config.eval_pairs, config.eval_candidates, config.yardstick)

    def check_batches(self) -> None:
        """Refuse pairs whose texts repeat so often that the batches end before the budget.

        The batches are drawn and their tokens counted, at 0.14 ms for a batch of 64. A split larger than one window
        (see `embudget.training.order`) is not checked: its first window is read at the first step anyway, but all its
        windows would take minutes.

        Raises:
            RunError: says what the batches give, and how many pairs find no batch.
            PairsError: the pairs cannot be read, or the cache of their tokens cannot be written.
        """
        from embudget.training.order import WINDOW, BatchOrder

        config, pairs = self.config, self.pairs
        if pairs.rows("train") > WINDOW:
            return
        drawn = tokens = 0
        for batch in BatchOrder(self.tokens, config.batch_size, config.seed, config.max_epochs):
            drawn += len(batch)
            tokens += self.tokens.batch(batch).tokens
            if self.method.flops_per_token(self.shape) * tokens >= config.train_flops:
                return
        there = pairs_there(config, pairs)
        left = there - drawn
        repeats = f", for {left:,} of {there:,} pairs find no batch of {config.batch_size} without one of their texts"
        raise RunError(
            f"{config.model} with {config.method} at {config.train_flops:g} FLOP needs {self.tokens_needed:,.0f} "
            f"tokens, got {tokens:,} in the batches from {pairs.folder} with max_epochs={config.max_epochs}"
            f"{repeats if left else ''}: allow more epochs" + (" or smaller batches" if left else "")
        )


def check_weights(config: RunConfig) -> None:
    """Refuse weights that have changed since the run was made: its record would tell of others.

    Raises:
        ModelError: they are others, or cannot be read.
    """
    if config.weights is not None and (now := weights_of(config.model)) != config.weights:
        raise ModelError(
            f"the weights of {config.model} are not those that the run was made for: they were {config.weights}, and "
            f"are now {now or 'those that come with embudget'}: start again to train the new ones"
        )


def lengths_of(config: RunConfig, pairs: Pairs) -> TokenStats:
    """How long the texts are in the tokens of a run, with its prompts and negatives, cut as in training.

    Raises:
        PairsError, ModelError: the pairs or the tokenizer cannot be read.
    """
    prompts = config.query_prompt, config.document_prompt
    return token_stats(pairs, config.model, config.max_length, config.end_token, config.negatives, prompts)


def sizes_problem(config: RunConfig, shape: ModelShape) -> str | None:
    """What is wrong with a run's smaller embedding sizes on this model; None where nothing is."""
    if not config.matryoshka or config.matryoshka[-1] < shape.embedding_size:
        return None
    return (
        f"matryoshka must name sizes below {shape.embedding_size}, that of the embeddings of {shape.name}, got "
        f"{config.matryoshka[-1]}: the full size is always trained"
    )


def pairs_there(config: RunConfig, pairs: Pairs) -> int:
    """The most training pairs that a run can see: whole batches in each of its epochs, if no text repeats."""
    return config.max_epochs * (pairs.rows("train") // config.batch_size) * config.batch_size
