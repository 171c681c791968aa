"""Which runs of a table count.

A run is left out, counted and listed with its reason, where

- it has a status, and that is none of DONE, however it is spelled: the words of other trackers are among them; a run
  that diverged has a reason of its own;
- its loss, size, tokens, FLOP, budget or weight is missing, NaN, infinite or not positive, among those columns that the
  table has (a missing weight is 1);
- a setting or measurement of it is infinite, or has a sign that it cannot have (a missing or NaN one is unknown);
- it is there before: the same cell, setting, seed, tokens, FLOP and loss.

That is said of the columns as read, and again of tokens and FLOP that were computed.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from embudget.errors import FitError
from embudget.runs.columns import COMPARABLE, MEASURED, RECORDS, SETTING, Columns, Mask

NEEDED = ("loss", "model_params", "tokens", "train_flops", "budget", "weight")
"""Columns in which every run has a value, if the table has the column."""
DONE = ("", "done", "finished", "complete", "completed", "success", "succeeded")
"""Statuses of a run that ended well, in lower case; an unknown one is empty."""
LARGEST = 1e100
"""Numbers above count as infinite, and positive ones below its reciprocal as 0, so that nothing overflows later."""
_MOST = 2.0**53  # the largest number below which floats are whole
_MAY_BE_ZERO = ("warmup", "weight_decay", "decay", *MEASURED)
_WHOLE = ("max_length", "eval_pairs", "eval_candidates")
_CHECKED = (*NEEDED, *SETTING, *MEASURED, *COMPARABLE)

Dropped = list[tuple[int, str]]
"""(number of the row in its source, why it was left out)."""


def keep_usable(columns: Columns) -> tuple[Columns, Dropped]:
    """Part the runs that count from those left out; duplicates are found later, when the cells are known."""
    if "weight" in columns.numbers:
        weight = np.where(columns.empty["weight"], 1.0, columns.numbers["weight"])
        columns = columns.with_numbers("weight", weight)
    reasons = np.full(len(columns), "", dtype=object)
    for mask, reason in _flaws(columns):
        reasons[mask & (reasons == "")] = reason
    kept = np.asarray(reasons == "", dtype=bool)
    return columns.where(kept), left_out(columns, ~kept, reasons[~kept])


def left_out(columns: Columns, mask: Mask, reasons: Iterable[str]) -> Dropped:
    """The runs for which the mask holds, each with its reason."""
    return list(zip(columns.rows[mask].tolist(), reasons, strict=True))


def _flaws(columns: Columns) -> Iterator[tuple[Mask, str]]:
    """What may be wrong with a run, and where it is; the first that holds is the reason."""
    status = columns.texts.get("status")
    if status is not None:
        lower = np.char.lower(status.astype(str))
        yield lower == "diverged", "status is diverged"
        yield ~np.isin(lower, DONE), "status is not done"
    method = columns.texts.get("method")
    if method is not None:
        yield method == "", "method is missing"
    for name in (name for name in _CHECKED if name in columns.numbers):
        values, empty = columns.numbers[name], columns.empty[name]
        if name in NEEDED:
            yield empty, f"{name} is missing"
            yield np.isnan(values), f"{name} is nan"
        yield np.abs(values) > LARGEST, f"{name} is infinite"
        if name in _MAY_BE_ZERO:
            yield values < 0, f"{name} is negative"
        else:
            yield values < 1 / LARGEST, f"{name} is not positive"
        if name in _WHOLE:
            yield (values != np.floor(values)) & ~np.isnan(values) | (values > _MOST), f"{name} is not whole"


def shared_number(columns: Columns, name: str) -> float | None:
    """The value that all runs share; None where the table does not say.

    Raises:
        FitError: there are two.
    """
    values = columns.numbers.get(name)
    if values is None:
        return None
    counts = Counter(values[~np.isnan(values)].tolist())
    _check_shared(columns, name, [(f"{value:g}", count) for value, count in counts.most_common(2)])
    return next(iter(counts), None)


def shared_text(columns: Columns, name: str) -> str | None:
    """As `shared_number`, of a column of text."""
    counts = Counter(text for text in columns.texts.get(name, ()) if text)
    _check_shared(columns, name, counts.most_common(2))
    return next(iter(counts), None)


def _check_shared(columns: Columns, name: str, values: Sequence[tuple[str, int]]) -> None:
    if len(values) > 1:
        (first, many), (second, few) = values
        way_out = f", or ignore a column that means something else: --columns {name}="
        raise FitError(
            f"all runs must share one {name} to be comparable, got {first} ({many} runs) and {second} ({few}): "
            f"fit them separately{way_out if columns.source != RECORDS else ''}"
        )
