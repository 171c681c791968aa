"""Which runs of a table count.

A run is left out, counted and listed with its reason, where

- it has a status that is none of DONE, however it is spelled; the words of other trackers are among them, and a run
  that diverged has a reason of its own;
- its loss is no better than chance: its status is no_gain, or, where the table has a column chance or eval_candidates,
  its loss is not below chance by more than luck (see `embudget.records.LUCK`; without eval_pairs, not below chance).
  Laws of losses are about models that learn: the plateau at chance is no part of their form;
- its loss, size, tokens, FLOP, budget or weight is missing, NaN, infinite or not positive, among those columns that the
  table has (a missing weight is 1);
- a setting or measurement of it is infinite, or has a sign that it cannot have (a missing or NaN one is unknown);
- an earlier run has the same cell, setting, seed, tokens, FLOP and loss, and no other name in a column `run`.

Runs are checked as they were read, and once more when their tokens and FLOP have been computed.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from embudget.errors import FitError
from embudget.records import no_gain
from embudget.runs.columns import CELL, COMPARABLE, MEASURED, NEEDED, NUMBERS, SAID_NAN, SETTING, SUPPLY

DONE = ("", "done", "finished", "complete", "completed", "success", "succeeded")
"""Statuses of a run that ended well, in lower case; an unknown one is empty."""
LARGEST = 1e100
"""Numbers above it count as infinite, and positive ones below its reciprocal as 0: a product of two is then finite."""
_LARGEST_WHOLE = 2.0**53  # above it floats skip whole numbers
_MAY_BE_ZERO = ("warmup", "weight_decay", "decay", "negatives", "chance", *MEASURED)
_BY_CHANCE = "loss is no better than chance"
_WHOLE = ("max_length", "negatives", "eval_pairs", "eval_candidates")
_CHECKED = tuple(name for name in (*NEEDED, *SETTING, *MEASURED, *SUPPLY, *COMPARABLE, "chance") if name in NUMBERS)


def flaws_of(runs: pd.DataFrame) -> "pd.Series[str]":
    """Say why runs do not count: a reason by the number of the row, the first where a run has several."""
    masks, reasons = zip(*_flaws(runs), strict=True)
    found = pd.Series(np.select(masks, reasons, default=""), index=runs.index)
    return found[found != ""]


def _flaws(runs: pd.DataFrame) -> Iterator[tuple[ArrayLike, str]]:
    """Everything that may be wrong with a run: where it is, and the reason in words."""
    if "status" in runs:
        status = runs["status"].str.lower()
        yield status == "diverged", "status is diverged"
        yield status == "no_gain", _BY_CHANCE
        yield ~status.isin(DONE), "status is not done"
    if "method" in runs:
        yield runs["method"] == "", "method is missing"
    for name in (name for name in _CHECKED if name in runs):
        values = runs[name].to_numpy()
        if name in NEEDED:
            said = (runs[SAID_NAN] == name).to_numpy()
            yield np.isnan(values) & ~said, f"{name} is missing"
            yield said, f"{name} is nan"
        yield np.abs(values) > LARGEST, f"{name} is infinite"
        if name in _MAY_BE_ZERO:
            yield values < 0, f"{name} is negative"
        else:
            yield values < 1 / LARGEST, f"{name} is not positive"
        if name in _WHOLE:
            whole = (values == np.floor(values)) & (values <= _LARGEST_WHOLE)
            yield ~whole & ~np.isnan(values), f"{name} is not whole"
    if "loss" in runs:
        yield _is_by_chance(runs), _BY_CHANCE


def _is_by_chance(runs: pd.DataFrame) -> ArrayLike:
    """Which losses are no better than chance; none where the table does not say what chance is."""
    unknown = pd.Series(np.nan, index=runs.index)
    candidates, pairs, chance = (runs.get(name, unknown) for name in ("eval_candidates", "eval_pairs", "chance"))
    chance = chance.where(chance.notna(), np.log(candidates.where(candidates >= 2)))
    by_chance: pd.Series[bool] = no_gain(runs["loss"], chance, pairs.where(pairs >= 1, np.inf))
    return by_chance


def repeats_of(runs: pd.DataFrame) -> "pd.Series[str]":
    """The runs that repeat an earlier one in cell, setting, seed, tokens, FLOP, loss and name, as `flaws_of` does."""
    same = [name for name in (*CELL, *SETTING, "seed", "tokens", "train_flops", "loss", "run") if name in runs]
    return pd.Series("duplicate", index=runs.index[runs.duplicated(same)])


def shared(runs: pd.DataFrame, name: str, source: str | None) -> Any:  # noqa: ANN401 - a number or a text
    """The one value of a column that all runs must share; None where the table does not say.

    Raises:
        FitError: there are two values. If the runs are those of a file, its ``source``, whose column may mean something
            else, the message says how to ignore the column.
    """
    if name not in runs:
        return None
    counts = Counter(value for value in runs[name].dropna().tolist() if value != "")
    if len(counts) > 1:
        (first, many), (second, few) = counts.most_common(2)
        if name in NUMBERS:
            first, second = f"{first:g}", f"{second:g}"
        way_out = "" if source is None else f", or ignore a column that means something else: --columns {name}="
        raise FitError(
            f"all runs must share one {name} to be comparable, got {first} ({many} runs) and {second} ({few}): "
            f"fit them separately{way_out}"
        )
    return next(iter(counts), None)
