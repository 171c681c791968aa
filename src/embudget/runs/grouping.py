"""From runs to cells: which belong together, and what a cell says of them.

A cell is one (model, size, method, budget); in a table without budgets also its tokens, to 4 significant digits, so
that runs of different length stay apart. Of a cell's settings (learning rates, batch sizes, schedules, anything but the
seed) one is the cell's, see `tuning`.

A weight w says that a run's log loss x has the variance s^2 / w, for one s of all runs (1 where there is none). Of the
seeds of a setting

    log loss       m = sum w x / sum w, with variance s^2 / sum w; a cell's precision is seeds * mean w = sum w
    weight         mean w
    seed_squares   sum w (x - m)^2 / mean w, expected (seeds - 1) s^2 / mean w: the noise of a run of the mean weight
    seeds          the runs, whatever they weigh

Tokens, FLOP, steps and seconds are plain means. An envelope takes the weight of its best tried setting.
"""

from typing import Any

import numpy as np

from embudget.runs.columns import MEASURED, SETTING, WORDS, Columns, Key, Mask, Numbers, Rows, Texts, group
from embudget.runs.tune import Settings, settled, tuned


def cell_of_run(columns: Columns, *, by_tokens: bool) -> Rows:
    """The cell of each run (n,)."""
    numbers = columns.numbers
    keys: list[Key] = [columns.texts["method"], numbers["budget"], numbers["model_params"], _names(columns)]
    if by_tokens:
        keys.append(_rounded(numbers["tokens"]))
    return group(*keys)[1]


def repeated(columns: Columns, cell: Rows) -> Mask:
    """Whether the same cell, setting, seed, tokens, FLOP and loss were there before (n,)."""
    names = ("seed", "tokens", "train_flops", "loss")
    measured = [columns.numbers[name] for name in names if name in columns.numbers]
    first, _ = group(cell, *_setting(columns), *measured)
    again = np.ones(len(columns), dtype=bool)
    again[first] = False
    return again


def cells_of(columns: Columns, cell: Rows) -> list[dict[str, Any]]:
    """The values of each cell, by method, budget and size."""
    first, codes = group(cell, *_setting(columns))
    settings = _settings(columns, cell[first], first, codes)
    best, tried = tuned(settings)
    measured = np.where(settings.seeds == 1, columns.numbers["loss"][first], np.exp(settings.log_loss))
    numbers: dict[str, Any] = {name: _means(columns.numbers[name], codes) for name in ("tokens", "train_flops")}
    numbers |= {name: columns.numbers[name][first] for name in ("model_params", "budget")}
    numbers["loss"] = np.where(best.log_loss == settings.log_loss, measured, np.exp(best.log_loss))
    numbers |= {"seeds": best.seeds, "seed_squares": best.seed_squares, "rates": tried.rates}
    optional = {**best.chosen, **tried._asdict()}
    del optional["rates"]
    means = (*MEASURED, "weight")
    optional |= {name: _means(columns.numbers[name], codes) for name in means if name in columns.numbers}
    texts = {"model": _names(columns)[first], "method": columns.texts["method"][first]}
    texts |= settings.words
    places = settled(best)
    keys = (numbers["tokens"], texts["model"], numbers["model_params"], numbers["budget"], texts["method"])
    order = places[np.lexsort([np.unique(key[places], return_inverse=True)[1].reshape(-1) for key in keys])]
    return _dicts({**texts, **numbers}, optional, order)


def _settings(columns: Columns, cell: Rows, first: Rows, codes: Rows) -> Settings:
    """The settings whose cells, first runs and places by run these are."""
    seeds = np.bincount(codes)
    logs = np.log(columns.numbers["loss"])
    weights = columns.numbers.get("weight", np.ones(len(columns)))
    relative = weights / _means(weights, codes)[codes]  # exactly 1 where all are 1
    log_loss = np.bincount(codes, relative * logs) / np.bincount(codes, relative)
    squares = np.bincount(codes, relative * (logs - log_loss[codes]) ** 2)
    return Settings(
        cell=cell,
        words={name: columns.texts[name][first] for name in WORDS if name in columns.texts},
        chosen={name: columns.numbers[name][first] for name in SETTING if name in columns.numbers},
        log_loss=log_loss,
        seeds=seeds,
        seed_squares=np.where(seeds == 1, 0.0, squares),
    )


def _dicts(needed: dict[str, Any], optional: dict[str, Numbers], order: Rows) -> list[dict[str, Any]]:
    """A dictionary of each setting in this order; what is not known is left out."""
    cells = [
        dict(zip(needed, values, strict=True))
        for values in zip(*(column[order].tolist() for column in needed.values()), strict=True)
    ]
    for name, column in optional.items():
        for values, value in zip(cells, column[order].tolist(), strict=True):
            if value == value:  # not NaN
                values[name] = value
    return cells


def _setting(columns: Columns) -> list[Key]:
    numbers: list[Key] = [columns.numbers[name] for name in SETTING if name in columns.numbers]
    return numbers + [columns.texts[name] for name in WORDS if name in columns.texts]


def _means(values: Numbers, codes: Rows) -> Numbers:
    """The mean of the known values of each group; NaN where none is known."""
    known = ~np.isnan(values)
    count = np.bincount(codes, known)
    total = np.bincount(codes, np.where(known, values, 0.0))
    means: Numbers = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return means


def _rounded(values: Numbers) -> Numbers:
    """To 4 significant digits."""
    step = 10.0 ** (np.floor(np.log10(values)) - 3)
    rounded: Numbers = np.round(values / step) * step
    return rounded


def _names(columns: Columns) -> Texts:
    """The models' names; where there is none, one made of the size."""
    named = columns.texts.get("model")
    if named is not None and (named != "").all():
        return named
    first, codes = group(columns.numbers["model_params"])
    made = np.empty(len(first), dtype=object)
    made[:] = [f"N={size:.4g}" for size in columns.numbers["model_params"][first].tolist()]
    names: Texts = made[codes] if named is None else np.where(named == "", made[codes], named)
    return names
