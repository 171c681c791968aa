"""The best setting of each cell: laws describe tuned runs.

Runs that share all that was chosen (learning rate, batch size, schedule, anything but the seed) are seeds of one
setting. A weight w says that a run's log loss x has the variance s^2 / w, with one s for all runs (w is 1 where the
table has none). The seeds of a setting give

    log loss       m = sum w x / sum w, with variance s^2 / sum w; a cell's precision is seeds * mean w = sum w
    weight         mean w
    seed_squares   sum w (x - m)^2 / mean w, expected (seeds - 1) s^2 / mean w: the noise of a run of the mean weight
    seeds          the runs, whatever they weigh

Tokens, FLOP, steps and seconds are plain means. Among the settings of a cell

- those that differ in nothing but learning rate and batch size are one, at the vertex of their surface, where at least
  8 of them determine one and it has a minimum between them;
- those that differ in nothing but the learning rate are one, at the vertex of their curve, where at least 3 rates were
  tried; without a minimum between them, or with two, the best of them (see `embudget.runs.envelope`);
- any other stands for itself, with the mean log loss of its seeds.

The lowest of these is the cell's. What an envelope does not give (tokens, FLOP, steps, seconds, weight) is that of the
best setting tried, and so are the losses by held-out group.

An envelope counts as many seeds as its best tried setting has runs, but at most SUPPORT times the fewest of any of its
settings, with their squares cut in proportion. Through three even rates the vertex half way between two of them has
0.56 of the variance of the middle mean and 0.16 of the others': with one run of each it is 0.72 times that of one run;
with SUPPORT runs of the best and one of the others it is 1 / 2.9. In simulation (1 % noise; 3 to 7 rates a factor 1.5
to 3 apart, those beside the best up to 7 % worse) the standard deviation is 0.6 to 1.2 times what the count says. It
does not count what a parabola is off by, however many the seeds: with three rates, of which those beside the best are
18 % worse, about 1.6 % of the loss.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embudget.errors import TooFewRunsError
from embudget.runs.columns import BY_GROUP, CELL, MEASURED, SETTING
from embudget.runs.envelope import Vertex, fit_rate_curve, fit_rate_surface

SUPPORT = 3
"""Runs that the best setting of an envelope counts as at most, for each run of the setting with the fewest."""
FEWEST_RATES, FEWEST_SETTINGS = 2, 8
"""Settings that a curve needs, or the line between two rates, and a surface."""
RATE, BATCH = "learning_rate", "batch_size"
FOUND = ("rate_inside", "lowest_rate", "highest_rate", "rate_curvature", "rate_middle", "rate_slope")
"""Columns that an envelope fills."""
Envelope = tuple[NDArray[np.int64], Vertex]
"""The rows of the settings that an envelope was fitted to, and its vertex."""


def settings_of(runs: pd.DataFrame) -> pd.DataFrame:
    """Average the seeds of each setting: one row a setting, sorted by cell, whose number is in the column `cell`.

    numpy does the sums, in the order of the runs: pandas compensates for rounding in some versions, and the cells of a
    study should be the same to the last bit with all of them.
    """
    chosen = [name for name in (*CELL, *SETTING) if name in runs]
    codes = runs.groupby(chosen, dropna=False).ngroup().to_numpy()
    first = np.unique(codes, return_index=True)[1]
    settings = runs.iloc[first][[*chosen, "loss"]].reset_index(drop=True)
    weight = runs["weight"].to_numpy() if "weight" in runs else np.ones(len(runs))
    log_loss = np.log(runs["loss"].to_numpy())
    seeds, mean_weight = np.bincount(codes), _means(weight, codes)
    relative = weight / mean_weight[codes]  # exactly 1 where all are 1
    mean = np.bincount(codes, relative * log_loss) / np.bincount(codes, relative)
    squares = np.bincount(codes, relative * (log_loss - mean[codes]) ** 2)
    measured = [name for name in ("tokens", "train_flops", "unique_tokens", *MEASURED) if name in runs]
    if BY_GROUP in runs:
        means = _group_means(np.stack(runs[BY_GROUP].tolist()), relative, codes)
        settings[BY_GROUP] = pd.Series(means, dtype=object)
    return settings.assign(
        cell=settings.groupby([name for name in CELL if name in runs]).ngroup(),
        log_loss=mean,
        loss=np.where(seeds == 1, settings["loss"], np.exp(mean)),
        seeds=seeds,
        seed_squares=np.where(seeds == 1, 0.0, squares),
        weight=mean_weight,
        **{name: _means(runs[name].to_numpy(), codes) for name in measured},
    )


def _means(values: NDArray[np.float64], codes: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """The mean of the known values of each group; NaN where none is known."""
    known = ~np.isnan(values)
    count = np.bincount(codes, known)
    total = np.bincount(codes, np.where(known, values, 0.0))
    means: NDArray[np.float64] = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return means


def _group_means(
    losses: NDArray[np.float64], relative: NDArray[np.float64], codes: NDArray[np.integer[Any]]
) -> list[NDArray[np.float64]]:
    """The weighted mean loss (G,) of each held-out group over the seeds of each setting, from that of each run."""
    total = np.zeros((codes.max() + 1, losses.shape[1]))
    np.add.at(total, codes, losses * relative[:, None])
    return list(total / np.bincount(codes, relative)[:, None])


def tuned(settings: pd.DataFrame) -> pd.DataFrame:
    """Put the vertex of each envelope in the place of its best setting, and add the rates that were tried.

    The new columns are `rates`, how many were tried at settings that differ in nothing but rate and batch size; and,
    NaN for a setting without an envelope, `rate_inside` (1 where it has a minimum, 0 where it has none, NaN where two
    rates could not tell), `lowest_rate` and `highest_rate`, and what the law of the best rate asks of it,
    `rate_curvature`, `rate_middle` and `rate_slope`, NaN where unknown. The log loss of an envelope's other settings
    becomes infinite, so that they are never the best.
    """
    settings = settings.assign(rates=1, **dict.fromkeys(FOUND, np.nan))
    if RATE not in settings:
        return settings
    tried = settings.groupby(_alike(settings, RATE, BATCH), dropna=False)[RATE].transform("nunique")
    settings["rates"] = tried.where(settings[RATE].notna(), 1)
    envelopes = list(_envelopes(settings))
    if envelopes:
        found = pd.DataFrame(_at_best(settings, envelopes)).set_index("setting")
        settings.loc[np.concatenate([members for members, _ in envelopes]), "log_loss"] = np.inf
        for name in found:
            changed = found[name].dropna()
            settings.loc[changed.index, name] = changed
    return settings


def best_settings(settings: pd.DataFrame) -> pd.DataFrame:
    """The setting with the lowest log loss of each cell, sorted by method, budget, size and lineage."""
    best = settings.loc[settings.groupby("cell")["log_loss"].idxmin()]
    order = ["method", "budget", "model_params", "model", "tokens"]
    return best.sort_values([*order, "lineage"] if "lineage" in best else order)


def _envelopes(settings: pd.DataFrame) -> Iterator[Envelope]:
    """Fit the surfaces and keep those that have a minimum; then the curves of all settings that are on no such surface.

    The fits take arrays: with pandas in the loops, 20,000 envelopes would take 30 s instead of 4.
    """
    rate, log_loss = (settings[name].to_numpy() for name in (RATE, "log_loss"))
    many = settings[settings["rates"] >= FEWEST_RATES]
    if BATCH in settings:
        batch = settings[BATCH].to_numpy()
        on_surface = np.zeros(len(settings), dtype=bool)
        for alike in _groups(many[many[BATCH].notna()], FEWEST_SETTINGS, RATE, BATCH):
            with suppress(TooFewRunsError):  # 8 settings in a line, say
                surface = fit_rate_surface(rate[alike], batch[alike], log_loss[alike])
                if surface.inside:
                    on_surface[alike] = True
                    yield alike, surface
        many = many[~on_surface[many.index]]
    for alike in _groups(many, FEWEST_RATES, RATE):
        with suppress(TooFewRunsError):  # rates that differ in nothing but rounding
            yield alike, fit_rate_curve(rate[alike], log_loss[alike])


def _at_best(settings: pd.DataFrame, envelopes: list[Envelope]) -> list[dict[str, Any]]:
    """What each envelope changes of its best setting, whose row is called `setting` here."""
    rate, log_loss, seeds, squares = (settings[name].to_numpy() for name in (RATE, "log_loss", "seeds", "seed_squares"))
    found = []
    for members, vertex in envelopes:
        best = members[log_loss[members].argmin()]
        values: dict[str, Any] = {
            "setting": best,
            "rate_inside": np.nan if vertex.inside is None else float(vertex.inside),
            "lowest_rate": rate[members].min(),
            "highest_rate": rate[members].max(),
            "rate_curvature": vertex.curvature,
            "rate_middle": vertex.middle,
            "rate_slope": vertex.slope,
            "log_loss": log_loss[best],
        }
        if vertex.inside:
            values |= vertex.model_dump(include={"log_loss", RATE, BATCH}, exclude_none=True)
            if vertex.log_loss != log_loss[best]:  # if it is the measured one, the loss is not rounded by log and exp
                values["loss"] = np.exp(vertex.log_loss)
            runs, most = int(seeds[best]), SUPPORT * int(seeds[members].min())
            if runs > most:
                values |= {"seeds": most, "seed_squares": squares[best] * (most - 1) / (runs - 1)}
        found.append(values)
    return found


def _groups(settings: pd.DataFrame, least: int, *but: str) -> Iterator[NDArray[np.int64]]:
    """The rows of settings that differ in nothing but these columns, where at least so many do."""
    codes = settings.groupby(_alike(settings, *but), dropna=False).ngroup().to_numpy()
    places = settings.index.to_numpy()[np.argsort(codes, kind="stable")]
    for alike in np.split(places, np.cumsum(np.bincount(codes))[:-1]):
        if len(alike) >= least:
            yield alike


def _alike(settings: pd.DataFrame, *but: str) -> list[str]:
    """The columns in which settings are equal that differ in nothing but these."""
    return ["cell", *(name for name in SETTING if name in settings and name not in but)]
