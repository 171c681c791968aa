"""One form of law with its bootstrap draws, as it is stored: what `embudget.laws.surface` puts together."""

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from embudget.frozen import Frozen
from embudget.laws.forms import FORMS, Array, FormName
from embudget.laws.joint import Sharing
from embudget.laws.problem import log_loss_of, split
from embudget.laws.zero_shot_losses import ZeroShotLosses
from embudget.records import MethodText

Log = Annotated[float, Field(ge=-800, le=100)]
"""The logarithm of a parameter or of a size; fitted ones lie within -750, which is that of 0, and 50."""
Weight = Annotated[float, Field(ge=-1e3, le=1e3)]


class Branch(Frozen):
    """The methods that have one E and one set of exponents: a group of `embudget.laws.sharing` with its draws."""

    basis: dict[MethodText, tuple[Weight, ...]] = Field(min_length=1, description="method -> weights of coefficients")
    centre_n: Log
    centre_d: Log
    fit: tuple[Log, ...] = Field(description="log E, log exponents, log coefficients")
    draws: tuple[tuple[Log, ...], ...] = Field(min_length=1, description="the same for each draw")
    moved: tuple[tuple[Log, ...], ...] = Field(
        default=(), description="for each draw, the fit to losses on other held-out groups; none where they are unknown"
    )

    @model_validator(mode="after")
    def _even(self) -> Self:
        if any(len(draw) != len(self.fit) for draw in (*self.draws, *self.moved)):
            raise ValueError(f"every draw must have as many values as the fit of its branch, {len(self.fit)}")
        if len(self.moved) not in (0, len(self.draws)):
            raise ValueError(f"moved must have one fit for each of {len(self.draws)} draws, got {len(self.moved)}")
        if len({len(weights) for weights in self.basis.values()}) > 1:
            raise ValueError("all methods of a basis must have as many weights")
        return self

    @cached_property
    def vectors(self) -> Array:
        """The fit, then the draws (1 + draws, P)."""
        return np.array([self.fit, *self.draws])

    @cached_property
    def of_other_groups(self) -> Array:
        """The fit, then those to losses on other held-out groups (1 + draws, P), or the fit alone (1, P)."""
        return np.array([self.fit, *self.moved])


class Component(Frozen):
    """One form of law, with as many draws as its weight deserves."""

    form: FormName
    sharing: Sharing
    weight: float = Field(ge=0, le=1)
    branches: tuple[Branch, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _even(self) -> Self:
        if len(counts := {len(branch.draws) for branch in self.branches}) > 1:
            raise ValueError(f"all branches of a component must have as many draws, got {sorted(counts)}")
        return self

    def log_losses(
        self, methods: Sequence[str], log_n: Array, log_d: Array, asymptote: float | None,
        log_base: Array | None = None,
    ) -> Array:  # fmt: skip
        """Log losses of m choices by the fit, then by the draws (1 + draws, m).

        ``log_base`` (1 + draws, m) are log zero-shot losses, which a form that begins at them needs.
        """
        return self._by([branch.vectors for branch in self.branches], methods, log_n, log_d, asymptote, log_base)

    def group_moves(
        self, methods: Sequence[str], log_n: Array, log_d: Array, asymptote: float | None,
        log_base: Array | None = None,
    ) -> Array:  # fmt: skip
        """By how much other held-out groups move the log losses of m choices (draws, m); no rows where unknown."""
        vectors = [branch.of_other_groups for branch in self.branches]
        base = None if log_base is None else log_base[:1]  # the fit's row serves the moved groups too
        logs = self._by(vectors, methods, log_n, log_d, asymptote, base)
        moves: Array = logs[1:] - logs[0]
        return moves

    def _by(
        self, vectors: Sequence[Array], methods: Sequence[str], log_n: Array, log_d: Array, asymptote: float | None,
        log_base: Array | None,
    ) -> Array:  # fmt: skip
        """Log losses of m choices by R parameter vectors of each branch (R, m)."""
        logs = np.empty((len(vectors[0]), len(methods)))
        for branch, own in zip(self.branches, vectors, strict=True):
            rows = [row for row, method in enumerate(methods) if method in branch.basis]
            if rows:
                basis = np.array([branch.basis[methods[row]] for row in rows])
                at = log_n[rows] - branch.centre_n, log_d[rows] - branch.centre_d
                begin = None if log_base is None else log_base[:, rows]
                logs[:, rows] = log_loss_of(FORMS[self.form], own, basis, *at, asymptote, begin)
        return logs

    def coefficients(self, method: str, asymptote: float | None) -> dict[str, Array]:
        """The equation's parameters for a method, each by the fit, then by the draws (1 + draws,)."""
        branch = next(branch for branch in self.branches if method in branch.basis)
        base, exponents, own = split(FORMS[self.form], branch.vectors, asymptote)
        mixed = tuple((c @ np.array(branch.basis[method]))[:, None] for c in own)
        raw = FORMS[self.form].to_raw(exponents, mixed, branch.centre_n, branch.centre_d)
        return {name: values[:, 0] for name, values in {"E": base, **raw}.items()}


def log_losses_of(
    components: Sequence[Component], methods: Sequence[str], log_n: Array, log_d: Array, asymptote: float | None,
    zero_shot: ZeroShotLosses | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """Log losses by the fits, averaged by the components' draws (m,), and by all draws (draws, m)."""
    counts = [len(component.branches[0].draws) for component in components]
    firsts = np.cumsum([0, *counts])
    base = None if zero_shot is None else zero_shot.drawn(log_n, sum(counts))
    every = []
    for component, first, count in zip(components, firsts, counts, strict=False):
        own = None if base is None else base[[0, *range(1 + first, 1 + first + count)]]
        every.append(component.log_losses(methods, log_n, log_d, asymptote, own))
    fitted: Array = np.average([logs[0] for logs in every], axis=0, weights=counts)
    return fitted, np.concatenate([logs[1:] for logs in every])
