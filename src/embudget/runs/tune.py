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
  tried; without a minimum between them, the best of them (see `embudget.runs.envelope`);
- any other stands for itself, with the mean log loss of its seeds.

The lowest of these is the cell's. What an envelope does not give (tokens, FLOP, steps, seconds, weight) is that of the
best setting tried.

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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from embudget.errors import TooFewRunsError
from embudget.runs.columns import CELL, MEASURED, SETTING
from embudget.runs.envelope import RateCurve, RateSurface, fit_rate_curve, fit_rate_surface

if TYPE_CHECKING:
    import pandas as pd

SUPPORT = 3
"""Runs at the best setting of an envelope that one run at each of the others lends their weight to."""
FEWEST_RATES, FEWEST_SETTINGS = 3, 8
"""Settings that a curve and a surface need."""
RATE, BATCH = "learning_rate", "batch_size"


def settings_of(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Average the seeds of each setting: one row a setting, by cell, with the number of its cell in the column `cell`.

    The sums are numpy's, which adds in the order of the runs, and not pandas', which compensates for rounding: so the
    cells of a study are the same to the last bit whatever the version of pandas.
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
    measured = [name for name in ("tokens", "train_flops", *MEASURED) if name in runs]
    return settings.assign(
        cell=settings.groupby([name for name in CELL if name in runs]).ngroup(),
        log_loss=mean,
        loss=np.where(seeds == 1, settings["loss"], np.exp(mean)),
        seeds=seeds,
        seed_squares=np.where(seeds == 1, 0.0, squares),
        weight=mean_weight,
        **{name: _means(runs[name].to_numpy(), codes) for name in measured},
    )


def _means(values: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of the known values of each group; NaN where none is known."""
    known = ~np.isnan(values)
    count = np.bincount(codes, known)
    total = np.bincount(codes, np.where(known, values, 0.0))
    means: NDArray[np.float64] = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return means


def tuned(settings: "pd.DataFrame") -> "pd.DataFrame":
    """Put each envelope in the place of its best setting, and add what was tried.

    The columns added are `rates`, the number of rates tried at settings that differ in nothing but rate and batch size,
    and, NaN without an envelope, `rate_inside` (1 where it has a minimum, 0 where it has none), `lowest_rate` and
    `highest_rate`. Settings that only add to an envelope stand for nothing themselves: their log loss is infinite.
    """
    import pandas as pd

    settings = settings.assign(rates=1, rate_inside=np.nan, lowest_rate=np.nan, highest_rate=np.nan)
    if RATE not in settings:
        return settings
    tried = settings.groupby(_alike(settings, RATE, BATCH), dropna=False)[RATE].transform("nunique")
    settings["rates"] = tried.where(settings[RATE].notna(), 1)
    members: list[int] = []
    best = []
    for alike, vertex in _envelopes(settings[settings["rates"] >= FEWEST_RATES]):
        members += alike.index.tolist()
        best.append(_at_best(alike, vertex))
    if best:
        settings.loc[members, "log_loss"] = np.inf
        values = pd.DataFrame(best).set_index("setting")
        settings.loc[values.index, list(values)] = values
    return settings


def best_settings(settings: "pd.DataFrame") -> "pd.DataFrame":
    """The setting of each cell: the one with the lowest log loss, by method, budget and size."""
    best = settings.loc[settings.groupby("cell")["log_loss"].idxmin()]
    return best.sort_values(["method", "budget", "model_params", "model", "tokens"])


def _envelopes(settings: "pd.DataFrame") -> "Iterator[tuple[pd.DataFrame, RateCurve | RateSurface]]":
    """The settings of each surface that has a minimum, then of each curve among those that are on no surface."""
    if BATCH in settings:
        on_surface: list[int] = []
        for alike in _groups(settings[settings[BATCH].notna()], FEWEST_SETTINGS, RATE, BATCH):
            with suppress(TooFewRunsError):  # 8 settings in a line, say
                surface = fit_rate_surface(*(alike[name].to_numpy() for name in (RATE, BATCH, "log_loss")))
                if surface.inside:
                    on_surface += alike.index.tolist()
                    yield alike, surface
        settings = settings.drop(index=on_surface)
    for alike in _groups(settings, FEWEST_RATES, RATE):
        with suppress(TooFewRunsError):  # rates that differ in nothing but rounding
            yield alike, fit_rate_curve(*(alike[name].to_numpy() for name in (RATE, "log_loss")))


def _groups(settings: "pd.DataFrame", least: int, *but: str) -> "Iterator[pd.DataFrame]":
    """The settings that differ in nothing but these columns, where there are enough of them."""
    keys = _alike(settings, *but)
    enough = settings.groupby(keys, dropna=False)["cell"].transform("size") >= least
    values = [name for name in (RATE, BATCH, "log_loss", "loss", "seeds", "seed_squares") if name in settings]
    for _, alike in settings[enough].groupby(keys, dropna=False):
        yield alike[values]


def _alike(settings: "pd.DataFrame", *but: str) -> list[str]:
    """The columns that settings share which differ in nothing but these."""
    return ["cell", *(name for name in SETTING if name in settings and name not in but)]


def _at_best(alike: "pd.DataFrame", vertex: RateCurve | RateSurface) -> dict[str, Any]:
    """What an envelope puts in the place of its best setting."""
    best = alike["log_loss"].idxmin()
    values = alike.loc[best].to_dict() | {
        "setting": best,
        "rate_inside": float(vertex.inside),
        "lowest_rate": alike[RATE].min(),
        "highest_rate": alike[RATE].max(),
    }
    if not vertex.inside:
        return values
    runs, most = int(values["seeds"]), SUPPORT * int(alike["seeds"].min())
    if runs > most:
        values |= {"seeds": most, "seed_squares": values["seed_squares"] * (most - 1) / (runs - 1)}
    if vertex.log_loss != values["log_loss"]:  # a loss that was measured is not rounded by way of its logarithm
        values |= {"log_loss": vertex.log_loss, "loss": np.exp(vertex.log_loss)}
    return values | vertex.model_dump(include={RATE, BATCH})
