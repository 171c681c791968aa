"""What a table of runs leaves out and can be known: the full method, tokens or FLOP, and the budgets.

method      as written, or a bare name with the columns `rank` (lora) or `active_fraction` (freeze); `full` for all
            where there is no such column
tokens D,   where one is absent it follows from the other by D = C / c, with c the method's FLOP per token: c = k N with
FLOP C      k = 6 for full, 2 + 4f for freeze with the active fraction f, 4 for bias and lora, whose own parameters are
            not counted then. Where the table has a column of methods and `model` names a built-in or local member, c is
            that of its shape, if the row's N is the shape's to SAME_SIZE: another N says that c is counted otherwise
budget      as given, without what rounding or jitter has added: see `asked`; where there is no such column, levels of
            C: see `levels_of`
"""

from collections.abc import Mapping

import numpy as np

from embudget.errors import ConfigError, MethodError
from embudget.methods import parse_method
from embudget.runs.columns import Columns, Numbers, Rows, group
from embudget.suite import known_shape

LEVEL_GAP = 1.15
"""Factor between neighbouring FLOP above which a new level starts."""
LEVEL_SPAN = 2.0
"""Factor that a level spans at most; one that spans more is cut."""
JITTER, JITTER_SPAN = 1.01, 1.05
"""Factor between neighbouring given budgets up to which they are one, and the one that they span together at most."""
ROUNDING = 1 + 1e-9
"""Factor up to which given budgets are one in any case: floats that were computed in another order."""
SAME_SIZE = 0.05
"""Relative difference up to which a row's N is that of a known shape."""
_VALUE_OF = {"lora": "rank", "freeze": "active_fraction"}
"""Method by its bare name -> column of its value."""


def with_methods(columns: Columns) -> Columns:
    """The same runs with the full, canonical method of each.

    Raises:
        ConfigError: a method cannot be read; the row is named.
    """
    written = columns.texts.get("method")
    if written is None:
        return columns.with_texts("method", np.full(len(columns), "full", dtype=object))
    values = {name: columns.numbers[name] for name in _VALUE_OF.values() if name in columns.numbers}
    first, codes = group(written, *values.values())
    canonical = np.empty(len(first), dtype=object)
    for place, row in enumerate(first.tolist()):
        text = _spelled(written[row], {name: float(column[row]) for name, column in values.items()})
        try:
            canonical[place] = str(parse_method(text))
        except MethodError as error:
            raise ConfigError(f"{columns.source}: row {columns.rows[row]}: {error}") from None
    return columns.with_texts("method", canonical[codes])


def _spelled(written: str, values: Mapping[str, float]) -> str:
    """A method with its value: lora and a rank of 32 make lora:32."""
    name = written.lower()
    value = values.get(_VALUE_OF.get(name, ""), np.nan)
    if np.isnan(value):
        return name
    return f"{name}:{int(value) if value.is_integer() else repr(value)}"


def with_costs(columns: Columns, *, by_shape: bool) -> Columns:
    """The same runs with tokens and FLOP; beyond the range of numbers where what they follow from is absurd.

    Args:
        columns: with methods.
        by_shape: whether a known member's shape says its FLOP per token; False where the table has no methods.
    """
    numbers = columns.numbers
    with np.errstate(over="ignore", under="ignore"):
        if "tokens" not in numbers:
            return columns.with_numbers("tokens", numbers["train_flops"] / _flops_per_token(columns, by_shape=by_shape))
        if "train_flops" not in numbers:
            return columns.with_numbers("train_flops", numbers["tokens"] * _flops_per_token(columns, by_shape=by_shape))
    return columns


def with_budgets(columns: Columns) -> Columns:
    """The same runs with budgets: those asked for, or levels of the FLOP where the table has none."""
    if "budget" in columns.numbers:
        return columns.with_numbers("budget", asked(columns.numbers["budget"]))
    return columns.with_numbers("budget", levels_of(columns.numbers["train_flops"]))


def _flops_per_token(columns: Columns, *, by_shape: bool) -> Numbers:
    methods, sizes = columns.texts["method"], columns.numbers["model_params"]
    models = columns.texts.get("model", np.full(len(columns), "", dtype=object))
    first, codes = group(models, methods)
    known, per_param = np.full(len(first), np.nan), np.empty(len(first))
    shape_size = np.full(len(first), np.nan)
    shapes = {model: known_shape(model) if by_shape else None for model in set(models[first].tolist())}
    for place, row in enumerate(first.tolist()):
        method, shape = parse_method(methods[row]), shapes[models[row]]
        per_param[place] = method.flops_per_param
        if shape is not None:
            known[place], shape_size[place] = method.flops_per_token(shape), shape.model_params
    same = np.abs(sizes / shape_size[codes] - 1) <= SAME_SIZE  # not where no shape is known: NaN
    return np.where(same, known[codes], per_param[codes] * sizes)


def asked(budgets: Numbers) -> Numbers:
    """The budget that each given one (n,) stands for.

    Budgets computed in floats differ in the last bit, and the FLOP spent miss those asked for by part of a step. So,
    sorted, budgets with no gap above JITTER between them are one, if together they span no more than JITTER_SPAN: the
    value that is there most often, or the middle one of several such. Where they span more they are meant to differ,
    and only ROUNDING is taken out.
    """
    if len(budgets) == 0:
        return budgets
    distinct, codes, counts = np.unique(budgets, return_inverse=True, return_counts=True)
    gaps = np.diff(np.log(distinct))
    near, equal = (np.concatenate([[0], np.cumsum(gaps > np.log(factor))]) for factor in (JITTER, ROUNDING))
    starts = np.flatnonzero(np.concatenate([[True], np.diff(near) > 0]))
    ends = np.append(starts[1:], len(distinct)) - 1
    wide = (distinct[ends] > JITTER_SPAN * distinct[starts])[near]
    parted = np.diff(near) + wide[1:] * np.diff(equal)
    first = np.flatnonzero(np.concatenate([[True], parted > 0]))
    values = [
        _most_often(distinct[start:end], counts[start:end])
        for start, end in zip(first.tolist(), [*first[1:].tolist(), len(distinct)], strict=True)
    ]
    meant: Numbers = np.repeat(values, np.diff(np.append(first, len(distinct))))[codes.reshape(-1)]
    return meant


def _most_often(values: Numbers, counts: Rows) -> float:
    """Of rising values the one that is there most often; the middle one of those that are, the lower of two."""
    most = values[counts == counts.max()]
    return float(most[(len(most) - 1) // 2])


def levels_of(train_flops: Numbers) -> Numbers:
    """The level of each FLOP (n,): the geometric mean of those that belong together.

    Sorted, a new level starts where the next lies more than LEVEL_GAP above; a level that spans more than a factor
    LEVEL_SPAN is cut on a grid of that factor from its lowest on.
    """
    if len(train_flops) == 0:
        return train_flops
    order = np.argsort(train_flops, kind="stable")
    logs = np.log(train_flops[order])
    level = np.concatenate([[0], np.cumsum(np.diff(logs) > np.log(LEVEL_GAP))])
    first = np.flatnonzero(np.concatenate([[True], np.diff(level) > 0]))
    last = np.append(first[1:], len(logs)) - 1
    spans = (logs[last] - logs[first]) / np.log(LEVEL_SPAN)
    place = np.floor((logs - logs[first][level]) / np.log(LEVEL_SPAN))
    cuts = np.maximum(np.ceil(spans - 1e-9), 1)[level] - 1
    _, codes = group(level, np.minimum(place, cuts))
    lowest = np.full(codes.max() + 1, np.inf)
    np.minimum.at(lowest, codes, logs)
    # relative to the lowest, so that a level of equal FLOP is exactly theirs
    above = np.bincount(codes, logs - lowest[codes]) / np.bincount(codes)
    start = np.full(len(lowest), np.inf)
    np.minimum.at(start, codes, train_flops[order])
    levels = np.empty_like(train_flops)
    levels[order] = (start * np.exp(above))[codes]
    return levels
