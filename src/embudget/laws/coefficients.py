"""The law of one method by its equation's parameters, as a paper would print them, apart from any fit."""

from typing import Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from embudget.errors import ConfigError
from embudget.frozen import Frozen
from embudget.laws.forms import FORMS, FormName
from embudget.number import read_number


class Coefficients(Frozen):
    """The law of one method by its equation's parameters, as a paper would print them.

    Example:
        >>> Coefficients(E=1.69, A=406.4, a=0.34, B=410.7, b=0.28).loss(70e9, 1.4e12)
        1.936...
    """

    form: FormName = Field(default="chinchilla", description="the form of law")
    E: NonNegativeFloat = Field(description="asymptote, nats")
    A: NonNegativeFloat = Field(description="scale of the part that falls with N")
    a: PositiveFloat = Field(description="exponent of N")
    B: NonNegativeFloat | None = Field(default=None, description="absent from the forms multiplicative and zero_shot")
    b: PositiveFloat = Field(description="exponent of D")
    D0: PositiveFloat | None = Field(
        default=None,
        description="tokens: what pre-training counts as in the rectified form, or half of the way from the zero-shot "
        "loss takes in zero_shot; absent from the others",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        form = FORMS[self.form]
        needed = {*form.exponents, *form.coefficients}
        for name in ("B", "D0"):
            if (getattr(self, name) is None) == (name in needed):
                verb = "needs" if name in needed else "has no"
                raise ValueError(f"the {self.form} form {verb} {name}")
        return self

    def loss(self, model_params: float, tokens: float, zero_shot_loss: float | None = None) -> float:
        """The equation at N parameters and D tokens, nats; D may be 0.

        Args:
            model_params: N.
            tokens: D.
            zero_shot_loss: of the member before any training, nats; only forms that begin at it need it.

        Raises:
            ConfigError: the form needs the zero-shot loss, and it is not given, or it is not above 0.
        """
        form = FORMS[self.form]
        if form.by_member and zero_shot_loss is None:
            raise ConfigError(f"zero_shot_loss must be given, since the {self.form} form begins at it")
        if zero_shot_loss is not None:
            zero_shot_loss = read_number(zero_shot_loss, "zero_shot_loss", above=0)
        values = {
            name: np.array([[getattr(self, name)]], dtype=float) for name in (*form.exponents, *form.coefficients)
        }
        exponents, coefficients = form.from_raw(values)
        with np.errstate(divide="ignore"):
            at = np.log([model_params]), np.log([tokens])
        base = None if zero_shot_loss is None else np.log([zero_shot_loss])
        return float(form.loss(np.array([[self.E]]), exponents, coefficients, *at, base)[0, 0])
