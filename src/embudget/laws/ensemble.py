"""One surface out of several forms of law: their draws together, and what all of them leave unexplained.

What the forms miss at the measured cells is the misfit (`embudget.laws.misfit`). What they miss beyond them is the
discrepancy, which only backtests show (`embudget.laws.backtests`); it is 0 here.
"""

from collections.abc import Sequence

import numpy as np

from embudget.laws.components import Branch, Component, log_losses_of
from embudget.laws.forms import FORMS, Array
from embudget.laws.misfit import Correction, fit_correction, is_outlying, misfit_of, noise_of_run, series_of
from embudget.laws.problem import MANY_CELLS, Points
from embudget.laws.reach import Reach
from embudget.laws.surface import Surface
from embudget.laws.uncertainty import draw, moved
from embudget.laws.weights import JudgedForm
from embudget.laws.zero_shot_losses import ZeroShotLosses

MOST_CORRECTED = 500
"""Cells that a correction is carried from at most; of more, a random sample."""
LEAST_STEP = 1.1
"""Ratio of neighbouring budgets below which they count as the same."""


def surfaces_of(
    points: Points,
    drawn: Sequence[tuple[JudgedForm, int]],
    asymptote: float | None,
    rng: np.random.Generator,
    moves: Array | None = None,
) -> dict[str, Surface]:
    """Draw from every form, the heaviest first, and measure what they leave unexplained together: by lineage.

    The draws of all lineages belong together, row by row. Noise and misfit are those of all cells.
    ``moves`` (draws, n) of the log losses, one row for each draw of all forms, are those of other held-out groups.
    """
    counts = [count for _, count in drawn]
    parts = [None] * len(drawn) if moves is None else np.split(moves, np.cumsum(counts)[:-1])
    components = [_components(one, points, count, rng, part) for (one, count), part in zip(drawn, parts, strict=True)]
    residuals = points.log_loss - np.average([one.fit.log_fit for one, _ in drawn], axis=0, weights=counts)
    parameters = float(np.average([one.fit.parameters for one, _ in drawn], weights=counts))
    series = series_of(points, residuals)
    freedom = max(series.effective - parameters, 1.0)
    noise = noise_of_run(points, residuals, freedom * len(points) / series.effective)
    misfit = misfit_of(points.thinned(MANY_CELLS), residuals[points.sampled(MANY_CELLS)], noise, freedom)
    found = {}
    for lineage in points.lineages:
        mine = points if len(points.lineages) == 1 else points.where(points.lineage == lineage)
        own = tuple(parts[lineage] for parts in components)
        begins = any(FORMS[part.form].by_member for part in own)
        zero_shot = ZeroShotLosses.of(mine.log_n, mine.base) if begins else None
        correction = _correction(own, mine, asymptote, noise, misfit, zero_shot) if misfit > 0 else None
        found[lineage] = _surface(
            mine, own, asymptote, noise, misfit, series.common, correction, freedom, step_of(points), zero_shot
        )
    return found


def _surface(
    points: Points, components: tuple[Component, ...], asymptote: float | None, noise: float, misfit: float,
    constant: float, correction: Correction | None, freedom: float, step: float, zero_shot: ZeroShotLosses | None,
) -> Surface:  # fmt: skip
    return Surface(
        components=components,
        asymptote=asymptote,
        noise=noise,
        misfit=misfit,
        constant=constant,
        correction=correction,
        freedom=freedom,
        discrepancy=0.0,
        step=step,
        reach={
            method: Reach.of(points.log_n[rows], points.log_d[rows])
            for method, rows in ((method, points.method == method) for method in points.methods)
        },
        zero_shot=zero_shot,
    )


def _components(
    judged: JudgedForm, points: Points, count: int, rng: np.random.Generator, moves: Array | None
) -> dict[str, Component]:
    """The draws of one form, by lineage."""
    fit = judged.fit
    drawn = draw(fit, points, count, rng)
    followed = [np.empty((0, 0))] * len(drawn) if moves is None else moved(fit, points, moves)
    branches = [
        (
            group.lineage,
            Branch(
                basis={method: tuple(map(float, row)) for method, row in group.basis.items()},
                centre_n=group.centre_n,
                centre_d=group.centre_d,
                fit=tuple(map(float, vector)),
                draws=tuple(map(tuple, own.tolist())),
                moved=tuple(map(tuple, others.tolist())),
            ),
        )
        for group, vector, own, others in zip(fit.groups, fit.vectors, drawn, followed, strict=True)
    ]
    forms = {group.lineage: group.problem.form.name for group in fit.groups}
    return {
        lineage: Component(
            form=forms[lineage],
            sharing=fit.sharing,
            weight=judged.weight,
            branches=tuple(branch for of, branch in branches if of == lineage),
        )
        for lineage in points.lineages
    }


def _correction(
    components: Sequence[Component], points: Points, asymptote: float | None, noise: float, misfit: float,
    zero_shot: ZeroShotLosses | None,
) -> Correction:  # fmt: skip
    """The correction that the residuals ask for, outlying cells left out so that they are not carried anywhere."""
    at = points.method.tolist(), points.log_n, points.log_d
    _, logs = log_losses_of(components, *at, asymptote, zero_shot)
    residuals = points.log_loss - logs.mean(axis=0)
    near = ~is_outlying(residuals, points.weights)
    few = points.where(near).sampled(MOST_CORRECTED)
    of_run = float(np.sqrt(max(noise**2 - misfit**2, 0.0)))
    return fit_correction(points.where(near).where(few), residuals[near][few], of_run, misfit)


def step_of(points: Points) -> float:
    """Median ratio of neighbouring budgets."""
    levels = [float(points.budget[points.levels == level].mean()) for level in np.unique(points.levels)]
    return max(LEAST_STEP, float(np.exp(np.median(np.diff(np.log(levels))))))


def range_of(values: Sequence[float] | Array) -> tuple[float, float]:
    """The smallest and the largest."""
    return float(np.min(values)), float(np.max(values))
