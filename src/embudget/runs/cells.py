"""Cells, and the steps by which anyone's runs become them.

Laws are fitted to cells. A *cell* is one (model, method, budget). Its runs may differ in their *setting* (learning
rate, batch size, schedule and so on) and in their seed; the cell has the loss of its best setting, averaged over seeds,
or that at the vertex of an envelope where at least 3 learning rates were tried. Its values are plain numbers, whatever
the runs came from.

Runs of one setting with different losses are repeated seeds, with a seed column or without one. Losses of different
held-out sets, numbers of candidates or temperatures are not comparable, so that they are refused.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from embudget.errors import TooFewRunsError
from embudget.frozen import Frozen
from embudget.limits import Candidates, Count, Length
from embudget.records import RunRecord
from embudget.runs.cell import Cell
from embudget.runs.columns import BEST_SCALE, BY_GROUP, CELL, COMPARABLE, Remark
from embudget.runs.groups import DIGITS, GroupLosses, common_groups
from embudget.runs.lineages import Lineage, lineages_of
from embudget.runs.tried import with_tried

if TYPE_CHECKING:
    import pandas as pd

MAX_LISTED = 20
"""Rows left out that a table names one by one."""


DEMO_PAIRS = {"4053029677a7d86a": 108_732}
"""Training pairs of the demo by content hash, for records from before they said it, those of the built-in laws."""

__all__ = ["Cell", "RunTable"]


class RunTable(Frozen):
    """The runs of a study that count, comparable with each other, as cells.

    For runs that embudget made, `RunTable.of(store.records())` needs no names of columns.

    Example:
        >>> table = RunTable.read("runs.csv", {"model_params": "Model Size", "train_flops": "Training FLOP"})
        >>> laws = embudget.fit(table)
    """

    cells: tuple[Cell, ...] = Field(description="by method, budget and size")
    run_count: PositiveInt = Field(description="runs that count, those at other than the best settings included")
    dropped: dict[str, int] = Field(default={}, description="number of runs left out, by the reason")
    listed: tuple[str, ...] = Field(
        default=(), description=f"the first {MAX_LISTED} of them in words; rows count from 1"
    )
    remarks: tuple[Remark, ...] = Field(default=(), description="columns that may mean something else")
    pairs: str | None = Field(default=None, description="content hash of the text pairs, the same for all")
    max_length: Length | None = Field(
        default=None, description="tokens at which texts are cut; None where runs differ in it, or do not say"
    )
    yardstick: str | None = Field(default=None, description="which held-out pairs the losses are of; None: unknown")
    eval_pairs: Candidates | None = None
    eval_candidates: Candidates | None = None
    scale: PositiveFloat | None = Field(
        default=None,
        le=1e6,
        description="1 / temperature of training, and of the held-out loss unless eval_scale is best; None where runs "
        "differ in it, or do not say",
    )
    eval_scale: str | None = Field(
        default=None, description="best: each loss is taken at the scale at which it is lowest; else at `scale`"
    )
    groups: GroupLosses | None = Field(
        default=None,
        description="losses of the cells by held-out group; None where not all runs have those of the same",
    )
    tokens_per_pair: PositiveFloat | None = Field(default=None, description="mean non-pad tokens, query and positive")
    training_pairs: Count | None = Field(
        default=None, description="that there were to train on, each counted once; of several numbers the largest"
    )
    lineages: tuple[Lineage, ...] = Field(
        default=(), description="where the runs are of several families or kinds of start, the one of most cells first"
    )

    @model_validator(mode="after")
    def _groups_of_the_cells(self) -> Self:
        if self.lineages and {one.name for one in self.lineages} != {cell.lineage for cell in self.cells}:
            raise ValueError("lineages must be those of the cells")
        if self.groups is not None and len(self.groups.losses) != len(self.cells):
            raise ValueError(f"groups must have losses of {len(self.cells)} cells, got {len(self.groups.losses)}")
        return self

    @classmethod
    def of(cls, records: Iterable[RunRecord]) -> Self:
        """Make cells of records; those that do not count are left out, and counted by their reason.

        Raises:
            TooFewRunsError: no record counts.
            FitError: two of them are not comparable.
        """
        from embudget.runs.read import read_records

        return cls._of(read_records(records), None)

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """Make cells of a store's flat rows, `Store.rows`, as `of` does of its records; memory stays small."""
        from embudget.runs.read import table_of_rows

        return cls._of(table_of_rows(rows), None)

    @classmethod
    def read(  # type: ignore[override] # a table is read from a file, other values from data
        cls, path: str | Path, columns: Mapping[str, str] | None = None
    ) -> Self:
        """Make cells of a CSV, TSV, JSON Lines or Parquet file of runs, one row a run or a checkpoint of one.

        The file needs the columns `model_params`, `loss`, and `tokens` or `train_flops`: the other follows from the
        method. It may have `method` (all runs are `full` without it), `model`, `budget`, `rank`, `active_fraction`,
        `learning_rate`, `batch_size`, `seed`, `weight`, `unique_tokens`, `run` (the same for the checkpoints of one
        run, which err together), and what else `embudget records --csv` writes. All its other columns are ignored.

        Args:
            path: ends in .csv, .tsv, .jsonl, .ndjson or .parquet; at most 1 GB. Columns of a text are parted by
                commas, semicolons or tabs.
            columns: the file's name of a column by ours, where they differ, with a factor if its unit is another:
                `{"model_params": "millions*1e6", "loss": "bits/1.4427"}`; "" to ignore the file's column of our name.

        Raises:
            ConfigError: the file cannot be read, is too large, has no rows, lacks a needed column, has a column twice,
                text where numbers belong, or a method that is none; or two of our names are mapped to one column, or
                a factor is not finite and positive.
            TooFewRunsError: no row counts.
            FitError: two of them are not comparable.
        """
        from embudget.runs.read import read_runs

        return cls._of(read_runs(path, columns), str(Path(path)))

    @classmethod
    def _of(cls, runs: "pd.DataFrame", source: str | None) -> Self:
        """Every step from runs to cells; ``source`` is the file that messages name, None for records.

        The steps need pandas, which takes half a second to load: the laws of a file do without it.
        """
        import pandas as pd

        from embudget.runs.base_losses import base_loss_remarks, with_base_losses
        from embudget.runs.clean import flaws_of, repeats_of, shared
        from embudget.runs.complete import with_budgets, with_costs, with_names, with_runs, with_supply
        from embudget.runs.lineages import with_lineages
        from embudget.runs.meaning import cost_remarks, with_known_sizes
        from embudget.runs.neighbours import cell_remarks
        from embudget.runs.tune import best_settings, settings_of, tuned

        flawed = flaws_of(runs)
        runs, remarks = with_known_sizes(with_costs(runs.drop(flawed.index), source))
        absurd = flaws_of(runs)  # tokens or FLOP beyond the range of numbers
        runs = with_runs(with_names(with_supply(with_budgets(with_lineages(runs.drop(absurd.index))))))
        runs = with_base_losses(runs)
        repeated = repeats_of(runs)
        runs = runs.drop(repeated.index)
        left_out = pd.concat([flawed, absurd, repeated])
        reasons = Counter(left_out.tolist()).most_common()
        if runs.empty:
            counted = ", ".join(f"{count} whose {reason}" for reason, count in reasons[:5])
            raise TooFewRunsError(f"a law needs finished runs with a loss, got {counted or 'no records at all'}")
        common = {name: shared(runs, name, source) for name in ("pairs", *COMPARABLE)}
        common["eval_scale"] = None if common["eval_scale"] == "own" else common["eval_scale"]
        common["scale"] = _one_scale(runs) if common["eval_scale"] == BEST_SCALE else shared(runs, "scale", source)
        remarks += cost_remarks(runs)
        runs, group_pairs, more = common_groups(runs)
        remarks += more
        settings = tuned(settings_of(runs))
        cells = with_tried(_with_run(best_settings(settings), runs), settings, group_pairs)
        length = _one_length(runs)
        if length is not None:
            cells = cells.drop(columns="max_length")
        if common["scale"] is not None:
            cells = cells.drop(columns="scale")
        remarks += [*cell_remarks(cells, recorded=common["pairs"] is not None), *base_loss_remarks(cells)]
        return super().read(
            {
                "cells": _fields(cells),
                "run_count": len(runs),
                "dropped": dict(reasons),
                "listed": [f"row {row}: {reason}" for row, reason in left_out.sort_index().head(MAX_LISTED).items()],
                "remarks": remarks,
                **common,
                "groups": None if group_pairs is None else _group_losses(group_pairs, cells),
                "max_length": length,
                "tokens_per_pair": _tokens_per_pair(runs),
                "training_pairs": _training_pairs(runs),
                "lineages": lineages_of(runs, cells, _one_length, _tokens_per_pair),
            },
            source or "records",
        )

    @property
    def known_pairs(self) -> int | None:
        """Training pairs of the study, each counted once; None where neither its runs nor their content hash tell."""
        return self.training_pairs or DEMO_PAIRS.get(self.pairs or "")

    def of_lineages(self) -> "tuple[RunTable, ...]":
        """A table for each lineage, the one of most cells first; this one alone where all runs are of one lineage.

        What was left out of the runs, and why, is said by the first alone.
        """
        return tuple(self._of_lineage(place) for place in range(len(self.lineages))) or (self,)

    def _of_lineage(self, place: int) -> "RunTable":
        one = self.lineages[place]
        rows = [row for row, cell in enumerate(self.cells) if cell.lineage == one.name]
        mine: dict[str, Any] = {
            "cells": tuple(self.cells[row] for row in rows),
            "run_count": one.run_count,
            "max_length": one.max_length,
            "tokens_per_pair": one.tokens_per_pair,
            "groups": None if self.groups is None else self.groups.of_cells(rows),
            "lineages": (),
        }
        if place > 0:
            mine |= {"dropped": {}, "listed": ()}
        return RunTable.model_construct(**{name: getattr(self, name) for name in RunTable.model_fields} | mine)

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


def _with_run(cells: "pd.DataFrame", runs: "pd.DataFrame") -> "pd.DataFrame":
    """Add the run of each cell that only one run has rows in; the others are of several."""
    if "run" not in runs:
        return cells
    of_cell = [name for name in CELL if name in runs]
    names = runs.groupby(of_cell)["run"]
    return cells.join(names.first().where(names.nunique() == 1, ""), on=of_cell)


def _fields(cells: "pd.DataFrame") -> list[dict[str, Any]]:
    """The fields of each cell; those that are NaN are unknown and left out."""
    fields = cells[[name for name in Cell.model_fields if name in cells]].to_dict("records")
    return [{str(name): value for name, value in cell.items() if value == value} for cell in fields]


def _group_losses(pairs: tuple[int, ...], cells: "pd.DataFrame") -> GroupLosses:
    losses = [[round(loss, DIGITS) for loss in of_cell.tolist()] for of_cell in cells[BY_GROUP]]
    return GroupLosses.model_validate({"pairs": pairs, "losses": losses})


def _one_scale(runs: "pd.DataFrame") -> float | None:
    """The scale of all runs; None where they differ in it, or do not say."""
    if "scale" not in runs:
        return None
    scales = runs["scale"].dropna().unique()
    return float(scales[0]) if len(scales) == 1 else None


def _one_length(runs: "pd.DataFrame") -> float | None:
    """The length at which all runs cut their texts; None where they differ or do not say."""
    lengths = set(runs["max_length"].dropna().tolist()) if "max_length" in runs else set()
    return float(lengths.pop()) if len(lengths) == 1 else None


def _tokens_per_pair(runs: "pd.DataFrame") -> float | None:
    """The mean over all pairs that were seen; None where no run says how many it saw."""
    known = runs[runs["pairs_seen"] >= 1] if "pairs_seen" in runs else runs.head(0)
    if known.empty:
        return None
    return float(known["tokens"].to_numpy().sum() / known["pairs_seen"].to_numpy().sum())


def _training_pairs(runs: "pd.DataFrame") -> int | None:
    """The most pairs that any run could train on; None where no run says it."""
    most = runs["training_pairs"].max() if "training_pairs" in runs else float("nan")
    return int(most) if most >= 1 else None
