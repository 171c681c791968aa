"""What may be wrong with a fitted law, in numbers and in plain warnings.

leverage h      how much a cell's own loss moves its fit, between 0 and 1 (the diagonal of the hat matrix)
influence       Cook's distance sum_i (moved_i)^2 / (p s^2), with s the noise level and p the parameters: how far all
                fitted losses move, in units of their uncertainty, if the cell is left out. For least squares it is
                r^2 h / (p s^2 (1 - h)^2), r the residual. Since the fit here cuts the weight of large residuals, the
                cells that matter by this formula are left out one by one and the law is fitted again
condition       of the derivatives by the log parameters, each scaled to length 1 (Belsley, Kuh and Welsch 1980):
                above 30 some parameters are known only together, though predictions may be good
pattern         residuals that follow log N, log D or the budget, by a straight line or a bend: the form is wrong there
learning rates  cells whose best rate may lie beyond those tried look worse than they are, and so do untuned ones
                beside tuned ones, of one lineage or of two
columns         a table may mean something else by N, C or the loss (`embudget.runs.meaning`), which no fit can tell
settings        where some cells were trained by one schedule of the learning rate (or kind of pooling) and others by
                another, a law takes what the schedule costs for an effect of size, data or method
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median_low

import numpy as np
from pydantic import Field
from scipy.stats import f as fisher

from embudget.frozen import Frozen
from embudget.laws.checks import linked_methods
from embudget.laws.forms import Array
from embudget.laws.joint import Group, JointFit
from embudget.laws.misfit import is_outlying
from embudget.laws.problem import EXPONENT_BOUNDS, Points
from embudget.laws.rates import at_end, rate_text
from embudget.laws.solve import Objective, refine
from embudget.laws.surface import Surface
from embudget.runs.cells import Cell, RunTable

STRONG_INFLUENCE = 1.0
"""Cook's distance above which leaving one cell out would move the fit to the edge of its confidence region."""
MAX_NAMED = 20
"""Outlying cells, and influential ones, that are named at most."""
MAX_LISTED = 5
"""Cells with a best rate at an end that are warned of one by one."""
HIGH_CONDITION = 1000.0
"""Above it the parameters themselves mean nothing; 30 to 300 is usual for laws with an asymptote (measured here)."""
PATTERN_LEVEL = 0.001
"""p-value below which we warn of a pattern in the residuals. Three tests run on each study, so the level is strict to
keep false alarms rare."""
LOOSE_ASYMPTOTE = 0.5
"""Width of E's 90 % interval, as a share of the lowest loss, from which on E is not identified."""
_REFITTED, _WORTH = 50, 0.05  # cells left out one by one at most, and the least influence by the formula for it


class CellDiagnosis(Frozen):
    """A cell that stands out."""

    model: str
    method: str
    budget: float = Field(description="FLOP")
    ratio: float = Field(description="measured loss / the law's")
    leverage: float = Field(ge=0, le=1)
    influence: float = Field(ge=0, description="Cook's distance")


class Diagnostics(Frozen):
    """What was looked at, and what stood out."""

    outlying: tuple[CellDiagnosis, ...] = Field(description="so far off that they got little weight")
    influential: tuple[CellDiagnosis, ...] = Field(description="without which the law would differ")
    condition: float
    leverage: float = Field(description="the largest of all cells")
    influence: float = Field(description="the largest of all cells, Cook's distance")
    patterns: tuple[str, ...] = Field(description="what the residuals follow")
    at_bound: tuple[str, ...] = Field(description="exponents that ended at a bound of the search")
    unlinked: tuple[str, ...] = Field(default=(), description="groups of methods without a common budget")
    asymptote: tuple[float, float] | None = Field(description="90 % of E's draws, nats; None where it was given")
    lowest_loss: float = Field(description="nats")

    @property
    def asymptote_identified(self) -> bool:
        """Whether the cells say where the loss will end with ever more size and data."""
        return self.asymptote is None or self.asymptote[1] - self.asymptote[0] < LOOSE_ASYMPTOTE * self.lowest_loss

    def warnings(self) -> tuple[str, ...]:
        """What the user should know of the fit, one line a fact."""
        lines = [
            f"{_name(cell)} decides the fit: influence {cell.influence:.2g}, {_off(cell)}" for cell in self.influential
        ]
        lines += [f"{_name(cell)} is outlying, {_off(cell)}, and was given little weight" for cell in self.outlying]
        lines += [f"the residuals follow {what}: no form here fits there" for what in self.patterns]
        lines += [
            f"{what} ended at a bound ({EXPONENT_BOUNDS[0]:g} to {EXPONENT_BOUNDS[1]:g})" for what in self.at_bound
        ]
        if self.unlinked:
            groups = " and ".join(self.unlinked)
            lines.append(f"{groups} were measured at no common budget: which is better is extrapolated")
        if self.condition > HIGH_CONDITION:
            lines.append(f"the parameters are known only together (condition number {self.condition:.2g})")
        if self.asymptote is not None and not self.asymptote_identified:
            low, high = self.asymptote
            lines.append(
                f"the asymptote is not identified: E from {low:.2g} to {high:.2g} nats; far budgets are guesses"
            )
        return tuple(lines)


def warnings_of(diagnostics: Diagnostics, table: RunTable, cells: Sequence[Cell]) -> list[str]:
    """All that the user should know: of the table's columns, the fit, the learning rates, the settings of the cells."""
    meant = [remark.text for remark in table.remarks]
    return [*meant, *diagnostics.warnings(), *rate_warnings(cells), *mixed_setting_warnings(cells)]


def rate_warnings(cells: Sequence[Cell]) -> list[str]:
    """A line for each cell whose best rate may lie beyond those tried, and one for cells untuned beside tuned ones."""
    ends = [
        f"{_name(cell)}: best rate {rate_text(cell.learning_rate)} is {problem}"
        for cell in cells
        if cell.learning_rate is not None and (problem := at_end(cell))
    ]
    lines = ends[:MAX_LISTED]
    if len(ends) > MAX_LISTED:
        lines.append(f"and {len(ends) - MAX_LISTED} more cells without a minimum between the rates tried")
    untuned = Counter(cell.method for cell in cells if cell.lowest_rate is None)
    if 0 < untuned.total() < len(cells):
        counts = ", ".join(f"{method} {count}" for method, count in untuned.items())
        lines.append(
            f"one rate alone was tried in {untuned.total()} of {len(cells)} cells ({counts}): beside tuned cells they "
            "may look worse than they are"
        )
    return lines


def uneven_tuning(lineages: Mapping[str, Sequence[Cell]]) -> str | None:
    """What to say where the cells of one lineage are the best of several learning rates, and those of another of one.

    A loss at the one rate that was tried is higher than at the best, by an amount that nobody measured: so the untuned
    lineage looks worse beside the other than it is. Cells that do not say their rate count for neither.
    """
    tried = {name: [cell.rates for cell in cells if cell.learning_rate is not None] for name, cells in lineages.items()}
    usual = {name: median_low(rates) for name, rates in tried.items() if rates}
    untuned = [name for name, rates in usual.items() if rates == 1]
    tuned = [f"{name} at {rates} in most cells" for name, rates in usual.items() if rates > 1]
    if not untuned or not tuned:
        return None
    return (
        f"{' and '.join(untuned)} was measured at one learning rate in most cells, {', '.join(tuned)}: beside the "
        "tuned start the other may look worse than it is; try three rates of both"
    )


def mixed_setting_warnings(cells: Sequence[Cell]) -> list[str]:
    """A line where the cells that say it have several schedules, and one where they have several kinds of pooling."""
    lines = []
    for name, several in (("schedule", "schedules"), ("pooling", "kinds of pooling")):
        counts = Counter(value for cell in cells if (value := getattr(cell, name)) is not None)
        listed = ", ".join(f"{value} ({count})" for value, count in counts.most_common())
        if len(counts) > 1:
            lines.append(
                f"the cells were trained by different {several}, {listed}: the laws take what a {name} costs for an "
                "effect of size, data or method; fit them separately"
            )
    return lines


def diagnose(cells: Sequence[Cell], points: Points, fit: JointFit, surface: Surface) -> Diagnostics:
    """Look at the fit of the heaviest component."""
    leverage, condition = np.zeros(len(points)), 0.0
    for group, vector, prior in zip(fit.groups, fit.vectors, fit.priors, strict=True):
        _, jacobian = group.problem.linearise(vector[None])
        scaled = jacobian[0] * np.sqrt(group.problem.weights)
        strength = prior.strength(fit.noise, len(scaled))
        inverse = np.linalg.pinv(scaled @ scaled.T + np.diag(strength))
        leverage[group.rows] = np.einsum("pn,pq,qn->n", scaled, inverse, scaled)
        condition = max(condition, _condition(scaled, strength))
    leverage = np.clip(leverage, 0.0, 1 - 1e-9)
    residuals = points.log_loss - fit.log_fit
    squares = points.weights * residuals**2
    noise = max(fit.noise, surface.noise / float(np.sqrt(points.seeds.mean())), 1e-4)
    influence = squares * leverage / (fit.parameters * noise**2 * (1 - leverage) ** 2)
    influence = _refitted(fit, influence, noise)

    def diagnosis(row: int) -> CellDiagnosis:
        cell = cells[row]
        return CellDiagnosis(
            model=cell.model, method=cell.method, budget=cell.budget, ratio=float(np.exp(residuals[row])),
            leverage=float(leverage[row]), influence=float(influence[row]),
        )  # fmt: skip

    linked = linked_methods(points)
    far = np.flatnonzero(is_outlying(residuals, points.weights))
    strong = [row for row in np.argsort(-influence)[:MAX_NAMED] if influence[row] > STRONG_INFLUENCE]
    return Diagnostics(
        outlying=tuple(diagnosis(int(row)) for row in far[:MAX_NAMED]),
        influential=tuple(diagnosis(int(row)) for row in strong),
        condition=condition,
        leverage=float(leverage.max()),
        influence=float(influence.max()),
        patterns=_patterns(points, residuals, fit.parameters),
        at_bound=tuple(
            text for group, vector in zip(fit.groups, fit.vectors, strict=True) for text in _ends(group, vector)
        ),
        unlinked=tuple(", ".join(sorted(group)) for group in linked) if len(linked) > 1 else (),
        asymptote=_asymptote(surface),
        lowest_loss=float(np.exp(points.log_loss.min())),
    )


def _refitted(fit: JointFit, influence: Array, noise: float) -> Array:
    """The influence (n,), where the formula gives some replaced by that of a fit without the cell."""
    found, worth = influence.copy(), np.argsort(-influence)[:_REFITTED]
    worth = worth[influence[worth] > _WORTH]
    for group, vector, prior in zip(fit.groups, fit.vectors, fit.priors, strict=True):
        left_out = np.flatnonzero(np.isin(group.rows, worth))
        if not len(left_out):
            continue
        problem, count = group.problem, len(left_out)
        weights = np.tile(problem.weights, (count, 1))
        weights[np.arange(count), left_out] = 0.0
        starts = np.repeat(vector[None], count, axis=0)
        vectors, _ = refine(problem, starts, Objective.robust(fit.noise, prior), weights=weights)
        moved = problem.predict(vectors) - problem.predict(vector[None])
        found[group.rows[left_out]] = (problem.weights * moved**2).sum(axis=1) / (fit.parameters * noise**2)
    return found


def _condition(scaled: Array, strength: Array) -> float:
    """The condition number of the derivatives (P, n) and the prior's part, without parameters that have no effect."""
    rows = np.hstack([scaled, np.diag(np.sqrt(strength))])
    lengths = np.linalg.norm(rows, axis=1)
    rows = rows[lengths > 1e-6 * lengths.max()]
    values = np.linalg.svd(rows / np.linalg.norm(rows, axis=1, keepdims=True), compute_uv=False)
    return float(values[0] / max(values[-1], 1e-300))


def _patterns(points: Points, residuals: Array, parameters: float) -> tuple[str, ...]:
    """What the residuals follow, by an F test of a line and a bend in it against nothing."""
    found = []
    freedom = len(points) - parameters - 2
    budget = np.log(points.budget)
    for name, x in (("the size", points.log_n), ("the tokens", points.log_d), ("the budget", budget)):
        if freedom < 4 or len(np.unique(x)) < 3 or np.abs(residuals).max() < 1e-6:
            continue
        z = (x - x.mean()) / x.std()
        columns = np.stack([z, z**2 - (z**2).mean()], axis=1) * np.sqrt(points.weights)[:, None]
        scaled = np.clip(residuals, *np.quantile(residuals, (0.01, 0.99))) * np.sqrt(points.weights)
        explained = scaled @ np.linalg.qr(columns)[0]
        rest = float((scaled**2).sum() - (explained**2).sum())
        statistic = float((explained**2).sum()) / 2 / max(rest / freedom, 1e-300)
        if float(fisher.sf(statistic, 2, freedom)) < PATTERN_LEVEL:
            found.append(name)
    return tuple(found)


def _ends(group: Group, vector: Array) -> list[str]:
    low, high = group.problem.bounds
    kinds = ", ".join(sorted(group.basis))
    return [
        f"{name} of {kinds}"
        for place, name in enumerate(group.problem.form.exponents, group.problem.free)
        if name != "D0" and (vector[place] <= low[place] + 1e-6 or vector[place] >= high[place] - 1e-6)
    ]


def _asymptote(surface: Surface) -> tuple[float, float] | None:
    """The middle 90 % of E's draws over all components and methods; None where E was given."""
    if surface.asymptote is not None:
        return None
    draws = np.concatenate(
        [one.coefficients(method, None)["E"][1:] for one in surface.components for method in surface.methods]
    )
    low, high = np.quantile(draws, (0.05, 0.95))
    return float(low), float(high)


def _name(cell: Cell | CellDiagnosis) -> str:
    return f"{cell.model} {cell.method} at {cell.budget:.3g} FLOP"


def _off(cell: CellDiagnosis) -> str:
    return f"{100 * (cell.ratio - 1):+.3g} % from the law"
