"""What a table of runs leaves out and can be known: the full method, tokens or FLOP, budgets and names.

method      as written, or a bare name with the columns `rank` (lora) or `active_fraction` (freeze); `full` for all
            where there is no such column
tokens D,   where one is absent it follows from the other by C = c D, with c the method's FLOP per token: c = k N with
FLOP C      k = 6 for full, 2 + 4f for freeze with the active fraction f, 4 for bias and lora, whose own parameters are
            not counted then. Where the table has a column of methods and `model` names a built-in or local member, c is
            that of its shape, if the row's N is the shape's to SAME_SIZE: another N says that c is counted otherwise
budget      as given, without what rounding or jitter has added: see `asked`; where there is no such column, levels of
            C: see `levels_of`. Runs of very different length can have one level; their D to 4 digits, `length`, keeps
            them in different cells
unique      the tokens of the training data, each counted once, as given, or those of `training_pairs` at the run's own
tokens U    tokens a pair. Runs that differ in nothing but what they repeat are different cells: `supply` is U to 4
            digits where a given U is less than D, else 0
model       as given, or a text made of N
run         as given, where it groups rows: a column that gives each row a name of its own says no more than its number
"""

import re

import numpy as np
import pandas as pd

from embudget.errors import ConfigError, MethodError
from embudget.methods import parse_method
from embudget.runs.columns import SIZE_NAME
from embudget.suite import SHAPES, ModelShape, known_shape

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
"""The column that holds the value of a method, by the method's bare name."""
_ENDS = re.compile(r"-(deduped|instruct|base|pt|it|hf)$")


def with_costs(runs: pd.DataFrame, source: str | None) -> pd.DataFrame:
    """Add the canonical method, the tokens and the FLOP of each run.

    Tokens or FLOP that follow from absurd numbers may be infinite or 0; `embudget.runs.clean` refuses them afterwards.

    Raises:
        ConfigError: a method cannot be read; the row is named, with its ``source`` if that is a file.
    """
    by_shape = "method" in runs
    runs = _with_methods(runs, source) if by_shape else runs.assign(method="full")
    if "tokens" in runs and "train_flops" in runs:
        return runs
    with np.errstate(over="ignore", under="ignore"):
        per_token = flops_per_token(runs, by_shape=by_shape)
        if "tokens" in runs:
            return runs.assign(train_flops=runs["tokens"] * per_token)
        return runs.assign(tokens=runs["train_flops"] / per_token)


def _with_methods(runs: pd.DataFrame, source: str | None) -> pd.DataFrame:
    """Put the canonical text of each method in the place of what was written; each spelling is parsed once."""
    columns = ["method", *(column for column in _VALUE_OF.values() if column in runs)]
    canonical = []
    for row, *written in runs[columns].drop_duplicates().itertuples():
        text = _spelled(**dict(zip(columns, written, strict=True)))
        try:
            canonical.append(str(parse_method(text)))
        except MethodError as error:
            raise ConfigError(f"{source or 'records'}: row {row}: {error}") from None
    codes = runs.groupby(columns, dropna=False, sort=False).ngroup()  # in the order of drop_duplicates
    return runs.assign(method=np.array(canonical, dtype=object)[codes.to_numpy()])


def _spelled(method: str, **values: float) -> str:
    """Spell a method with its value: lora and a rank of 32 make lora:32."""
    name = method.lower()
    value = values.get(_VALUE_OF.get(name, ""), np.nan)
    if np.isnan(value):
        return name
    return f"{name}:{int(value) if value.is_integer() else repr(value)}"


def flops_per_token(runs: pd.DataFrame, *, by_shape: bool) -> "pd.Series[float]":
    """The training FLOP per token of each run, by the shape of a known member, or else from N alone."""
    columns = [name for name in ("model", "method") if name in runs]
    costs = []
    for values in runs[columns].drop_duplicates().to_dict("records"):
        method, shape = parse_method(values["method"]), shape_named(values.get("model", "")) if by_shape else None
        exact = (np.nan, np.nan) if shape is None else (shape.model_params, method.flops_per_token(shape))
        costs.append((method.flops_per_param, *exact))
    codes = runs.groupby(columns, sort=False).ngroup().to_numpy()
    per_param, shape_size, of_shape = np.array(costs, dtype=float).reshape(-1, 3)[codes].T
    sizes = runs["model_params"].to_numpy()
    same = np.abs(sizes / shape_size - 1) <= SAME_SIZE  # False where no shape is known, since that size is NaN
    return pd.Series(np.where(same, of_shape, per_param * sizes), index=runs.index)


def built_in_shape(name: str) -> ModelShape | None:
    """The shape of a built-in checkpoint by our name for it or the hub's, perhaps with a depth; else None.

    Example:
        >>> built_in_shape("EleutherAI/pythia-70m-deduped").name
        'pythia-70m'
    """
    base, colon, depth = name.partition(":")
    if base not in SHAPES and base.count("/") <= 1 and not base.startswith((".", "/", "~")):
        base = _SPELLINGS.get(_plain(base), "")
    return known_shape(base + colon + depth) if base in SHAPES else None


def shape_named(name: str) -> ModelShape | None:
    """The shape of a built-in checkpoint in any spelling, or of a local folder; None of any other model."""
    return known_shape(name) or built_in_shape(name)


def _plain(name: str) -> str:
    return _ENDS.sub("", name.rpartition("/")[2].lower())


_SPELLINGS = {_plain(text): name for name, shape in SHAPES.items() for text in (shape.hub_id or name, name)}


def with_budgets(runs: pd.DataFrame) -> pd.DataFrame:
    """Add the budget of each run; where the table has none, also its length, the tokens to 4 digits."""
    if "budget" in runs:
        return runs.assign(budget=asked(runs["budget"]))
    step = 10.0 ** (np.floor(np.log10(runs["tokens"])) - 3)
    return runs.assign(budget=levels_of(runs["train_flops"]), length=np.round(runs["tokens"] / step) * step)


def asked(budgets: "pd.Series[float]") -> "pd.Series[float]":
    """The budget that each given one stands for.

    Budgets computed in floats differ in the last bit, and the FLOP spent miss those asked for by part of a step. So,
    sorted, budgets with no gap above JITTER between them are one, if together they span no more than JITTER_SPAN: the
    value that is there most often, or the middle one of several such, the lower of two. Where they span more they are
    meant to differ, and only ROUNDING is taken out.
    """
    counts = budgets.value_counts().sort_index()
    given = counts.rename_axis("value").reset_index(name="runs")
    gaps = given["value"].transform("log").diff()
    near = given["value"].groupby((gaps > np.log(JITTER)).cumsum())
    wide = near.transform("max") > JITTER_SPAN * near.transform("min")
    given["one"] = ((gaps > np.log(JITTER)) | (wide & (gaps > np.log(ROUNDING)))).cumsum()
    most = given[given["runs"] == given.groupby("one")["runs"].transform("max")]
    values = most.groupby("one")["value"]
    middle = most[values.cumcount() == (values.transform("size") - 1) // 2].set_index("one")["value"]
    return budgets.map(given.set_index("value")["one"].map(middle))


def levels_of(train_flops: "pd.Series[float]") -> "pd.Series[float]":
    """The level of each FLOP: the geometric mean of those that belong together.

    Sorted, a new level starts where the next lies more than LEVEL_GAP above; a level that spans more than a factor
    LEVEL_SPAN is cut on a grid of that factor from its lowest on.
    """
    flops = train_flops.sort_values(kind="stable")
    logs = pd.Series(np.log(flops), index=flops.index)
    gapless = (logs.diff() > np.log(LEVEL_GAP)).cumsum()
    lowest, highest = (logs.groupby(gapless).transform(end) for end in ("min", "max"))
    pieces = np.maximum(np.ceil((highest - lowest) / np.log(LEVEL_SPAN) - 1e-9), 1)
    piece = np.minimum(np.floor((logs - lowest) / np.log(LEVEL_SPAN)), pieces - 1)
    codes = logs.groupby([gapless, piece]).ngroup()
    # the mean is taken relative to the lowest, so that a level of equal FLOP is exactly theirs
    above = logs - logs.groupby(codes).transform("min")
    means = np.bincount(codes, above) / np.bincount(codes)
    levels: pd.Series[float] = flops.groupby(codes).transform("min") * np.exp(means)[codes]
    return levels.reindex(train_flops.index)


def with_supply(runs: pd.DataFrame) -> pd.DataFrame:
    """Add the unique tokens of each run where they are known, and the supply that keeps their cells apart."""
    if "unique_tokens" in runs:
        unique = runs["unique_tokens"]
        step = 10.0 ** (np.floor(np.log10(unique)) - 3)
        return runs.assign(supply=np.where(unique < runs["tokens"], np.round(unique / step) * step, 0.0))
    if "training_pairs" not in runs or "pairs_seen" not in runs:
        return runs
    unique = runs["training_pairs"] * runs["tokens"] / runs["pairs_seen"].where(runs["pairs_seen"] >= 1)
    return runs.assign(unique_tokens=unique) if unique.notna().any() else runs


def with_names(runs: pd.DataFrame) -> pd.DataFrame:
    """Give models without a name one that is made of their size, N=1.2e+08, and other weights another name.

    Weights that were moved to another folder have the name of the last run. Where the weights behind a name were
    replaced, the runs of the earlier ones get theirs in brackets, so that they are another model.
    """
    sizes = runs["model_params"]
    made = sizes.map({size: f"{SIZE_NAME}{size:.4g}" for size in sizes.unique().tolist()})
    names = runs["model"].where(runs["model"] != "", made) if "model" in runs else made
    if "model_weights" not in runs:
        return runs.assign(model=names)
    weights = runs["model_weights"].fillna("")
    known = weights != ""
    depth = names.str.extract(r":(\d+)$", expand=False).fillna("")
    names = names.where(~known, names.groupby([weights, depth]).transform("last"))
    earlier = known & (weights != weights.groupby(names).transform("last"))
    return runs.assign(model=names.where(~earlier, names + " (" + weights + ")"))


def with_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Leave out a column `run` in which no run has two rows."""
    if "run" not in runs or runs.loc[runs["run"] != "", "run"].duplicated().any():
        return runs
    return runs.drop(columns="run")
