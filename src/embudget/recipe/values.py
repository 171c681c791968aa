"""What a recipe holds: the choice, how to train it, and the choices it was picked from."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import yaml
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from embudget.choices import Crossover, StartCrossover
from embudget.files import save_text
from embudget.flops import attention_share, say_attention
from embudget.frozen import Frozen
from embudget.limits import (
    MOST_FLOPS,
    BatchSize,
    Candidates,
    Count,
    Epochs,
    Flops,
    Length,
    Negatives,
    Rate,
    step_problem,
)
from embudget.methods import parse_method
from embudget.reading import read_yaml
from embudget.recipe.choice import BestStart, Choice, Rejection, Untrained
from embudget.recipe.notebook import recipe_html
from embudget.recipe.wishes import Prefer
from embudget.records import MethodText, Pooling, RunConfig, Schedule, Yardstick
from embudget.records.config import Attention, EvalScale, Matryoshka
from embudget.suite import find_shape, known_shape
from embudget.suite.loading import weights_of
from embudget.suite.members import may_be_fetched, start_of

_TOLD_COST = 5e-4
"""Cost of an uncertain rate from which on it is told: what rounds to 0.1 %."""


class Recipe(Frozen):
    """The answer for one budget: what to train, how, and what to expect.

    Example:
        >>> recipe = eb.recommend(eb.find_laws("smollm2"), 4e13)
        >>> recipe.save("recipe.yaml")
        >>> eb.Recipe.load("recipe.yaml") == recipe
        True
    """

    train_flops: Flops = Field(description="algorithmic FLOP of training: the budget without what serving takes")
    serve_flops: NonNegativeFloat = Field(
        default=0.0, le=MOST_FLOPS, description="set aside for the tokens to be served: 2N for each"
    )
    unspent_flops: NonNegativeFloat = Field(
        default=0.0, le=MOST_FLOPS, description="of the budget, left over since the pairs were repeated often enough"
    )
    seconds: PositiveFloat | None = Field(
        default=None,
        description="training takes at the speeds of the measured runs; None where no hours were asked for",
    )
    left_over: str = Field(default="", description="why FLOP are left over, in words; empty where all are spent")
    model: str = Field(description="the member to train")
    method: MethodText = Field(description="with its rank or active fraction: lora:32, freeze:0.5")
    model_params: Count = Field(description="N, without embeddings and adapters")
    tokens: PositiveFloat = Field(description="D that the budget buys, queries and positives")
    pairs: PositiveInt = Field(description="pairs seen, repetitions included")
    training_pairs: Count | None = Field(
        default=None, description="that there are, each counted once: those wished for, or the study's, where known"
    )
    steps: PositiveInt = Field(description="optimiser steps")
    batch_size: BatchSize = Field(description="pairs a step")
    batch_source: str = Field(default="", description="where the batch size comes from, in words")
    learning_rate: Rate = Field(description="peak rate")
    rate_source: str = Field(default="", description="where the rate comes from, in words")
    warmup: float = Field(ge=0, lt=1, description="share of the budget with a rising rate")
    pooling: Pooling = Field(default="mean", description="that of the measured runs")
    schedule: Schedule = Field(default="cosine", description="of the rate after the warm-up, that of the measured runs")
    decay: float = Field(default=0.2, gt=0, lt=1, description="share of the budget in which the rate of wsd falls")
    weight_decay: NonNegativeFloat = Field(le=1e6, description="of AdamW")
    scale: PositiveFloat = Field(le=1e6, description="1 / temperature of the contrastive loss")
    max_length: Length = Field(description="tokens; longer texts are cut")
    negatives: Negatives = Field(default=0, description="hard negatives of each pair that are further candidates")
    query_prompt: str | None = Field(
        default=None, max_length=2000, description="in front of each query; None for the model's own"
    )
    document_prompt: str | None = Field(
        default=None, max_length=2000, description="in front of each positive; None for the model's own"
    )
    attention: Attention | None = Field(default=None, description="None as the model has it")
    matryoshka: Matryoshka = Field(default=(), description="smaller embedding sizes trained besides the full one")
    eval_scale: EvalScale = Field(
        default="own", description="whether the predicted loss is at `scale`, or at the scale at which it is lowest"
    )
    texts_source: str = Field(
        default="",
        description="where length, negatives, scale and weight decay come from, in words; empty where no others were "
        "tried",
    )
    max_epochs: Epochs = Field(description="passes over the training pairs at most")
    eval_pairs: Candidates = Field(description="held-out pairs the prediction refers to")
    eval_candidates: Candidates = Field(description="positives that each held-out query is compared with")
    yardstick: Yardstick | None = Field(
        default=None, description="which held-out pairs the prediction refers to; None where the runs do not say"
    )
    predicted_loss: PositiveFloat = Field(
        description="held-out, nats, with what the uncertainty of the best learning rate costs"
    )
    rate_cost: NonNegativeFloat = Field(
        default=0.0,
        description="share by which that uncertainty raises predicted_loss: compare without it",
    )
    predicted_interval: tuple[float, float] = Field(description="of the measured loss of a new run, nats")
    loss_interval: tuple[float, float] = Field(description="of the loss itself, without the noise of a run, nats")
    measured_on: str | None = Field(description="content hash of the pairs that the prediction refers to, where known")
    level: float = Field(gt=0, lt=1, description="probability of the intervals")
    extrapolation: float = Field(ge=1, description="budget / the nearest one measured of the method; 1 inside")
    prefer: Prefer = Field(default="loss", description="what decided between this choice and those of `flat`")
    chosen: str = Field(default="", description="why not one of `flat`, in words; empty where the loss decided")
    flat: tuple[Choice, ...] = Field(
        default=(), description="the other choices within the noise of the best, the lowest predicted loss first"
    )
    rejected: tuple[Rejection, ...] = Field(default=(), description="the choices that were not taken, and why")
    crossovers: tuple[Crossover, ...] = Field(default=(), description="of the best kind of method, by rising budget")
    supported: bool = Field(
        default=True, description="whether the measured runs support the recipe; the first warning says why not"
    )
    warnings: tuple[str, ...] = Field(default=(), description="what to doubt, in words")
    untrained: Untrained | None = Field(
        default=None, description="the start to use as it is, where training does not pay at this budget"
    )
    lineage: str | None = Field(default=None, description="of the model, where several were measured")
    starts: tuple[BestStart, ...] = Field(
        default=(), description="the best choice of each measured lineage, the lowest predicted loss first"
    )
    start_crossovers: tuple[StartCrossover, ...] = Field(
        default=(), description="of the best lineage to start from, by rising budget"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problem := step_problem(self.batch_size, self.max_length):
            raise ValueError(problem)
        return self

    @property
    def budget(self) -> float:
        """FLOP of training and serving together, with what is left over."""
        return self.train_flops + self.serve_flops + self.unspent_flops

    @property
    def training_pays(self) -> bool:
        """Whether the best trained choice is expected to be better than every start as it is."""
        return self.untrained is None

    @property
    def passes(self) -> float:
        """Passes over the training pairs; 1 at most where their number is not known."""
        return 1.0 if self.training_pairs is None else self.pairs / self.training_pairs

    def __str__(self) -> str:
        """A few lines, for a person."""
        (low, high), (least, most) = self.predicted_interval, self.loss_interval
        pairs = f"the pairs {self.measured_on}" if self.measured_on else "pairs that the table of runs does not name"
        others = "on others, the loss will differ"
        if self.measured_on and self.yardstick != "groups":  # from before they were drawn evenly over groups
            pairs += f", the first {self.eval_pairs} of validation"
            others = "runs are now measured on others, and the loss will differ"
        first = 0 if self.supported else 1
        lines = [
            *(f"warning: {warning}" for warning in self.warnings[:first]),
            *([] if self.untrained is None else [f"use {self.untrained}", "the best trained choice:"]),
            self._spent(),
            f"  train     {self.model} by {self.method}",
            *([f"  chosen    {self.chosen}"] if self.chosen else []),
            f"  on        {self.pairs:,} pairs{self._repeated()}, {self.tokens:.3g} tokens: {self.steps:,} steps of "
            f"{self.batch_size}",
            f"  with      learning rate {self.learning_rate:.3g}, warm-up {self.warmup:g}{self._decay()}, weight "
            f"decay {self.weight_decay:g}, scale {self.scale:g}, {self.pooling} pooling, texts of at most "
            f"{self.max_length} tokens",
            *([f"  texts     {self._texts()}"] if self.negatives or self.texts_source else []),
            *([f"  reads     {reads}"] if (reads := self._reads()) else []),
            *([f"  batch     {self.batch_size}, {self.batch_source}"] if self.batch_source else []),
            *([f"  rate      {self.rate_source}"] if self.rate_source else []),
            f"  expect    held-out loss {self.predicted_loss:.3f}, with {100 * self.level:g} % {low:.3f} to {high:.3f} "
            f"(without a run's noise {least:.3f} to {most:.3f})",
            *self._rate_costs(),
            f"  measured  on {pairs}: {others}",
            f"  as good   {_listed(f'{one.model} {one.method} ({self.beside(one):.3f})' for one in self.flat)}",
            f"  rejected  {len(self.rejected)} choices, such as: "
            + _listed((f"{no.model or 'every model'} {no.method}: {no.reason}" for no in self.rejected), 2),
        ]
        lines += [f"  not paid  {line}" for line in self._attention()]
        lines += [f"  start     {start}" for start in self.starts]
        lines += [f"  crossover {crossover}" for crossover in self.start_crossovers]
        if len(self.starts) > 1 and not self.start_crossovers:
            lines.append(f"  crossover none found between {' and '.join(start.lineage for start in self.starts)}")
        lines += [f"  crossover {crossover}" for crossover in self.crossovers]
        return "\n".join(lines + [f"  warning   {warning}" for warning in self.warnings[first:]])

    def beside(self, choice: Choice) -> float:
        """The predicted loss of a choice as good, nats, that can be compared with the recipe's.

        Each choice pays for the uncertainty of its own learning rate, and they were compared before that. So this is
        the choice's loss at its best rate with what the recipe's rate costs added.
        """
        return choice.predicted_loss / (1 + choice.rate_cost) * (1 + self.rate_cost)

    def _rate_costs(self) -> Iterator[str]:
        if self.rate_cost >= _TOLD_COST:
            what = "for the uncertain learning rate, as if all choices below had this one's"
            yield f"  of which  {100 * self.rate_cost:.1f} % are {what}"

    def _texts(self) -> str:
        count = f"{self.negatives} hard negative{'' if self.negatives == 1 else 's'} of each pair"
        return count + (f", {self.texts_source}" if self.texts_source else "")

    def _reads(self) -> str:
        parts = [f"query prompt {self.query_prompt!r}"] if self.query_prompt else []
        parts += [f"document prompt {self.document_prompt!r}"] if self.document_prompt else []
        parts += [f"{self.attention} attention"] if self.attention else []
        parts += [f"embeddings cut to {', '.join(map(str, self.matryoshka))}"] if self.matryoshka else []
        return "; ".join(parts)

    def _attention(self) -> list[str]:
        """A line on what attention adds at least: lengths that differ about the mean, the only one known, add more."""
        shape = known_shape(self.model)
        if shape is None:
            return []
        length = self.tokens / self.pairs / (2 + self.negatives)
        share = attention_share(parse_method(self.method), shape, [length])
        return say_attention(share, f"even if all texts had the mean length of {length:.0f} tokens")

    def _repeated(self) -> str:
        repeats = self.training_pairs is not None and self.pairs > self.training_pairs
        return f" ({self.passes:.3g} passes over {self.training_pairs:,})" if repeats else ""

    def _decay(self) -> str:
        return f", constant, decay over the last {self.decay:g}" if self.schedule == "wsd" else ""

    def _spent(self) -> str:
        factor = f", {self.extrapolation:.3g} times outside the measured budgets of the method"
        beyond = factor if self.extrapolation > 1 else ""
        if self.unspent_flops:
            beyond += f"; {self.unspent_flops:.3g} are left over, since {self.left_over}"
        if self.seconds is not None:
            beyond = f" in about {self.seconds / 3600:.3g} hours at the speeds of the measured runs{beyond}"
        if not self.serve_flops:
            of = f" of {self.budget:.3g}" if self.unspent_flops else ""
            return f"{self.train_flops:.3g}{of} FLOP{beyond}"
        return f"{self.budget:.3g} FLOP: {self.serve_flops:.3g} to serve, {self.train_flops:.3g} to train{beyond}"

    def run_config(self, pairs_hash: str, seed: int = 0) -> RunConfig:
        """Make the run that realises the recipe on the pairs with this content hash.

        The predicted loss holds only for the pairs that the laws were ``measured_on``. On other pairs the recipe is a
        good guess, but expect another loss. The run is measured on pairs drawn evenly over groups; if the prediction
        refers to such pairs too, on as many.

        Raises:
            ConfigError: the seed is out of range.
            ModelError: the model's weights cannot be read, or their commit cannot be asked for on the hub.
        """
        own = {"pairs", "yardstick", *(() if self.yardstick == "groups" else ("eval_pairs", "eval_candidates"))}
        shared = set(RunConfig.model_fields) & set(type(self).model_fields) - own
        values = {name: getattr(self, name) for name in shared} | {"pairs": pairs_hash, "seed": seed}
        for side in ("query_prompt", "document_prompt"):
            values[side] = self._own_prompt(side) if values[side] is None else values[side]
        if known_shape(self.model) is not None or may_be_fetched(
            self.model
        ):  # a table's model may be no more than a size
            values |= {"model": find_shape(self.model).name, "weights": weights_of(self.model)}
        return RunConfig.read(values, "run of the recipe")

    def _own_prompt(self, side: str) -> str:
        """The prompt that the model itself has for queries or documents; none where it is no more than a size."""
        if known_shape(self.model) is None and not may_be_fetched(self.model):
            return ""
        prompt: str = getattr(start_of(self.model), side)
        return prompt

    def _repr_html_(self) -> str:
        low, high = self.predicted_interval
        facts = {
            "budget": f"{self.budget:.3g} FLOP",
            "train": f"{self.model} by {self.method}",
            "on": f"{self.pairs:,} pairs{self._repeated()}, {self.tokens:.3g} tokens: {self.steps:,} steps of "
            f"{self.batch_size}",
            "learning rate": f"{self.learning_rate:.3g}",
            "expect": f"held-out loss {self.predicted_loss:.3f} nats, with {100 * self.level:g} % {low:.3f} to "
            f"{high:.3f}",
            "outside the measured budgets": f"{self.extrapolation:.3g} times" if self.extrapolation > 1 else "no",
            "as good": _listed(f"{one.model} {one.method} ({self.beside(one):.3f})" for one in self.flat),
            "rejected": f"{len(self.rejected):,} choices",
        }
        return recipe_html(facts, self.warnings, self.untrained)

    def save(self, path: str | Path) -> None:
        """Write as YAML, whole or not at all.

        Raises:
            ConfigError: the file cannot be written.
        """
        save_text(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a recipe from YAML.

        Raises:
            ConfigError: the file cannot be read, is not YAML, or breaks a rule.
        """
        return cls.read(read_yaml(path, "a recipe (model, method, train_flops, ...)"), str(path))


def _listed(items: Iterable[str], most: int = 8) -> str:
    every = list(items)
    more = [f"and {len(every) - most} more"] if len(every) > most else []
    return "; ".join([*every[:most], *more]) or "none"
