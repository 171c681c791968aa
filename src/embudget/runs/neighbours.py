"""Do the cells of a table agree with their neighbours? Losses in bits or that rise, settings that change on the way.

bits        Budgets whose losses are in bits lie 1.44 times above: see `embudget.runs.bits`.
a rise      Held-out losses fall with the tokens of a run. Where those of one model and method rise, the column is some
            score, such as accuracy, or the runs overfit.
settings    Where small budgets had another learning rate than large ones, a law takes what the rate does for an effect
            of the budget. A cell with three rates or more is at its best of them, so that its rate may change. Batches
            that grow with the budget are no fault in studies of embudget, which a table of records is told by through
            its column `pairs`: there the batch is a rule of the study that recipes go on with. In any other table
            nobody knows the rule, and a change by more than CHANGE is said.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from embudget.runs.bits import BITS, Array, Numbers, budgets_in_bits
from embudget.runs.columns import Remark

CHANGE = 2.0
"""Factor between the settings of small and large budgets above which we say so."""
_CERTAIN = 4.0  # standard errors by which a slope must rise


def cell_remarks(cells: pd.DataFrame, *, recorded: bool) -> Iterator[Remark]:
    """What the losses and settings of cells say; ``recorded`` where they are those of embudget's own runs."""
    names = [name for name in ("model", "method", "model_params") if name in cells]
    series = cells.groupby(names, dropna=False).ngroup().to_numpy()
    log_d, log_loss = np.log(cells["tokens"].to_numpy()), cells["log_loss"].to_numpy()
    budgets = cells["budget"].to_numpy()
    methods = cells.groupby("method").ngroup().to_numpy()
    bits = budgets_in_bits(methods, series, budgets, log_d, log_loss)
    if bits:
        at = ", ".join(f"{budget:.3g}" for budget in bits[:4]) + (f" and {len(bits) - 4} more" if len(bits) > 4 else "")
        text = (
            f"the losses at {at} FLOP lie 1.44 times above what those of the other budgets say: in bits, where the "
            "others are in nats? Bring all to nats, those rows times 0.6931 (a whole column: --columns "
            "loss=loss_bits*0.6931)"
        )
        yield Remark(about="loss", text=text)
        log_loss = log_loss - BITS * np.isin(budgets, bits)
    yield from _rise(series, log_d, log_loss)
    yield from _changes(cells, series, recorded=recorded)


def _rise(series: Numbers, log_d: Array, log_loss: Array) -> Iterator[Remark]:
    """A remark where log losses rise with the tokens of one model and method, or over all where each has one cell."""
    together = series if len(np.unique(series)) < len(series) else np.zeros(len(series), dtype=int)
    codes, sizes = np.unique(together, return_inverse=True, return_counts=True)[1:]

    def centred(values: Array) -> Array:
        means: Array = np.bincount(codes, values) / sizes
        return values - means[codes]

    x, y = centred(log_d), centred(log_loss)
    spread = np.bincount(codes, x**2)
    varied = spread > 1e-12
    freedom = len(x) - len(sizes) - 1
    if freedom < 3 or not varied.any():
        return
    slope = float(x @ y) / float(x @ x)
    error = float(np.sqrt(((y - slope * x) ** 2).sum() / freedom / (x @ x)))
    rising = np.bincount(codes, x * y)[varied] > 0
    if slope < _CERTAIN * error or slope <= 0 or rising.mean() < 2 / 3:
        return
    score = "it lies between 0 and 1: is it an accuracy?" if log_loss.max() <= 0 else "is it a score, such as accuracy?"
    where = (
        f"in {rising.sum()} of {len(rising)} series of one model and method" if len(rising) > 1 else "over all cells"
    )
    text = (
        f"the loss rises with the tokens {where}; {score} "
        "Laws need a held-out loss in nats, which falls: --columns loss=NAME. If it is one, the runs overfit or diverge"
    )
    yield Remark(about="loss", text=text)


def _changes(cells: pd.DataFrame, series: Numbers, *, recorded: bool) -> Iterator[Remark]:
    """A remark for each setting that changes between the lower and the upper half of the budgets."""
    budgets = cells["budget"].to_numpy()
    distinct = np.unique(budgets)
    large = budgets >= distinct[len(distinct) // 2]
    alone = (cells["rate_inside"].isna() & (cells["rates"] == 1)).to_numpy()
    for name in ("learning_rate", "batch_size"):
        if name not in cells or (name == "batch_size" and recorded) or len(distinct) < 2:
            continue
        values = cells[name].to_numpy(dtype=float)
        known = alone & np.isfinite(values)
        ratios = [
            float(np.median(values[of & large]) / np.median(values[of & ~large]))
            for one in np.unique(series)
            if (of := known & (series == one))[large].any() and of[~large].any()
        ]
        times = float(np.median(ratios)) if ratios else 1.0
        if not 1 / CHANGE <= times <= CHANGE:
            text = (
                f"{name} is {times:.3g} times as high at the upper half of the budgets as at the lower, and 3 rates "
                "were not tried there: the laws take what it changes for an effect of the budget; try 3 rates in a "
                "small and a large cell, or keep it the same"
            )
            yield Remark(about=name, text=text)
