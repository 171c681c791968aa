"""Do N and C of a table mean what they must mean?

Laws take N for the parameters without embeddings and adapters, and C for the algorithmic FLOP of training. People's
tables often hold others, and nothing fails then: with N as model cards give it, recipes lose 4 % of the loss (mean over
simulated studies); with C counted otherwise, nobody sees how far a recipe extrapolates. So the columns are held against
what is known of them:

N   where `model` names a built-in checkpoint, in our spelling or the hub's, N is that of its shape to SAME_SIZE. An N
    whose cause is plain (embeddings or adapters counted in, a size as the name says it, another unit) is replaced by
    the shape's, and so is a C that was counted with it. N of any other size may be right, as of a model that was cut
    without its name saying so: it is kept, with a remark.
C   by the formula c D, with c of the method and the shape; of an unknown shape c is at least k N and at most 6 N, k the
    method's FLOP per token and parameter (a method of few active blocks may have none but one, LoRA adapters of its
    own). Where C was computed here, it agrees. Run by run C / D must lie within TOLERANCE of that; a budget within
    BUDGET_TOLERANCE, since a run of few steps misses it by part of one. Where the embeddings of a shape are known, C is
    also held against the formula with them counted in, which may be closer.

A remark needs SHARE of the runs and two of them, so that a slip in one row, which the fit copes with, is not taken for
the meaning of a column. Losses and settings are looked at in `embudget.runs.neighbours`.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embudget.methods import Method, parse_method
from embudget.runs.columns import Remark
from embudget.runs.complete import SAME_SIZE, built_in_shape, flops_per_token, shape_named
from embudget.suite import ModelShape

TOLERANCE, BUDGET_TOLERANCE = 1.25, 1.5
"""Factors by which FLOP and budgets may lie off the formula: methods of counting that go into detail differ by less."""
SHARE, FEWEST = 0.1, 2
"""Share of the runs, and runs, that must be off."""
LEAST_PARAMS = 1e4
"""N below which a model cannot have a block; in millions or billions every N is below it."""
_CONSTANT = 0.1  # spread of log ratios below which they are one factor
_NAMED = {
    1 / 3: "the forward pass alone is counted",
    1 / 2: "multiply-adds are counted once (MACs, 3 N D)",
    4 / 3: "recomputed activations are counted (8 N D)",
    2.0: "each operation is counted twice (12 N D)",
}
"""Causes of constant factors."""
_EMBEDDINGS = "embeddings are counted in, which weigh most in small models"
_MATCH = 1.015  # factor to which C / D is that of N with the embeddings, where these are known
_NOMINAL = re.compile(r"(\d+(?:\.\d+)?)([mb])(?![a-z0-9])")


def with_known_sizes(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[Remark]]:
    """Take the shape's N for another whose cause is plain, with the C that was counted with it, and remark on it."""
    if "model" not in runs:
        return runs, []
    given, tokens = runs["model_params"].to_numpy(), runs["tokens"].to_numpy()
    own, causes = _sizes(runs)
    unknown = sorted(set(causes.tolist()) - {"", *_CAUSES})
    remarks = [Remark(about="model_params", text=text) for text in unknown[:3]]
    plain = np.isin(causes, _CAUSES)
    if not plain.any():
        return runs, remarks
    taken = np.isfinite(own) & (plain | (causes == ""))
    sized = runs.assign(model_params=np.where(taken, own, given))
    with_given = np.array([parse_method(text).flops_per_param for text in runs["method"]]) * given * tokens
    follows = taken & (np.abs(runs["train_flops"].to_numpy() / with_given - 1) <= SAME_SIZE)
    flops = np.where(follows, flops_per_token(sized, by_shape=True) * tokens, runs["train_flops"])
    rest = "; N of other models is kept: leave embeddings out there too" if np.isnan(own).any() else ""
    settled = []
    for cause in dict.fromkeys(causes[plain].tolist()):
        named = runs.loc[causes == cause, "model"].drop_duplicates()
        place = runs.index.get_loc(named.index[0])
        text = (
            f"model_params of {_listed(named.tolist())} {cause}: {given[place]:.4g} for {named.iloc[0]}, "
            f"which has {own[place]:.4g} without embeddings; the shapes' N was taken{rest}"
        )
        settled.append(Remark(about="model_params", text=text, settled=True))
    return sized.assign(train_flops=flops), [*settled, *remarks]


_CAUSES = ("counts the embeddings", "counts the adapters", "is in millions", "is in billions")


def _sizes(runs: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """N of the shape of each run, NaN of an unknown one; and the cause of another, or a text that there is none."""
    chosen = ["model", "method", "model_params"]
    found = []
    for name, text, given in runs[chosen].drop_duplicates().itertuples(index=False):
        shape = built_in_shape(name)
        if shape is None:
            found.append((np.nan, ""))
        elif abs(given / shape.model_params - 1) <= SAME_SIZE:
            found.append((float(shape.model_params), ""))
        else:
            found.append((float(shape.model_params), _cause(name, shape, parse_method(text), given)))
    codes = runs.groupby(chosen, sort=False, dropna=False).ngroup().to_numpy()
    return np.array([size for size, _ in found])[codes], np.array([cause for _, cause in found], dtype=str)[codes]


def _cause(name: str, shape: ModelShape, method: Method, given: float) -> str:
    size, table = shape.model_params, shape.embedding_params
    nominal = [float(n) * {"m": 1e6, "b": 1e9}[unit] for n, unit in _NOMINAL.findall(name.partition(":")[0].lower())]
    meant = {
        "counts the embeddings": [size + table, size + 2 * table, *(nominal if ":" not in name else ())],
        "counts the adapters": [method.total_params(shape), method.total_params(shape) + table],
        "is in millions": [n / 1e6 for n in (size, size + table, size + 2 * table, *nominal)],
        "is in billions": [n / 1e9 for n in (size, size + table, size + 2 * table, *nominal)],
    }
    for cause, sizes in meant.items():
        if any(abs(given / one - 1) <= SAME_SIZE for one in sizes):
            return cause
    return (
        f"model_params of {name} is {given:.4g}, and its shape has {size:.4g} without embeddings: correct it, or name "
        f"the depth of a model that was cut, as in {name.partition(':')[0]}:{max(1, shape.layers // 2)}"
    )


def cost_remarks(runs: pd.DataFrame) -> Iterator[Remark]:
    """What `train_flops` and budgets are, where they are not the FLOP of training; N where it is in another unit."""
    if (runs["model_params"] < LEAST_PARAMS).all():
        most = runs["model_params"].max()
        text = f"model_params is at most {most:.4g}: in millions or billions? --columns model_params=NAME*1e6 or *1e9"
        yield Remark(about="model_params", text=text)
        return
    low, high, tables = _bounds(runs)
    said: NDArray[np.float64] | None = None
    given = ["budget"] if "length" not in runs else []  # else a level of the FLOP: see `embudget.runs.complete`
    for name in ("train_flops", *given):
        tolerance = TOLERANCE if name == "train_flops" else BUDGET_TOLERANCE
        per_token = runs[name].to_numpy() / runs["tokens"].to_numpy()
        ratio = np.where(per_token > high, per_token / high, np.where(per_token < low, per_token / low, 1.0))
        counted = (tables > _MATCH**2) & (np.abs(np.log(ratio / tables)) < np.log(_MATCH))
        off = (np.abs(np.log(ratio)) > np.log(tolerance)) | (counted & (name == "train_flops"))
        if off.sum() < max(FEWEST, SHARE * len(runs)):
            continue
        exact = off & (high <= low)  # only of these the factor is known
        shown = exact if exact.any() else off
        if said is not None and abs(np.log(np.median(ratio[shown]) / np.median(said))) < _CONSTANT:
            continue  # a budget in the unit of train_flops: the remedy below names both
        also = ",budget=" if name == "train_flops" and given else ""
        said = ratio[shown]
        size = runs["model_params"].to_numpy()
        why = _EMBEDDINGS if counted[shown].mean() > 0.5 else _why(ratio, shown, size)
        text = (
            f"{name} is not the FLOP of training: in {off.sum()} of {len(runs)} runs it is {_span(ratio[shown])} times "
            f"that by N, D and method, as where {why}; leave it out, --columns {name}={also}, or "
            f"bring it to FLOP, --columns {name}=NAME*FACTOR"
        )
        yield Remark(about=name, text=text)


def _bounds(runs: pd.DataFrame) -> NDArray[np.float64]:
    """The least and largest training FLOP per token of each run, and N with embeddings / N, NaN if unknown (3, n)."""
    chosen = [name for name in ("model", "method") if name in runs]
    costs = []
    for values in runs[chosen].drop_duplicates().to_dict("records"):
        method, shape = parse_method(values["method"]), shape_named(values.get("model", ""))
        exact = [np.nan] * 3
        if shape is not None:
            size = shape.model_params
            exact = [size, method.flops_per_token(shape), 1 + shape.embedding_params / size]
        costs.append((method.flops_per_param, *exact))
    codes = runs.groupby(chosen, sort=False).ngroup().to_numpy()
    per_param, of_shape, exactly, tables = np.array(costs, dtype=float).reshape(-1, 4)[codes].T
    given = runs["model_params"].to_numpy()
    same = np.abs(given / of_shape - 1) <= SAME_SIZE
    bounds = np.where(same, exactly, per_param * given), np.where(same, exactly, 6 * given)
    return np.stack([*bounds, np.where(same, tables, np.nan)])


def _why(ratio: NDArray[np.float64], off: NDArray[np.bool_], size: NDArray[np.float64]) -> str:
    """The likely cause of ratios (n,), some of which are off, of runs of these sizes (n,)."""
    logs = np.log(ratio[off])
    middle = float(np.median(logs))
    if np.ptp(np.quantile(logs, (0.1, 0.9))) < _CONSTANT:
        for factor, cause in _NAMED.items():
            if abs(middle - np.log(factor)) < np.log(1.08):
                return cause
        if abs(middle) > np.log(50):
            return "it or the tokens are in another unit (thousands, GFLOP, FLOP/s)"
    smallest, largest = (np.median(ratio[size == end]) for end in (size.min(), size.max()))
    if middle > 0 and smallest > largest * np.exp(_CONSTANT):
        return _EMBEDDINGS
    return "other operations or other tokens (padding, say) are counted"


def _span(ratio: NDArray[np.float64]) -> str:
    low, high = np.quantile(ratio, (0.05, 0.95))
    return f"{np.median(ratio):.3g}" if high < 1.05 * low else f"{low:.3g} to {high:.3g}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
