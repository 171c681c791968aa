"""Runs as a table: the columns of a CSV of records, and the validated cells that laws are fitted to.

A *run* counts when it is done and has a positive loss; every other record is dropped and counted with its reason. A
*cell* is what a law sees: one (model, method, budget). Where a cell holds several settings (learning rates, batch
sizes, anything but the seed), the one with the lowest mean loss over its seeds is the cell's, since laws describe
tuned runs; its seeds stay together. Losses of different held-out sets, numbers of candidates, text lengths or
temperatures are not comparable: such records are refused.
"""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property
from math import ceil, exp, log
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import Field, ValidationError

from embudget.errors import ConfigError, FitError, TooFewRunsError
from embudget.files import read_text, save_text
from embudget.frozen import Frozen
from embudget.records import RunConfig, RunRecord

_OF_CONFIG = {
    "model": "model", "method": "method", "budget": "train_flops", "seed": "seed", "learning_rate": "learning_rate",
    "batch_size": "batch_size", "pairs": "pairs", "max_length": "max_length", "eval_pairs": "eval_pairs",
    "eval_candidates": "eval_candidates", "scale": "scale", "warmup": "warmup", "weight_decay": "weight_decay",
    "max_epochs": "max_epochs",
}  # fmt: skip
"""Column -> field of the run's configuration."""

COLUMNS = (
    "id", "status", "model", "method", "budget", "seed", "learning_rate", "batch_size", "model_params",
    "trained_params", "steps", "pairs_seen", "tokens", "train_flops", "executed_flops", "seconds", "loss", "accuracy",
    "train_loss", "pairs", "max_length", "eval_pairs", "eval_candidates", "scale", "warmup", "weight_decay",
    "max_epochs", "error",
)  # fmt: skip
"""The columns of a table of records. `budget` is what was asked for, `train_flops` what was spent."""

REQUIRED = (
    "model", "method", "budget", "learning_rate", "batch_size", "pairs", "model_params", "pairs_seen", "tokens",
    "train_flops", "loss",
)  # fmt: skip
"""Columns a table must have; of the others, an absent one takes the field's default and `status` is done."""


def record_row(record: RunRecord) -> dict[str, Any]:
    """One record as a flat row, a value for each of `COLUMNS`; None where nothing was measured."""
    return {
        column: getattr(record.config, _OF_CONFIG[column]) if column in _OF_CONFIG else getattr(record, column)
        for column in COLUMNS
    }


def write_records_csv(records: Iterable[RunRecord], path: str | Path) -> None:
    """Write records as a CSV that `read_records_csv` reads back, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(record_row(record) for record in records)
    save_text(path, text.getvalue())


def read_records_csv(path: str | Path) -> list[RunRecord]:
    """Read records from a CSV with a header of `COLUMNS`, in any order; the ids are computed anew.

    Raises:
        ConfigError: the file cannot be read, lacks a required column, or has a bad value: the row and column are named.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = list(reader.fieldnames or ())
        _check_header(header, path)
        return [_record_of_row(row, f"{path}: line {reader.line_num}") for row in reader]
    except csv.Error as error:
        raise ConfigError(f"{path}: not a CSV file: {error}") from None


def _check_header(header: list[str], path: str | Path) -> None:
    if missing := [column for column in REQUIRED if column not in header]:
        raise ConfigError(f"{path}: column {missing[0]} is missing (needed: {', '.join(REQUIRED)})")
    if unknown := [column for column in header if column not in COLUMNS]:
        raise ConfigError(f"{path}: {unknown[0]!r} is not a known column (known: {', '.join(COLUMNS)})")
    if len(set(header)) < len(header):
        raise ConfigError(f"{path}: column {Counter(header).most_common(1)[0][0]} is there twice")


def _record_of_row(row: dict[str, str], source: str) -> RunRecord:
    if None in row or None in row.values():
        raise ConfigError(f"{source}: the row has more or fewer values than the header has columns")
    given = {column: text.strip() for column, text in row.items() if text.strip() and column != "id"}
    config = {_OF_CONFIG[column]: text for column, text in given.items() if column in _OF_CONFIG}
    measured = {column: text for column, text in given.items() if column not in _OF_CONFIG}
    try:
        return RunRecord.model_validate({"status": "done", **measured, "config": config})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = str(problem["loc"][-1])
        of_config = problem["loc"][0] == "config"
        column = next((name for name, target in _OF_CONFIG.items() if of_config and target == field), field)
        rule = problem["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{source}: {column}: {rule}, got {given.get(column, '')!r}") from None


class Run(Frozen):
    """One usable run."""

    id: str
    model: str
    method: str
    budget: float = Field(description="FLOP asked for")
    train_flops: float = Field(description="FLOP spent")
    model_params: int
    tokens: int
    pairs_seen: int
    loss: float = Field(gt=0, description="held-out, nats")
    seed: int
    learning_rate: float
    batch_size: int
    scale: float
    warmup: float
    weight_decay: float
    max_epochs: int
    seconds: float | None = Field(default=None, description="of training; None where it was not timed")

    @property
    def setting(self) -> tuple[float, ...]:
        """What was chosen besides model, method, budget and seed."""
        return self.learning_rate, self.batch_size, self.warmup, self.weight_decay, self.max_epochs

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return ceil(self.pairs_seen / self.batch_size)

    @classmethod
    def of(cls, record: RunRecord) -> Self:
        """Flatten a usable record."""
        fields = {name for name in cls.model_fields if name in RunConfig.model_fields and name != "train_flops"}
        measured = ("id", "train_flops", "model_params", "tokens", "pairs_seen", "loss", "seconds")
        return cls.model_validate(
            {name: getattr(record.config, name) for name in fields}
            | {name: getattr(record, name) for name in measured}
            | {"budget": record.config.train_flops}
        )


class Cell(NamedTuple):
    """All seeds of one (model, method, budget) at its best setting."""

    runs: tuple[Run, ...]

    @property
    def run(self) -> Run:
        """The first run, for what all of them share."""
        return self.runs[0]

    @property
    def log_loss(self) -> float:
        """Mean over the seeds."""
        return sum(log(run.loss) for run in self.runs) / len(self.runs)

    @property
    def loss(self) -> float:
        """Geometric mean over the seeds, nats."""
        return exp(self.log_loss)

    @property
    def tokens(self) -> float:
        """Mean over the seeds."""
        return sum(run.tokens for run in self.runs) / len(self.runs)

    @property
    def flops_per_token(self) -> float:
        """As measured."""
        return sum(run.train_flops for run in self.runs) / sum(run.tokens for run in self.runs)


class RunTable(Frozen):
    """The usable runs of a study, comparable with each other."""

    runs: tuple[Run, ...]
    dropped: dict[str, int] = Field(default={}, description="reason -> records left out")
    pairs: str = Field(description="content hash of the text pairs, the same for all")
    max_length: int
    eval_pairs: int
    eval_candidates: int
    scale: float = Field(description="1 / temperature, of the held-out loss too")

    @classmethod
    def of(cls, records: Iterable[RunRecord]) -> Self:
        """Keep the usable records; count the others by reason.

        Raises:
            TooFewRunsError: none is usable.
            FitError: two of them are not comparable.
        """
        dropped: Counter[str] = Counter()
        usable: dict[str, RunRecord] = {}
        for record in records:
            reason = "duplicate" if record.id in usable else _unusable(record)
            if reason is None:
                usable[record.id] = record
            else:
                dropped[reason] += 1
        if not usable:
            found = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "no records at all"
            raise TooFewRunsError(f"a law needs finished runs with a loss, got {found}")
        shared = {
            name: _shared(name, usable.values())
            for name in ("pairs", "max_length", "eval_pairs", "eval_candidates", "scale")
        }
        runs = tuple(Run.of(record) for record in usable.values())
        return cls.model_validate({"runs": runs, "dropped": dict(dropped), **shared})

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The cells, by method, budget and size."""
        settings: defaultdict[tuple[str, float, str], defaultdict[tuple[float, ...], list[Run]]]
        settings = defaultdict(lambda: defaultdict(list))
        for run in self.runs:
            settings[run.method, run.budget, run.model][run.setting].append(run)
        best = [min((Cell(tuple(runs)) for runs in cell.values()), key=lambda c: c.loss) for cell in settings.values()]
        return tuple(sorted(best, key=lambda c: (c.run.method, c.run.budget, c.run.model_params, c.run.model)))

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The measured methods, sorted."""
        return tuple(sorted({run.method for run in self.runs}))

    @cached_property
    def budgets(self) -> tuple[float, ...]:
        """The measured budgets in FLOP, rising."""
        return tuple(sorted({run.budget for run in self.runs}))

    @cached_property
    def tokens_per_pair(self) -> float:
        """Mean non-pad tokens of a query and its positive."""
        return sum(run.tokens for run in self.runs) / sum(run.pairs_seen for run in self.runs)


def _unusable(record: RunRecord) -> str | None:
    if record.status != "done":
        return record.status
    if record.loss is None:
        return "without a loss"
    if record.loss <= 0:
        return "with a loss of 0"
    needed = ("model_params", "tokens", "pairs_seen", "train_flops")
    return next((f"without {name}" for name in needed if getattr(record, name) is None), None)


def _shared(name: str, records: Iterable[RunRecord]) -> str | float:
    values = Counter(getattr(record.config, name) for record in records)
    if len(values) > 1:
        (first, many), (second, few) = values.most_common(2)
        raise FitError(
            f"all runs must share one {name} to be comparable, got {first} ({many} runs) and {second} ({few}): "
            "fit them separately"
        )
    value: str | float = next(iter(values))
    return value
