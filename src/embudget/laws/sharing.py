"""What methods share in one fit: the asymptote and exponents, and the coefficients of methods that differ by a number.

E and the exponents of the methods are

    shared     the same for all methods; every method has its own coefficients, which amounts to rescaling N and D for
               each of them
    pooled     of each kind of method (full, freeze, bias, lora), drawn towards a common centre by a normal prior on
               their logarithms (partial pooling; Gelman and Hill 2007, chapter 12). With many good cells a kind has a
               law of its own, with few it leans on the others
    separate   of each kind of method, whatever the others have

The common centre is the mean of the kinds, in which the usual prior counts as one kind more. It is found by
alternating with the fits. The noise level s that weighs the prior and sets Huber's delta is estimated in the same
rounds.

`embudget.laws.basis` says how methods of one kind that differ by a number share coefficients, and
`embudget.laws.lineages` how several lineages lean on each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embudget.laws.basis import basis_of
from embudget.laws.forms import FORMS, Array, Form, FormName
from embudget.laws.misfit import noise_level
from embudget.laws.problem import MANY_CELLS, Points, Problem, log_loss_of, sample
from embudget.laws.solve import HUBER, Objective, Prior, curvature, projected_starts, refine, usual_prior

Sharing = Literal["shared", "pooled", "separate"]

POOL = {"E": 0.15, "a": 0.3, "b": 0.3, "D0": 0.7}
"""Standard deviation of the logarithms about the common centre. Assumption: methods fine-tune the same models on the
same pairs, so that they differ by less than laws of unrelated models do (0.5, `embudget.laws.solve.PRIOR`)."""
_LEAST_ASYMPTOTE = 0.05  # share of the lowest loss: an E nearer to 0 says no more than that it is small
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
        self, method: NDArray[np.str_], log_n: Array, log_d: Array, lineage: NDArray[np.str_] | None = None
    ) -> Array:
        """The log loss (m,) of fitted methods at m points; each one's ``lineage`` where several were fitted."""
        predicted = np.empty(len(method))
        for group, vector in zip(self.groups, self.vectors, strict=True):
            rows = np.isin(method, list(group.basis))
            if lineage is not None:
                rows &= lineage == group.lineage
            if rows.any():
                basis = np.array([group.basis[name] for name in method[rows].tolist()])
                at = log_n[rows] - group.centre_n, log_d[rows] - group.centre_d
                predicted[rows] = log_loss_of(self.form, vector[None], basis, *at, group.problem.asymptote)[0]
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


def fit_jointly(form: Form, points: Points, sharing: Sharing, asymptote: float | None = None) -> JointFit:
    """Fit a form to all points, of which there must be more than the form has parameters."""
    if len(points.lineages) > 1:
        from embudget.laws.lineages import fit_lineages

        return fit_lineages(form, points, sharing, asymptote)
    if sharing == "shared" or len(points.kinds) == 1:
        return _fit_shared(form, points, sharing, asymptote)
    return _fit_by_kind(form, points, sharing, asymptote)


def _fit_shared(form: Form, points: Points, sharing: Sharing, asymptote: float | None) -> JointFit:
    group = Group.of(form, points, np.ones(len(points), dtype=bool), asymptote)
    problem = group.problem
    vector = searched(problem, Objective())
    noise, prior = 0.0, usual_prior(problem)
    for _ in range(3):
        noise = noise_level(problem.log_loss - problem.predict(vector)[0], problem.weights, problem.parameters)
        vector = best_fit(problem, vector, Objective.robust(noise))
    shares = decided(problem, vector, prior, noise)
    return JointFit(
        form, sharing, (group,), (vector[0],), (prior,), noise, problem.predict(vector)[0], float(shares.sum())
    )


def _fit_by_kind(form: Form, points: Points, sharing: Sharing, asymptote: float | None) -> JointFit:
    """A fit for each kind of method, alternating with what they have in common: the noise level, and a centre."""
    groups = [Group.of(form, points, rows, asymptote) for rows in points.kinds.values()]
    noise = _fit_shared(form, points, "shared", asymptote).noise
    weak = Objective(HUBER * noise, 0.3 * noise)  # a kind with few cells is kept in reason by the usual prior
    vectors = [searched(group.problem, weak) for group in groups]
    for _ in range(_ROUNDS):
        priors = _priors(points, groups, vectors, sharing)
        before, last = vectors, noise
        vectors = [
            best_fit(group.problem, vector, Objective.robust(noise, prior))
            for group, vector, prior in zip(groups, before, priors, strict=True)
        ]
        fit = _joined(form, points, sharing, groups, vectors, priors, noise)
        noise = fit.noise
        moved = max(float(np.abs(new - old).max()) for new, old in zip(vectors, before, strict=True))
        if moved < 0.01 and abs(noise / last - 1) < 0.05:
            break
    return fit


def _joined(
    form: Form,
    points: Points,
    sharing: Sharing,
    groups: Sequence[Group],
    vectors: Sequence[Array],
    priors: Sequence[Prior],
    noise: float,
) -> JointFit:
    """The fits of the kinds as one, with the noise level of all their residuals."""
    log_fit = np.empty(len(points))
    for group, vector in zip(groups, vectors, strict=True):
        log_fit[group.rows] = group.problem.predict(vector)[0]
    shares = [
        decided(group.problem, vector, prior, noise)
        for group, vector, prior in zip(groups, vectors, priors, strict=True)
    ]
    total = float(sum(own.sum() for own in shares))
    if sharing == "pooled":  # where no kind decides a parameter of the head, its common centre still does
        total += float((1 - np.array([own[: len(priors[0].sd)] for own in shares]).mean(axis=0)).sum())
    found = noise_level(points.log_loss - log_fit, points.weights, total)
    own = tuple(vector[0] for vector in vectors)
    return JointFit(form, sharing, tuple(groups), own, tuple(priors), found, log_fit, total)


def _priors(points: Points, groups: Sequence[Group], vectors: Sequence[Array], sharing: Sharing) -> list[Prior]:
    usual = [usual_prior(group.problem) for group in groups]
    if sharing == "separate":
        return usual
    first = groups[0].problem
    spread = np.array([POOL[name] for name in (*["E"] * first.free, *first.form.exponents)])
    centred_d = sum(group.centre_d for group in groups) / len(groups)  # D0 is usual in units of the mean tokens
    expected = replace(groups[0], centre_d=centred_d).head(usual[0].centre)
    centre = _centre(points, groups, vectors, spread, Prior(expected, usual[0].sd))
    return [Prior(group.centred(centre), spread) for group in groups]


def _centre(points: Points, groups: Sequence[Group], vectors: Sequence[Array], spread: Array, usual: Prior) -> Array:
    """The common centre (1, h): the mean of the kinds and of what is usual, weighed by their spreads."""
    heads = np.concatenate([group.head(vector) for group, vector in zip(groups, vectors, strict=True)])
    if groups[0].problem.free:
        heads[:, 0] = np.maximum(heads[:, 0], np.log(_LEAST_ASYMPTOTE) + points.log_loss.min())
    own, other = spread**-2.0, usual.sd**-2.0
    centre: Array = (own * heads.sum(axis=0) + other * usual.centre) / (own * len(heads) + other)
    return centre


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


def parameters_of(name: FormName, points: Points) -> int:
    """How many parameters a form has for these methods, with E and the exponents shared."""
    form, columns = FORMS[name], 0
    for lineage in points.lineages:
        mine = points if len(points.lineages) == 1 else points.where(points.lineage == lineage)
        columns += len(next(iter(basis_of(mine.methods).values())))
    return 1 + len(form.exponents) + len(form.coefficients) * columns
