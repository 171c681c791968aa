"""What methods share in one fit: the asymptote and exponents, and the coefficients of methods that differ by a number.

E and the exponents of the methods are

    shared     the same for all methods; every method has its own coefficients, which amounts to rescaling N and D for
               each of them
    pooled     of each kind of method (full, freeze, bias, lora), drawn towards a common centre by a normal prior on
               their logarithms (partial pooling; Gelman and Hill 2007, chapter 12). With many good cells a kind has a
               law of its own, with few it leans on the others

Kinds that have nothing in common were tried as a third way. Without it forecasts are no worse, and fits are faster
(docs/log.md, 2026-11-30).

The common centre is the mean of the kinds, in which the usual prior counts as one kind more. It is found by
alternating with the fits. The noise level s that weighs the prior and sets Huber's delta is estimated in the same
rounds.

`embudget.laws.basis` says how methods of one kind that differ by a number share coefficients, and
`embudget.laws.lineages` how several lineages lean on each other.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from embudget.laws.basis import basis_of
from embudget.laws.forms import FORMS, Array, Form, FormName
from embudget.laws.joint import Group, JointFit, Sharing, alternated, best_fit, decided, searched
from embudget.laws.lineages import fit_lineages
from embudget.laws.misfit import noise_level
from embudget.laws.problem import Points
from embudget.laws.solve import HUBER, Objective, Prior, usual_prior

POOL = {"E": 0.15, "a": 0.3, "b": 0.3, "D0": 0.7}
"""Standard deviation of the logarithms about the common centre. Assumption: methods fine-tune the same models on the
same pairs, so that they differ by less than laws of unrelated models do (0.5, `embudget.laws.solve.PRIOR`)."""
_LEAST_ASYMPTOTE = 0.05  # share of the lowest loss: an E nearer to 0 says no more than that it is small


def fit_jointly(form: Form, points: Points, sharing: Sharing, asymptote: float | None = None) -> JointFit:
    """Fit a form to all points, of which there must be more than the form has parameters."""
    if len(points.lineages) > 1:
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

    def priors_given(fits: Sequence[Array], _: float) -> list[Prior]:
        return _priors(points, groups, fits)

    return alternated(form, points, sharing, groups, vectors, priors_given, noise, groups[0].problem.searched.stop)


def _priors(points: Points, groups: Sequence[Group], vectors: Sequence[Array]) -> list[Prior]:
    first, usual = groups[0].problem, usual_prior(groups[0].problem)
    spread = np.array([POOL[name] for name in (*["E"] * first.free, *first.form.exponents)])
    centred_d = sum(group.centre_d for group in groups) / len(groups)  # D0 is usual in units of the mean tokens
    expected = replace(groups[0], centre_d=centred_d).head(usual.centre)
    centre = _centre(points, groups, vectors, spread, Prior(expected, usual.sd))
    return [Prior(group.centred(centre), spread) for group in groups]


def _centre(points: Points, groups: Sequence[Group], vectors: Sequence[Array], spread: Array, usual: Prior) -> Array:
    """The common centre (1, h): the mean of the kinds and of what is usual, weighed by their spreads."""
    heads = np.concatenate([group.head(vector) for group, vector in zip(groups, vectors, strict=True)])
    if groups[0].problem.free:
        heads[:, 0] = np.maximum(heads[:, 0], np.log(_LEAST_ASYMPTOTE) + points.log_loss.min())
    own, other = spread**-2.0, usual.sd**-2.0
    centre: Array = (own * heads.sum(axis=0) + other * usual.centre) / (own * len(heads) + other)
    return centre


def parameters_of(name: FormName, points: Points) -> int:
    """How many parameters a form has for these methods, with E and the exponents shared."""
    form, columns = FORMS[name], 0
    for lineage in points.lineages:
        mine = points if len(points.lineages) == 1 else points.where(points.lineage == lineage)
        columns += len(next(iter(basis_of(mine.methods).values())))
    return 1 + len(form.exponents) + len(form.coefficients) * columns
