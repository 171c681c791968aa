"""The setting that describes a cell: laws describe tuned runs.

Of the settings tried in a cell (learning rate, batch size, schedule, pooling, anything but the seed)

- those that differ in nothing but learning rate and batch size are one, at the vertex of their surface, where at least
  8 of them determine one and it has a minimum between them;
- those that differ in nothing but the learning rate are one, at the vertex of their curve, where at least 3 rates were
  tried; without a minimum between them, the best of them (see `envelope`);
- any other stands for itself, with the mean log loss of its seeds.

The lowest of these is the cell's. What an envelope does not give (tokens, FLOP, steps, seconds) is that of the best
setting tried.

An envelope counts as many seeds as its best tried setting has runs, but at most SUPPORT times the fewest of any of its
settings, with their squares cut in proportion. Through three even rates the vertex half way between two of them has
0.56 of the variance of the middle mean and 0.16 of the others': with one run of each it is 0.72 times that of one run;
with SUPPORT runs of the best and one of the others it is 1 / 2.9. In simulation (1 % noise; 3 to 7 rates a factor 1.5
to 3 apart, those beside the best up to 7 % worse) the standard deviation is 0.6 to 1.2 times what the count says. It
does not count what a parabola is off by, however many the seeds: with three rates, of which those beside the best are
18 % worse, about 1.6 % of the loss.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from embudget.errors import TooFewRunsError
from embudget.runs.columns import Key, Numbers, Rows, Texts, group
from embudget.runs.envelope import RateCurve, RateSurface, fit_rate_curve, fit_rate_surface

SUPPORT = 3
"""Runs at the best setting of an envelope that one run at each of the others lends their weight to."""
FEWEST_RATES, FEWEST_SETTINGS = 3, 8
"""Of a curve and of a surface."""
RATE, BATCH = "learning_rate", "batch_size"


@dataclass(frozen=True)
class Settings:
    """The different settings of all cells: arrays of one length, an entry for each setting."""

    cell: Rows
    words: dict[str, Texts]
    """Schedule and pooling, where the table says them."""
    chosen: dict[str, Numbers]
    """Learning rate, batch size and so on; NaN where it is not known."""
    log_loss: Numbers
    """Mean over the seeds; infinite where another setting stands for this one."""
    seeds: Rows
    seed_squares: Numbers
    """Sum of squared deviations of the seeds' log losses."""

    def alike(self, *but: str) -> list[Key]:
        """Keys that settings share which differ only in these."""
        return [self.cell, *self.words.values(), *(values for name, values in self.chosen.items() if name not in but)]


class Tried(NamedTuple):
    """The learning rates that were tried, an entry for each setting."""

    rates: Rows
    """How many, at settings that differ in nothing but rate and batch size."""
    rate_inside: Numbers
    """1 where an envelope has a minimum, 0 where it has none, NaN without envelope."""
    lowest_rate: Numbers
    """Of an envelope; NaN without."""
    highest_rate: Numbers


class _Envelope(NamedTuple):
    members: Rows
    """The settings that it is of, by their places."""
    best: int
    """That of the lowest mean log loss."""
    vertex: RateCurve | RateSurface


def tuned(settings: Settings) -> tuple[Settings, Tried]:
    """The settings with each envelope in the place of its best one, and the rates that were tried."""
    count = len(settings.cell)
    tried = Tried(np.ones(count, dtype=np.intp), *(np.full(count, np.nan) for _ in range(3)))
    if RATE not in settings.chosen:
        return settings, tried
    rate = settings.chosen[RATE]
    several = np.flatnonzero((np.bincount(settings.cell)[settings.cell] > 1) & ~np.isnan(rate))
    for alike in _groups(settings.alike(RATE, BATCH), several, 2):
        tried.rates[alike] = len(set(rate[alike].tolist()))
    envelopes = list(_envelopes(settings, several[tried.rates[several] >= FEWEST_RATES]))
    for members, best, vertex in envelopes:
        tried.rate_inside[best] = vertex.inside
        tried.lowest_rate[best], tried.highest_rate[best] = rate[members].min(), rate[members].max()
    return _enveloped(settings, envelopes), tried


def settled(settings: Settings) -> Rows:
    """The setting of each cell, by its place: the one with the lowest log loss."""
    order = np.lexsort([settings.log_loss, settings.cell])
    first = np.flatnonzero(np.concatenate([[True], np.diff(settings.cell[order]) > 0]))
    places: Rows = order[first]
    return places


def _envelopes(settings: Settings, among: Rows) -> Iterator[_Envelope]:
    """The surfaces that have a minimum, and the curves of what they leave."""
    rate, log_loss = settings.chosen[RATE], settings.log_loss
    batch = settings.chosen.get(BATCH, np.full(len(rate), np.nan))
    left = np.zeros(len(rate), dtype=bool)
    left[among] = True
    for alike in _groups(settings.alike(RATE, BATCH), among[~np.isnan(batch[among])], FEWEST_SETTINGS):
        with suppress(TooFewRunsError):  # 8 settings in a line, say
            surface = fit_rate_surface(rate[alike], batch[alike], log_loss[alike])
            if surface.inside:
                left[alike] = False
                yield _Envelope(alike, int(alike[log_loss[alike].argmin()]), surface)
    for alike in _groups(settings.alike(RATE), np.flatnonzero(left), FEWEST_RATES):
        with suppress(TooFewRunsError):  # rates that differ in nothing but rounding
            curve = fit_rate_curve(rate[alike], log_loss[alike])
            yield _Envelope(alike, int(alike[log_loss[alike].argmin()]), curve)


def _enveloped(settings: Settings, envelopes: Sequence[_Envelope]) -> Settings:
    """The settings with the vertices of the envelopes; what only adds to an envelope stands for nothing itself."""
    chosen = {name: values.copy() for name, values in settings.chosen.items()}
    log_loss, seeds, squares = settings.log_loss.copy(), settings.seeds.copy(), settings.seed_squares.copy()
    for members, best, vertex in envelopes:
        log_loss[members] = np.inf
        log_loss[best] = settings.log_loss[best]
        if not vertex.inside:
            continue
        log_loss[best], chosen[RATE][best] = vertex.log_loss, vertex.learning_rate
        if isinstance(vertex, RateSurface):
            chosen[BATCH][best] = vertex.batch_size
        runs, most = int(seeds[best]), SUPPORT * int(settings.seeds[members].min())
        if runs > most:
            seeds[best], squares[best] = most, squares[best] * (most - 1) / (runs - 1)
    return Settings(settings.cell, settings.words, chosen, log_loss, seeds, squares)


def _groups(keys: Sequence[Key], among: Rows, least: int) -> Iterator[Rows]:
    """Of these settings, the places of those with equal keys, if there are enough."""
    _, codes = group(*(key[among] for key in keys))
    order = among[np.argsort(codes, kind="stable")]
    counts = np.bincount(codes)
    ends = np.cumsum(counts)
    for place in np.flatnonzero(counts >= least).tolist():
        yield order[ends[place] - counts[place] : ends[place]]
