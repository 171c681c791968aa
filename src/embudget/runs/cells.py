"""Runs as a table: the cells that laws are fitted to, from the records of a study or from a file of anyone's runs.

A *cell* is what a law sees: one (model, method, budget) at its best setting, over its seeds; at the vertex of its
envelope, where at least 3 learning rates were tried. Its values are plain numbers, whatever the runs came from. A file
is a CSV or Parquet table with the columns

    needed      model_params, loss, and tokens or train_flops: the other follows from the method
    optional    method (full for all runs where there is none), model, budget, rank, active_fraction, learning_rate,
                batch_size, seed, weight, and what else `embudget records --csv` writes; others are ignored

Which runs count is said in `usable`, what is completed in `completion`, and what belongs together in `grouping`; runs
with the same cell and setting but another loss are repeated seeds, with a seed column or without one. Losses of
different held-out sets, numbers of candidates, text lengths or temperatures are not comparable: they are refused.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from math import log
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from embudget.errors import TooFewRunsError
from embudget.frozen import Frozen
from embudget.records import RunRecord
from embudget.runs.clean import Dropped, keep_usable, left_out, shared_number, shared_text
from embudget.runs.columns import COMPARABLE, Columns, columns_of_records
from embudget.runs.complete import with_budgets, with_costs, with_methods
from embudget.runs.grouping import cell_of_run, cells_of, repeated
from embudget.runs.read import read_columns

MAX_LISTED = 20
"""Dropped rows that a table names one by one."""


class Cell(Frozen):
    """One (model, method, budget) at its best setting, over its seeds: see `tuning`. What the table lacks is None."""

    model: str = Field(description="a member's name; where the table has none, a text made of N: N=1.2e+08")
    method: str
    budget: PositiveFloat = Field(
        description="FLOP asked for; in a table without budgets, the level of those spent: see `completion`"
    )
    model_params: PositiveFloat = Field(description="N, without embeddings and adapters")
    tokens: PositiveFloat = Field(description="D, mean over the seeds")
    train_flops: PositiveFloat = Field(description="spent, mean over the seeds")
    loss: PositiveFloat = Field(
        description="held-out, nats, geometric mean over the seeds by weight, or of the envelope"
    )
    seeds: PositiveInt = Field(description="runs that the loss is the mean of, or as good as")
    seed_squares: NonNegativeFloat = Field(
        description="sum of squared deviations of the seeds' log losses: see `grouping`"
    )
    weight: PositiveFloat = Field(default=1.0, description="mean over the seeds")
    steps: NonNegativeFloat | None = Field(default=None, description="mean over the seeds")
    pairs_seen: NonNegativeFloat | None = Field(default=None, description="mean over the seeds")
    seconds: NonNegativeFloat | None = Field(default=None, description="mean over the seeds")
    learning_rate: PositiveFloat | None = Field(default=None, description="the best of those tried, or the envelope's")
    rates: PositiveInt = Field(default=1, description="learning rates tried at otherwise equal settings")
    rate_inside: bool | None = Field(
        default=None, description="whether the envelope of 3 or more rates has a minimum between them; None without one"
    )
    lowest_rate: PositiveFloat | None = Field(default=None, description="of the envelope")
    highest_rate: PositiveFloat | None = Field(default=None, description="of the envelope")
    batch_size: PositiveFloat | None = None
    warmup: NonNegativeFloat | None = None
    weight_decay: NonNegativeFloat | None = None
    max_epochs: PositiveFloat | None = None
    schedule: str | None = Field(default=None, description="of the learning rate, in the table's own words")
    decay: NonNegativeFloat | None = Field(default=None, description="share of the budget in the decay of wsd")

    pooling: str | None = Field(default=None, description="of the tokens' states, in the table's own words")

    @field_validator("schedule", "pooling", mode="before")
    @classmethod
    def _unknown(cls, text: str | None) -> str | None:
        return text or None

    @property
    def log_loss(self) -> float:
        """Mean over the seeds."""
        return log(self.loss)

    @property
    def flops_per_token(self) -> float:
        """As measured."""
        return self.train_flops / self.tokens


class RunTable(Frozen):
    """The usable runs of a study, comparable with each other, as cells."""

    cells: tuple[Cell, ...] = Field(description="by method, budget and size")
    run_count: PositiveInt = Field(description="usable runs, those of settings that are no cell's included")
    dropped: dict[str, int] = Field(default={}, description="reason -> runs left out")
    listed: tuple[str, ...] = Field(default=(), description="the first of them in words; rows count from 1")
    pairs: str | None = Field(default=None, description="content hash of the text pairs, the same for all")
    max_length: PositiveInt | None = None
    eval_pairs: PositiveInt | None = None
    eval_candidates: PositiveInt | None = None
    scale: PositiveFloat | None = Field(default=None, description="1 / temperature, of the held-out loss too")
    tokens_per_pair: PositiveFloat | None = Field(default=None, description="mean non-pad tokens, query and positive")

    @classmethod
    def of(cls, records: Iterable[RunRecord]) -> Self:
        """Keep the usable records; count the others by reason.

        Raises:
            TooFewRunsError: none is usable.
            FitError: two of them are not comparable.
        """
        return cls._of(columns_of_records(records))

    @classmethod
    def read(  # type: ignore[override] # a table is read from a file, other values from data
        cls, path: str | Path, columns: Mapping[str, str] | None = None
    ) -> Self:
        """Read a CSV or Parquet file of runs.

        Args:
            path: ends in .csv or .parquet; at most 1 GB.
            columns: our name -> the file's, where they differ; "" to ignore the file's column of our name.

        Raises:
            ConfigError: the file cannot be read, is too large, has no rows, lacks a needed column, has a column twice,
                text where numbers belong, or a method that is none; or two of our names are mapped to one column.
            TooFewRunsError: no row is usable.
            FitError: two of them are not comparable.
        """
        return cls._of(read_columns(path, columns))

    @classmethod
    def _of(cls, columns: Columns) -> Self:
        read, dropped = keep_usable(columns)
        usable, uncomputed = keep_usable(with_costs(with_methods(read), by_shape="method" in read.texts))
        dropped += uncomputed
        if not len(usable):
            raise TooFewRunsError(
                f"a law needs finished runs with a loss, got {_counted(dropped) or 'no records at all'}"
            )
        whole = with_budgets(usable)
        cell = cell_of_run(whole, by_tokens="budget" not in columns.numbers)
        again = repeated(whole, cell)
        dropped += left_out(whole, again, ["duplicate"] * int(again.sum()))
        whole, cell = whole.where(~again), cell[~again]
        return cls.model_validate(
            {
                "cells": cells_of(whole, cell),
                "run_count": len(whole),
                "dropped": dict(Counter(reason for _, reason in dropped).most_common()),
                "listed": [f"row {row}: {reason}" for row, reason in sorted(dropped)[:MAX_LISTED]],
                "pairs": shared_text(whole, "pairs"),
                **{name: shared_number(whole, name) for name in COMPARABLE},
                "tokens_per_pair": _tokens_per_pair(whole),
            }
        )

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The measured methods, sorted."""
        return tuple(sorted({cell.method for cell in self.cells}))

    @cached_property
    def budgets(self) -> tuple[float, ...]:
        """The measured budgets in FLOP, rising."""
        return tuple(sorted({cell.budget for cell in self.cells}))

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The measured models, the smallest first."""
        sizes = {cell.model: cell.model_params for cell in self.cells}
        return tuple(sorted(sizes, key=lambda model: (sizes[model], model)))

    def describe_dropped(self) -> list[str]:
        """What was left out, in lines of text: a count of each reason, then the first rows."""
        if not self.dropped:
            return []
        counts = ", ".join(f"{reason} ({count})" for reason, count in self.dropped.items())
        more = sum(self.dropped.values()) - len(self.listed)
        rows = [f"  {row}" for row in self.listed] + ([f"  and {more} more"] if more else [])
        return [f"left out: {counts}", *rows]


def _counted(dropped: Dropped) -> str:
    reasons = Counter(reason for _, reason in dropped).most_common(5)
    return ", ".join(f"{count} whose {reason}" for reason, count in reasons)


def _tokens_per_pair(columns: Columns) -> float | None:
    pairs = columns.numbers.get("pairs_seen", np.full(len(columns), np.nan))
    known = pairs >= 1
    if not known.any():
        return None
    return float(columns.numbers["tokens"][known].sum() / pairs[known].sum())
