"""The parameters of one form for one method, as published, and the loss that they give."""

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from embudget.frozen import Frozen
from embudget.laws.base import Form
from embudget.laws.chinchilla import Chinchilla
from embudget.laws.dense_retrieval import DenseRetrieval
from embudget.laws.multiplicative import Multiplicative
from embudget.laws.rectified import Rectified

FormName = Literal["chinchilla", "multiplicative", "rectified", "dense_retrieval"]
FORMS: Mapping[FormName, Form] = {
    "chinchilla": Chinchilla(),
    "multiplicative": Multiplicative(),
    "rectified": Rectified(),
    "dense_retrieval": DenseRetrieval(),
}


class Coefficients(Frozen):
    """The law of one method."""

    form: FormName = "chinchilla"
    E: NonNegativeFloat = Field(description="asymptote, nats")
    A: NonNegativeFloat
    a: PositiveFloat
    B: NonNegativeFloat | None = Field(default=None, description="not of the multiplicative form")
    b: PositiveFloat
    D0: PositiveFloat | None = Field(default=None, description="tokens; of the rectified form only")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        form = FORMS[self.form]
        needed = {*form.exponents, *form.coefficients}
        for name in ("B", "D0"):
            if (getattr(self, name) is None) == (name in needed):
                verb = "needs" if name in needed else "has no"
                raise ValueError(f"the {self.form} form {verb} {name}")
        return self

    def loss(self, model_params: float, tokens: float) -> float:
        """The equation at N parameters and D tokens, nats; D may be 0."""
        form = FORMS[self.form]
        values = {
            name: np.array([[getattr(self, name)]], dtype=float) for name in (*form.exponents, *form.coefficients)
        }
        exponents, coefficients = form.from_raw(values)
        with np.errstate(divide="ignore"):
            at = np.log([model_params]), np.log([tokens])
        return float(self.E + form.reducible(exponents, coefficients, *at)[0, 0])
