"""The fits of L = E + A/N^a + B/D^b that `fitting.py` compares, all given the same cells of one method.

    embudget fit        `embudget.laws.fit` with forms=["chinchilla"]: from records to laws, bootstrap draws, frontiers,
                        parabolas and diagnostics included; its parameters are those of the point fit
    embudget point      that point fit alone: Huber's loss at 1.345 noise levels with a weak prior on the exponents
    embudget squares    least squares of the log loss from the projected starts, without a prior
    embudget varpro     the same objective by variable projection alone
    curve_fit published `scipy.optimize.curve_fit` of the log loss in E, A, a, B, b as they stand, starting at the
                        parameters of Hoffmann et al. 2022 (arXiv 2203.15556)
    curve_fit one       the same in log E, log A, a, log B, b, from one start that the data suggest
    curve_fit five      the latter from five such starts, the best of them
    chinchilla DELTA    `Chinchilla.fit` of the package chinchilla 0.2.0: BFGS from a grid of starts, all cores, its
                        `log_huber` with this delta; of 1, least squares. Its figure is switched off

The start that the data suggest: half of the lowest loss for E, the rest of the mean loss in equal parts for size and
data at the mean N and D, exponents of 0.35; the five have 0.35 for both, and 0.2 or 0.5 for each. A fit is prepared
(arrays, starts, the CSV that chinchilla reads) before the clock starts.
"""

import csv
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from benchmarks.objectives import search
from embudget.laws import FORMS, Coefficients, fit
from embudget.laws.joint import Group
from embudget.laws.problem import Points, split
from embudget.laws.sharing import fit_jointly
from embudget.laws.solve import Objective, projected_starts, refine
from embudget.records import RunRecord
from embudget.runs import RunTable

Array = NDArray[np.float64]
Parameters = dict[str, float]
"""E, A, a, B, b."""
Fit = Callable[[], Parameters]
NAMES = ("E", "A", "a", "B", "b")
METHOD = "full"
FORM = FORMS["chinchilla"]
PUBLISHED = (1.69, 406.4, 0.34, 410.7, 0.28)
START, OTHER_STARTS = 0.35, (0.2, 0.5)
INSTALL = "chinchilla is missing: pip install chinchilla==0.2.0, or leave it out by --without-chinchilla"


class FitFailedError(Exception):
    """A fit that returned nothing, or something that is no number."""


@dataclass(frozen=True)
class Sample:
    """The cells of one method, and the truth behind them."""

    truth: Coefficients
    records: list[RunRecord]

    @property
    def model_params(self) -> Array:
        """N of each run (n,)."""
        return np.array([record.model_params for record in self.records], dtype=float)

    @property
    def tokens(self) -> Array:
        """D of each run (n,)."""
        return np.array([record.tokens for record in self.records], dtype=float)

    @property
    def loss(self) -> Array:
        """Loss of each run (n,), nats."""
        return np.array([record.loss for record in self.records], dtype=float)

    @property
    def points(self) -> Points:
        """The cells as our fits see them."""
        return Points.of(RunTable.of(self.records).cells)


def fitters(draws: int) -> dict[str, Callable[[Sample], Fit]]:
    """Name -> what prepares a fit of a sample, the package chinchilla aside."""
    return {
        "embudget fit": partial(_laws, draws),
        "embudget point": _point,
        "embudget squares": partial(_alone, _squares),
        "embudget varpro": partial(_alone, _varpro),
        "curve_fit published": _curve_fit_published,
        "curve_fit one": partial(_curve_fit_logs, ((START, START),)),
        "curve_fit five": partial(_curve_fit_logs, ((START, START), *product(OTHER_STARTS, OTHER_STARTS))),
    }


def chinchilla_fitter(delta: float, side: int) -> Callable[[Sample], Fit]:
    """What prepares a fit by the package chinchilla from a grid of ``side`` values of each parameter."""
    return partial(_chinchilla, delta, side)


def _laws(draws: int, sample: Sample) -> Fit:
    def run() -> Parameters:
        found = fit(sample.records, forms=["chinchilla"], draws=draws).surface.coefficients(METHOD)
        return {name: float(getattr(found, name)) for name in NAMES}

    return run


def _point(sample: Sample) -> Fit:
    points = sample.points

    def run() -> Parameters:
        found = fit_jointly(FORM, points, "shared")
        return _raw(found.groups[0], found.vectors[0])

    return run


def _alone(method: Callable[[Group], Array], sample: Sample) -> Fit:
    """A fit of a prepared problem by one of our methods."""
    points = sample.points
    group = Group.of(FORM, points, np.ones(len(points), dtype=bool), None)
    return lambda: _raw(group, method(group))


def _squares(group: Group) -> Array:
    vectors, values = refine(group.problem, projected_starts(group.problem), Objective())
    best: Array = vectors[int(values.argmin())]
    return best


def _varpro(group: Group) -> Array:
    return search(group.problem, Objective())


def _raw(group: Group, vector: Array) -> Parameters:
    """The parameters of the equation for N and D as they are, of a group of one method."""
    base, exponents, coefficients = split(FORM, vector[None], None)
    raw = FORM.to_raw(exponents, coefficients, group.centre_n, group.centre_d)
    return {name: float(values[0, 0]) for name, values in {"E": base, **raw}.items()}


def _curve_fit_published(sample: Sample) -> Fit:
    at, log_loss = np.array([sample.model_params, sample.tokens]), np.log(sample.loss)

    def log_law(at: Array, E: float, A: float, a: float, B: float, b: float) -> Array:
        law: Array = np.log(E + A / at[0] ** a + B / at[1] ** b)
        return law

    return lambda: dict(zip(NAMES, _solved(log_law, at, log_loss, list(PUBLISHED))[0], strict=True))


def _curve_fit_logs(exponents: tuple[tuple[float, float], ...], sample: Sample) -> Fit:
    at, log_loss = np.log([sample.model_params, sample.tokens]), np.log(sample.loss)
    starts = [_suggested(sample, a, b) for a, b in exponents]

    def log_law(at: Array, log_E: float, log_A: float, a: float, log_B: float, b: float) -> Array:
        law: Array = np.log(np.exp(log_E) + np.exp(log_A - a * at[0]) + np.exp(log_B - b * at[1]))
        return law

    def run() -> Parameters:
        found = []
        for start in starts:
            p0 = [start[name] if name in "ab" else float(np.log(start[name])) for name in NAMES]
            try:
                found.append(_solved(log_law, at, log_loss, p0))
            except FitFailedError:
                if len(starts) == 1:
                    raise
        if not found:
            raise FitFailedError("no start converged")
        best, _ = min(found, key=lambda one: one[1])
        return {name: value if name in "ab" else float(np.exp(value)) for name, value in zip(NAMES, best, strict=True)}

    return run


def _suggested(sample: Sample, a: float, b: float) -> Parameters:
    """A start from the lowest and the mean loss, for these exponents."""
    E = 0.5 * float(sample.loss.min())
    share = 0.5 * (float(np.exp(np.log(sample.loss).mean())) - E)
    A, B = (
        share * float(np.exp(exponent * np.log(values).mean()))
        for exponent, values in ((a, sample.model_params), (b, sample.tokens))
    )
    return {"E": E, "A": A, "a": a, "B": B, "b": b}


def _solved(log_law: Callable[..., Array], at: Array, log_loss: Array, start: list[float]) -> tuple[list[float], float]:
    """What `curve_fit` finds, and its sum of squares; the limit of evaluations and all else is its default."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns where it cannot estimate the covariance
        try:
            found, _ = curve_fit(log_law, at, log_loss, p0=start)
        except (RuntimeError, ValueError) as error:
            raise FitFailedError(str(error)) from None
        squares = float(((log_loss - log_law(at, *found)) ** 2).sum())
    if not np.isfinite([*found, squares]).all():
        raise FitFailedError("not finite")
    return [float(value) for value in found], squares


def _chinchilla(delta: float, side: int, sample: Sample) -> Fit:
    from chinchilla import Chinchilla
    from chinchilla._metrics import log_huber

    folder = tempfile.TemporaryDirectory()
    _write_csv(sample, Path(folder.name) / "df.csv")
    grid = {"e": (-1, 1), "a": (1, 10), "b": (1, 10), "alpha": (0.1, 0.7), "beta": (0.1, 0.7)}  # its README's, E a log
    starts = {name: np.linspace(*span, side) for name, span in grid.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Chinchilla(folder.name, param_grid=starts, loss_fn=partial(log_huber, delta=delta), log_level=50)
    model.visualizer.optim = lambda *_, **__: None  # draws and writes a figure

    def run() -> Parameters:
        with folder, warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            model.fit()
        found: Mapping[str, float] = model.params
        renamed = {"E": "E", "A": "A", "a": "alpha", "B": "B", "b": "beta"}
        return {ours: float(found[theirs]) for ours, theirs in renamed.items()}

    return run


def _write_csv(sample: Sample, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["C", "N", "D", "loss"])
        for size, tokens, loss in zip(sample.model_params, sample.tokens, sample.loss, strict=True):
            writer.writerow([6 * size * tokens, size, tokens, loss])
