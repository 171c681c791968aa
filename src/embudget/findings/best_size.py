"""Finding 2: the size with the lowest loss against the budget.

The laws cannot decide this, because the best size of a sum of a term in N and one in D grows with the budget whatever
its parameters are. So the measured cells decide. For each kind of method take the best cell of each size and budget,
x = log N and y = log C, both scaled to [-1, 1], and fit

    log L = p(x) + q(y) + y (g1 x + g2 x^2) + noise,    p and q polynomials of degree at most 3

by weighted least squares, with draws from its posterior under a flat prior (Student's t, Gelman et al., Bayesian Data
Analysis, section 14.2); the noise is that of the residuals of all kinds, or of the laws where these are few. Where the
losses by held-out group are known, each draw is moved as other groups would move the losses (`embudget.runs.groups`),
since what neighbouring cells have in common of it shows in no residual. In a draw the best size grows if the minimum
over the measured sizes lies higher at the largest budget than at the smallest; where it lies at the same end of the
sizes at both, its move was not seen. The laws' exponent of N*(C) is given for comparison.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embudget.choices.table import Array
from embudget.findings.finding import Finding, assertion, conclude, spread, untested
from embudget.findings.measured import KINDS, Candidates, fine, measured_kinds, of_kind
from embudget.laws import Laws
from embudget.methods import kind_of
from embudget.runs import Cell

DRAWS = 4000
SEED = 0
LEAST_FREEDOM = 5
"""With fewer degrees of freedom of the residuals, the noise is taken from the laws."""
_GRID = np.linspace(-1, 1, 201)


@dataclass(frozen=True)
class Profiles:
    """The losses of one kind over sizes and budgets, and their regression."""

    kind: str
    design: Array
    """weighted (n, p)"""
    target: Array
    """weighted log losses (n,)"""
    sizes: tuple[float, float]
    degrees: tuple[int, int]
    moves: Array | None = None
    """weighted moves of the log losses by other held-out groups (draws, n); None where they are unknown"""

    @classmethod
    def of(cls, kind: str, cells: Sequence[Cell], moves: Mapping[Cell, Array]) -> "Profiles | str":
        """The regression, or why there is none; ``moves`` are those of each cell (draws,) by other held-out groups."""
        best: dict[tuple[float, float], Cell] = {}
        for cell in cells:
            key = cell.model_params, cell.budget
            if key not in best or cell.loss < best[key].loss:
                best[key] = cell
        sizes, budgets = (len({key[place] for key in best}) for place in (0, 1))
        if sizes < 3 or budgets < 2:
            return f"{KINDS[kind]} has {sizes} sizes at {budgets} budgets, and 3 at 2 are needed"
        chosen = list(best.values())
        x, y = (_scaled(np.log(values)) for values in
                ([cell.model_params for cell in chosen], [cell.train_flops for cell in chosen]))  # fmt: skip
        degrees = min(3, sizes - 1), min(3, budgets - 1)
        weight = np.array([cell.weight for cell in chosen])
        root = np.sqrt(np.array([cell.seeds for cell in chosen]) * weight / weight.mean())
        design = _columns(x, y, degrees) * root[:, None]
        if len(chosen) < design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
            return f"{KINDS[kind]} has {len(chosen)} cells that do not span its {sizes} sizes and {budgets} budgets"
        size = min(key[0] for key in best), max(key[0] for key in best)
        moved = np.stack([moves[cell] for cell in chosen], axis=1) * root if moves else None
        return cls(kind, design, np.log([cell.loss for cell in chosen]) * root, size, degrees, moved)

    @property
    def estimate(self) -> Array:
        """Coefficients (p,)."""
        return np.asarray(np.linalg.lstsq(self.design, self.target, rcond=None)[0], dtype=np.float64)

    @property
    def freedom(self) -> int:
        """Cells minus coefficients."""
        cells, coefficients = self.design.shape
        return int(cells - coefficients)

    @property
    def squares(self) -> float:
        """Sum of squared residuals."""
        return float(((self.target - self.design @ self.estimate) ** 2).sum())

    def ends(self, noise: float, freedom: float, rng: np.random.Generator) -> Array:
        """The best size (draws, 2) at the smallest and the largest budget, -1 to 1."""
        triangle = np.linalg.qr(self.design)[1]
        normal = rng.standard_normal((DRAWS, self.design.shape[1]))
        scale = noise * np.sqrt(freedom / rng.chisquare(freedom, (DRAWS, 1)))
        drawn = self.estimate + scale * np.linalg.solve(triangle, normal.T).T
        if self.moves is not None:
            drawn = drawn + np.linalg.lstsq(self.design, self.moves.T, rcond=None)[0].T
        ends = [_GRID[(drawn @ _columns(_GRID, np.full(len(_GRID), y), self.degrees).T).argmin(axis=1)]
                for y in (-1.0, 1.0)]  # fmt: skip
        return np.stack(ends, axis=1)


def best_size(laws: Laws, candidates: Candidates) -> Finding:
    """The best size of every kind of method."""
    moves = _moves(laws)
    every = [
        Profiles.of(kind, [cell for cell in laws.cells if kind_of(cell.method) == kind], moves)
        for kind in measured_kinds(laws)
    ]
    if missing := [one for one in every if isinstance(one, str)]:
        return untested(2, "; ".join(missing))
    profiles = [one for one in every if isinstance(one, Profiles)]
    noise, freedom = _noise(laws, profiles)
    rng = np.random.default_rng(SEED)
    claims, texts = [], []
    for one in profiles:
        ends = one.ends(noise, freedom, rng)
        moved = ends[:, 1] - ends[:, 0]
        claims.append(assertion(f"the best size of {KINDS[one.kind]} grows", moved > 0, moved < 0))
        texts.append(_told(one, ends, of_kind(candidates, one.kind), laws))
    *others, last = (KINDS[one.kind] for one in profiles)
    kinds = f"for {', '.join(others)} and {last}" if others else f"the only method measured is {last}"
    return conclude(2, claims, "; ".join([kinds, *texts]))


def _told(profiles: Profiles, ends: Array, candidates: Candidates, laws: Laws) -> str:
    smallest, largest = np.log(profiles.sizes)
    sizes = np.exp(smallest + (np.median(ends, axis=0) + 1) / 2 * (largest - smallest))
    moved = ends[:, 1] - ends[:, 0]
    budgets = sorted({cell.budget for cell in laws.cells if kind_of(cell.method) == profiles.kind})
    best = fine(laws, candidates, np.geomspace(budgets[0], budgets[-1], 9).tolist())
    by_law = ""
    if len(best.budgets) > 1:
        centred = np.log(best.budgets) - np.log(best.budgets).mean()
        exponent = best.best_log_sizes() @ centred / (centred @ centred)
        by_law = f"; by its law N* ~ C^{spread(exponent, 3)}"
    return (
        f"{KINDS[profiles.kind]}: best by a regression of the measured losses {sizes[0]:.2g} parameters at "
        f"{budgets[0]:.3g} FLOP, {sizes[1]:.2g} at {budgets[-1]:.3g}, growing in {100 * (moved > 0).mean():.0f} % and "
        f"falling in {100 * (moved < 0).mean():.0f} % of the draws{by_law}"
    )


def _moves(laws: Laws) -> dict[Cell, Array]:
    """How far other held-out groups move the log loss of each cell (draws,); empty where that is unknown."""
    if laws.table.groups is None:
        return {}
    moves = laws.table.groups.moves(DRAWS, np.random.default_rng([SEED, 1]))
    return dict(zip(laws.table.cells, moves.T, strict=True))


def _noise(laws: Laws, profiles: Sequence[Profiles]) -> tuple[float, float]:
    """Standard deviation of one run and its degrees of freedom."""
    freedom = sum(one.freedom for one in profiles)
    if freedom < LEAST_FREEDOM:
        return laws.noise, laws.surface.freedom
    return float(np.sqrt(sum(one.squares for one in profiles) / freedom)), float(freedom)


def _scaled(values: Array) -> Array:
    low, high = values.min(), values.max()
    scaled: Array = 2 * (values - low) / (high - low) - 1
    return scaled


def _columns(x: Array, y: Array, degrees: tuple[int, int]) -> Array:
    powers = [x**power for power in range(degrees[0] + 1)] + [y**power for power in range(1, degrees[1] + 1)]
    return np.stack([*powers, y * x, y * x * x], axis=1)
