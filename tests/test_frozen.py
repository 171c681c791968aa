"""A value that breaks a rule is refused in one line with its place, field, rule and value."""

from functools import cached_property
from typing import Self

import pytest
from pydantic import Field, PositiveInt, model_validator

from embudget.errors import ConfigError
from embudget.frozen import Frozen


class Box(Frozen):
    width: PositiveInt
    height: float = 1.0
    name: str = Field(default="", max_length=3)
    labels: dict[PositiveInt, str] = Field(default={})

    @model_validator(mode="after")
    def _is_flat(self) -> Self:
        if self.height > self.width:
            raise ValueError(f"height must be at most width, got {self.height} > {self.width}")
        return self


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "width is required"),
        ({"width": 1, "colour": "red"}, "colour is not a known field"),
        ({"widht": 1}, "widht is not a known field: did you mean width\\?"),
        ({"width": 0}, "width: must be > 0, got 0"),
        ({"width": 1, "height": float("nan")}, "height: must be finite, got nan"),
        ({"width": 1, "height": 2.0}, "height must be at most width, got 2.0 > 1"),
        ({"width": 1, "labels": {"x": "a"}}, "labels.x: must be a whole number, got 'x'"),
        ({"width": 1, "name": "long"}, "name: must have at most 3 characters, got 'long'"),
        ({"width": "x" * 100}, f"width: must be a whole number, got '{'x' * 51}\\.\\.\\.{'x' * 24}'"),
    ],
)
def test_the_first_problem_is_one_line(data: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^box.json: {message}$"):
        Box.read(data, "box.json")


class Square(Frozen):
    """A value that keeps what it has computed."""

    side: int

    @cached_property
    def area(self) -> int:
        return self.side**2


def test_a_copy_with_other_fields_computes_anew() -> None:
    square = Square(side=2)
    assert square.area == 4
    assert square.model_copy(update={"side": 3}).area == 9
    assert square.area == 4
