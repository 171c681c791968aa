"""The loss over N, D and method as plain data, which `templates/answer_law.js` evaluates as `Surface` does."""

from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from embudget.laws import Laws
from embudget.laws.components import Branch, Component
from embudget.laws.on_pairs import normal_quantiles, thinned
from embudget.laws.reach import Reach
from embudget.laws.surface import Surface
from embudget.laws.uncertainty import widening
from embudget.methods import kind_of
from embudget.recipe.answer import LEVEL


def packed(values: ArrayLike) -> str:
    """Numbers as base64 of little-endian float64, row by row."""
    return b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode()


def law_data(laws: Laws) -> dict[str, Any]:
    """The surface of one lineage, with what repeated tokens are worth."""
    surface, repetition = laws.surface, laws.repetition
    counts = [len(part.branches[0].draws) for part in surface.components]
    few = [len(thinned(part.branches[0]).draws) for part in surface.components]
    return {
        "asymptote": surface.asymptote,
        "noise": surface.noise,
        "misfit": surface.misfit,
        "constant": surface.constant,
        "discrepancy": surface.discrepancy,
        "fall": surface.fall,
        "student": float(student.ppf((1 + LEVEL) / 2, surface.freedom)),
        "widening": widening(surface.freedom),
        "byGroups": surface.by_groups,
        "components": [_component(part) for part in surface.components],
        "correction": _correction(surface),
        "kinds": {name: kind_of(name) for name in surface.methods},
        "reach": {name: _reach(surface, one) for name, one in surface.reach.items()},
        "zeroShot": None
        if surface.zero_shot is None
        else {
            "steps": packed(surface.zero_shot.steps(sum(counts))),
            "fewSteps": packed(surface.zero_shot.steps(sum(few))),
        },
        "normals": packed(normal_quantiles(sum(counts))),
        "repetition": {
            "reuse": repetition.reuse,
            "logSd": repetition.log_sd,
            "passes": repetition.passes,
            "fitted": repetition.fitted,
            "text": str(repetition),
        },
    }


def _reach(surface: Surface, reach: Reach) -> dict[str, Any]:
    """What was measured of a method, with the log zero-shot losses of its smallest and of its largest model."""
    if surface.zero_shot is None:
        return reach.model_dump()
    ends = np.stack(surface.zero_shot.at(np.log(reach.model_params)), axis=1)
    return {**reach.model_dump(), "zero_shot": ends.tolist()}


def _component(part: Component) -> dict[str, Any]:
    return {
        "form": part.form,
        "draws": len(part.branches[0].draws),
        "branches": [_branch(branch) for branch in part.branches],
    }


def _branch(branch: Branch) -> dict[str, Any]:
    return {
        "basis": branch.basis,
        "centreN": branch.centre_n,
        "centreD": branch.centre_d,
        "width": len(branch.fit),
        "vectors": packed(branch.vectors),
        "moved": packed(branch.of_other_groups) if branch.moved else None,
    }


def _correction(surface: Surface) -> dict[str, Any] | None:
    """The correction near the cells; the page solves it, since its inverse would be larger than all else."""
    one = surface.correction
    if one is None:
        return None
    return {
        "methods": one.methods,
        "zeroShot": None if surface.zero_shot is None else surface.zero_shot.at(np.array(one.log_n))[0].tolist(),
        "logN": packed(one.log_n),
        "logD": packed(one.log_d),
        "residuals": packed(one.residuals),
        "variances": packed(one.variances),
        "misfit": one.misfit,
        "lengths": one.lengths,
        "across": one.across,
    }
