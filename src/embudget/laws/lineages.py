"""How do the laws of several lineages lean on each other? A joint fit of one form, with a prior for each group.

A *lineage* is a family and kind of start: base language models of a family, or existing retrievers. Every lineage has
an E, exponents and coefficients of its own, for all its methods (`shared`) or for each kind of them (`pooled`). One
parameter of group i, of lineage l and kind of method k, is on its logarithm

    y_i  =  centre + u_l + v_k + e_i,     all normal, with the spreads of `SPREADS`

so that what a group is expected to have follows from what the others have: from other kinds of its lineage, and from
the same kind in other lineages. With many good cells the data decide, with few the others do. The coefficients of a
lineage lie at any level (it is a wide u), but the contrast between two methods is expected to be about that of the
other lineages. The expectation for group i given the others is that of a Gaussian process (Rasmussen and Williams 2006,
equation 2.25), in which a parameter that its own cells do not decide counts for little.

A start that is good before any training gives one thing more. The rectified form has a loss at D = 0,

    L(N, 0) = E + A/N^a + B/D0^b

which meets the measured zero-shot loss; that says where D0 lies, up to START_ERROR of that loss. It is used where the
lineage is one of retrievers and the zero-shot loss at most `NEAR` times those of the cells: that of a base language
model is near chance, and the way from there to the first cells is not the law's. By default the other forms, whose loss
has no bound as D falls to 0, are then left out: cells that are all far from D = 0 do not tell them apart.

The zero-shot form begins at that loss of each member exactly (`embudget.laws.zero_shot`). Lineages that do not begin at
theirs have the rectified form beside it. Both have E, a, b and A; and how much dearer one method is than another says
B in the one and D0^b in the other, so that these lean on each other as well.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from embudget.laws.basis import basis_columns
from embudget.laws.forms import FORMS, Array, Form
from embudget.laws.joint import Group, JointFit, Sharing, alternated, joined, searched
from embudget.laws.problem import Points, split
from embudget.laws.solve import HUBER, Objective, Prior, usual_prior
from embudget.methods import kind_of

START_ERROR = 0.05
"""Relative error of the law at D = 0. assumption: the temperature and the pairs are new to the start, so that its first
steps gain more than the law says."""


class Spread(NamedTuple):
    """Standard deviations of the logarithm of a parameter: of the common centre, and of the three deviations."""

    centre: float
    lineages: float
    kinds: float
    groups: float


SPREADS = {
    "E": Spread(2.0, 0.3, 0.1, 0.1),
    "a": Spread(0.5, 0.3, 0.2, 0.2),
    "b": Spread(0.5, 0.3, 0.2, 0.2),
    "D0": Spread(2.0, 2.0, 0.5, 0.5),
    "coefficient": Spread(3.0, 2.0, 1.0, 0.3),
}
"""assumption: within a lineage as `embudget.laws.sharing.POOL`. Between lineages exponents differ less than those of
unrelated laws (0.5), E by what one family's pre-training leaves it short of the other's, and D0 by anything."""


@dataclass(frozen=True)
class _Entry:
    """One parameter of one group."""

    group: int
    place: int
    """in the group's vector"""
    name: str
    """E, an exponent's, or that of a coefficient"""
    kind: Hashable
    """what it has in common with parameters of other lineages: a kind of method, or a column of the basis"""


def fit_lineages(form: Form, points: Points, sharing: Sharing, asymptote: float | None) -> JointFit:
    """Fit a form to the points of several lineages."""
    one_kind = sharing == "shared" or len(points.kinds) == 1
    centre = float(points.log_n.mean()), float(points.log_d.mean())
    kinds = np.array(["" if one_kind else kind_of(method) for method in points.method.tolist()])
    places = sorted(set(zip(points.lineage.tolist(), kinds.tolist(), strict=True)))
    groups = [
        Group.of(
            FORMS["rectified"] if form.by_member and lineage not in points.begins else form,
            points, (points.lineage == lineage) & (kinds == kind), asymptote, centre,
        )
        for lineage, kind in places
    ]  # fmt: skip
    entries = [one for place, group in enumerate(groups) for one in _entries(place, group, places[place][1])]
    vectors = [searched(group.problem, Objective()) for group in groups]
    usual = [usual_prior(group.problem) for group in groups]
    common = min(group.problem.searched.stop for group in groups)
    noise = max(joined(form, points, sharing, groups, vectors, usual, 0.0, common).noise, 1e-4)
    vectors = [searched(group.problem, Objective(HUBER * noise, 0.3 * noise)) for group in groups]

    def priors_given(fits: Sequence[Array], level: float) -> list[Prior]:
        return _priors(points, groups, fits, entries, level)

    return alternated(form, points, sharing, groups, vectors, priors_given, noise, common)


def _entries(place: int, group: Group, kind: str) -> list[_Entry]:
    problem = group.problem
    heads = [*["E"] * problem.free, *problem.form.exponents]
    columns = basis_columns(list(group.basis))
    alike = {"D0": "B"}  # in the zero-shot form D0^b weighs the tokens as B does
    names = [(alike.get(name, name), column) for name in problem.form.coefficients for column in columns]
    return [
        *(_Entry(place, at, name, kind) for at, name in enumerate(heads)),
        *(_Entry(place, at, name, column) for at, (name, column) in enumerate(names, len(heads))),
    ]


def _priors(
    points: Points, groups: Sequence[Group], vectors: Sequence[Array], entries: Sequence[_Entry], noise: float
) -> list[Prior]:
    """What every group is expected to have, given what the others have."""
    centres = [vector[0].copy() for vector in vectors]
    sds = [np.full(len(centre), np.inf) for centre in centres]
    for name in dict.fromkeys(one.name for one in entries):
        alike = [one for one in entries if one.name == name]
        values = np.array([vectors[one.group][0, one.place] for one in alike])
        unsure = np.array([_unsure(groups, vectors, one, noise) for one in alike])
        spread, usual = _expected(name, groups[alike[0].group], points)
        covariance = _covariance(spread, alike, groups)
        for row, one in enumerate(alike):
            others = np.arange(len(alike)) != row
            mean, variance = _given(covariance, values - usual, unsure, row, others)
            centres[one.group][one.place], sds[one.group][one.place] = usual + mean, np.sqrt(variance)
    found = [Prior(centre[None], sd) for centre, sd in zip(centres, sds, strict=True)]
    return [
        _with_start(points, group, vector, prior) for group, vector, prior in zip(groups, vectors, found, strict=True)
    ]


def _expected(name: str, group: Group, points: Points) -> tuple[Spread, float]:
    """The spreads of a parameter, and the mean of its common centre."""
    if name in group.problem.form.exponents:
        usual = usual_prior(group.problem).centre[0]
        return SPREADS[name], float(usual[group.problem.free + group.problem.form.exponents.index(name)])
    typical = float(points.log_loss.mean())
    return SPREADS["E" if name == "E" else "coefficient"], typical - float(np.log(2 if name == "E" else 4))


def _covariance(spread: Spread, alike: Sequence[_Entry], groups: Sequence[Group]) -> Array:
    lineages = np.array([groups[one.group].lineage for one in alike])
    kinds = np.array([[one.kind == other.kind for other in alike] for one in alike])
    of_lineages = spread.lineages**2 * (lineages[:, None] == lineages)
    covariance: Array = spread.centre**2 + of_lineages + spread.kinds**2 * kinds + spread.groups**2 * np.eye(len(alike))
    return covariance


def _given(covariance: Array, values: Array, unsure: Array, row: int, others: Array) -> tuple[float, float]:
    """Mean and variance of one value of a Gaussian process, given the others with their variances."""
    if not others.any():
        return 0.0, float(covariance[row, row])
    between = covariance[row, others]
    weights = np.linalg.solve(covariance[np.ix_(others, others)] + np.diag(unsure[others]), between)
    return float(weights @ values[others]), float(covariance[row, row] - weights @ between)


def _unsure(groups: Sequence[Group], vectors: Sequence[Array], one: _Entry, noise: float) -> float:
    """The variance that a group's own cells leave of a parameter's logarithm, its other parameters held."""
    problem = groups[one.group].problem
    _, jacobian = problem.linearise(vectors[one.group])
    known = float((problem.weights * jacobian[0, one.place] ** 2).sum())
    return min(noise**2 / max(known, 1e-12), 1e4)


def _with_start(points: Points, group: Group, vector: Array, prior: Prior) -> Prior:
    """The prior of a rectified form with the D0 at which its curve begins at the zero-shot losses that are known."""
    problem = group.problem
    if "D0" not in problem.form.exponents:
        return prior
    base, near = points.base[group.rows], points.near_start[group.rows].copy()
    asymptote, exponents, coefficients = split(problem.form, vector, problem.asymptote)
    (a, b, _), (A, B) = ([float(one[0, 0]) for one in exponents], [(one @ problem.basis.T)[0] for one in coefficients])
    left = np.exp(np.where(near, base, 0.0)) - float(asymptote[0, 0]) - A * np.exp(-a * problem.log_n)
    near &= left > START_ERROR * np.exp(np.where(near, base, 0.0))
    if not near.any():
        return prior
    log_starts = (np.log(B[near]) - np.log(left[near])) / b
    error = float(np.mean(START_ERROR * np.exp(base[near]) / left[near])) / b
    place = problem.free + problem.form.exponents.index("D0")
    centre, sd = prior.centre.copy(), prior.sd.copy()
    of_prior, of_start = sd[place] ** -2.0, error**-2.0
    centre[0, place] = (of_prior * centre[0, place] + of_start * float(np.mean(log_starts))) / (of_prior + of_start)
    sd[place] = (of_prior + of_start) ** -0.5
    return replace(prior, centre=centre, sd=sd)
