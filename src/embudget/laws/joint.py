"""What is a fit of several laws at once? Groups of cells, each with one law, under priors that tie them together.

A *group* has one E and one set of exponents. `embudget.laws.sharing` says which methods make a group, and
`embudget.laws.lineages` which lineages do, each with what the groups expect of one another; both find a group's
parameters by the solver here, and their noise level s from the residuals of all groups together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embudget.laws.basis import basis_of
from embudget.laws.forms import Array, Form
from embudget.laws.misfit import noise_level
from embudget.laws.problem import MANY_CELLS, Points, Problem, log_loss_of, sample
from embudget.laws.solve import Objective, Prior, curvature, projected_starts, refine

Sharing = Literal["shared", "pooled"]
"""What methods have in common: see `embudget.laws.sharing`."""
_ROUNDS = 12


@dataclass(frozen=True)
class Group:
    """The cells of the methods that have one E and one set of exponents."""

    problem: Problem
    rows: NDArray[np.intp]
    """places of its cells among all points (n,)"""
    basis: dict[str, Array]
    """method -> weights of its coefficients (p,)"""
    centre_n: float
    centre_d: float
    """means of log N and log D"""
    lineage: str = ""

    @classmethod
    def of(
        cls, form: Form, points: Points, rows: NDArray[np.bool_], asymptote: float | None,
        centre: tuple[float, float] | None = None,
    ) -> "Group":  # fmt: skip
        """The group of the points that ``rows`` (n,) marks, all of one lineage; by default centred at their means."""
        mine = points.where(rows)
        basis = basis_of(mine.methods)
        centre_n, centre_d = centre or (float(mine.log_n.mean()), float(mine.log_d.mean()))
        problem = Problem(
            form=form,
            log_n=mine.log_n - centre_n,
            log_d=mine.log_d - centre_d,
            basis=np.array([basis[method] for method in mine.method.tolist()]),
            log_loss=mine.log_loss,
            weights=points.weights[rows],
            asymptote=asymptote,
            log_base=mine.base if form.by_member else None,
        )
        return cls(problem, np.flatnonzero(rows), basis, centre_n, centre_d, mine.lineages[0])

    def head(self, vectors: Array) -> Array:
        """Log E, where it is fitted, and the log exponents (R, h), D0 in tokens."""
        return self._shifted(vectors[:, : self.problem.searched.stop], self.centre_d)

    def centred(self, head: Array) -> Array:
        """The same with D0 in units of the group's mean tokens."""
        return self._shifted(head, -self.centre_d)

    def _shifted(self, head: Array, shift: float) -> Array:
        moved = head.copy()
        if "D0" in self.problem.form.exponents:
            moved[:, self.problem.free + self.problem.form.exponents.index("D0")] += shift
        return moved


@dataclass(frozen=True)
class JointFit:
    """One form and one sharing, fitted to all points."""

    form: Form
    """that was asked for; a group's own may differ: see `embudget.laws.lineages`"""
    sharing: Sharing
    groups: tuple[Group, ...]
    vectors: tuple[Array, ...]
    """fitted parameters of each group (P,)"""
    priors: tuple[Prior, ...]
    """what was expected of each group"""
    noise: float
    """s: relative noise of a cell of mean weight, by the median residual"""
    log_fit: Array
    """(n,)"""
    parameters: float
    """how many the data decide, each counted by its share: fewer than there are where the prior decides with them"""

    def predict(
        self, method: NDArray[np.str_], log_n: Array, log_d: Array, lineage: NDArray[np.str_] | None = None,
        base: Array | None = None,
    ) -> Array:  # fmt: skip
        """The log loss (m,) of fitted methods at m points; each one's ``lineage`` where several were fitted.

        ``base`` (m,) are their log zero-shot losses, for a form that begins at them.
        """
        predicted = np.empty(len(method))
        for group, vector in zip(self.groups, self.vectors, strict=True):
            rows = np.isin(method, list(group.basis))
            if lineage is not None:
                rows &= lineage == group.lineage
            if rows.any():
                basis = np.array([group.basis[name] for name in method[rows].tolist()])
                at = log_n[rows] - group.centre_n, log_d[rows] - group.centre_d
                own = None if base is None else base[rows]
                predicted[rows] = log_loss_of(
                    group.problem.form, vector[None], basis, *at, group.problem.asymptote, own
                )[0]
        return predicted

    def of_lineage(self, lineage: str) -> "JointFit":
        """The part of one lineage, its cells counted anew; its share of the parameters is that of its groups."""
        kept = [place for place, group in enumerate(self.groups) if group.lineage == lineage]
        if len(kept) == len(self.groups):
            return self
        every = np.sort(np.concatenate([self.groups[place].rows for place in kept]))
        groups = tuple(
            replace(self.groups[place], rows=np.searchsorted(every, self.groups[place].rows)) for place in kept
        )
        vectors = tuple(self.vectors[place] for place in kept)
        share = sum(map(len, vectors)) / sum(map(len, self.vectors))
        return replace(
            self, groups=groups, vectors=vectors, priors=tuple(self.priors[place] for place in kept),
            log_fit=self.log_fit[every], parameters=share * self.parameters,
        )  # fmt: skip


def searched(problem: Problem, objective: Objective) -> Array:
    """The best fit from a grid of starts (1, P); of many cells, by a sample of them."""
    count = len(problem.log_loss)
    seen = problem if count <= MANY_CELLS else problem.where(sample(count, MANY_CELLS))
    return best_fit(seen, projected_starts(seen), objective)


def best_fit(problem: Problem, starts: Array, objective: Objective) -> Array:
    """The best fit from any of the starts (1, P)."""
    vectors, values = refine(problem, starts, objective)
    return vectors[[int(values.argmin())]]


def decided(problem: Problem, vector: Array, prior: Prior, noise: float) -> Array:
    """How far the data decide each parameter (P,): the diagonal of (H + P)^-1 H, H their curvature, P the prior's."""
    data, strength = curvature(problem, vector, Objective.robust(noise, prior))
    shares: Array = np.diag(np.linalg.solve(data + np.diag(strength) + 1e-12 * np.eye(len(data)), data))
    return np.clip(shares, 0.0, 1.0)


def alternated(
    form: Form,
    points: Points,
    sharing: Sharing,
    groups: Sequence[Group],
    vectors: Sequence[Array],
    priors_given: Callable[[Sequence[Array], float], list[Prior]],
    noise: float,
    common: int,
) -> JointFit:
    """Alternate the fits of the groups with what they are expected to have, until neither moves.

    It begins at the fits ``vectors``, (1, P) of each group, and at this noise level. ``priors_given`` says what each
    group is expected to have, given the fits of all and the noise level; ``common`` is as for `joined`.
    """
    for _ in range(_ROUNDS):
        priors = priors_given(vectors, noise)
        before, last = vectors, noise
        vectors = [
            best_fit(group.problem, vector, Objective.robust(noise, prior))
            for group, vector, prior in zip(groups, before, priors, strict=True)
        ]
        fit = joined(form, points, sharing, groups, vectors, priors, noise, common)
        noise = fit.noise
        moved = max(float(np.abs(new - old).max()) for new, old in zip(vectors, before, strict=True))
        if moved < 0.01 and abs(noise / last - 1) < 0.05:
            break
    return fit


def joined(
    form: Form,
    points: Points,
    sharing: Sharing,
    groups: Sequence[Group],
    vectors: Sequence[Array],
    priors: Sequence[Prior],
    noise: float,
    common: int,
) -> JointFit:
    """The fits of the groups as one, with the noise level of all their residuals.

    The first ``common`` parameters of the groups have a common centre. Where no group decides such a parameter, all of
    them together still decide its centre, so that it counts.
    """
    log_fit = np.empty(len(points))
    for group, vector in zip(groups, vectors, strict=True):
        log_fit[group.rows] = group.problem.predict(vector)[0]
    shares = [
        decided(group.problem, vector, prior, noise)
        for group, vector, prior in zip(groups, vectors, priors, strict=True)
    ]
    total = float(sum(own.sum() for own in shares))
    total += float((1 - np.array([own[:common] for own in shares]).mean(axis=0)).sum())
    found = noise_level(points.log_loss - log_fit, points.weights, total)
    own = tuple(vector[0] for vector in vectors)
    return JointFit(form, sharing, tuple(groups), own, tuple(priors), found, log_fit, total)
