"""The base of every validated value: a pydantic model that is checked once, at the border, and never changes.

Code behind the border can then rely on what it gets and needs no checks of its own.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from embudget.errors import ConfigError, EmbudgetError, shortened


class Frozen(BaseModel):
    """An immutable value that refuses unknown fields, NaN, infinity, and keys of a mapping that mean the same."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="wrap")
    @classmethod
    def _keys_are_unique(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401
        """Refuse a mapping such as {1e12: 16, 1000000000000: 32}, of which the last would silently win."""
        value = handler(data)
        for name, given in data.items() if isinstance(data, dict) else ():
            kept = getattr(value, name, None) if isinstance(given, dict) else None
            if isinstance(kept, dict) and len(kept) < len(given):
                raise ValueError(f"{name} names something twice, in two spellings: {', '.join(map(str, given))}")
        return value

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy it with other fields, without what was computed of the old ones: pydantic copies cached properties too.

        The new values are not checked.
        """
        copied = super().model_copy(update=update, deep=deep)
        for name in [name for name in copied.__dict__ if isinstance(getattr(type(self), name, None), cached_property)]:
            del copied.__dict__[name]
        return copied

    def __eq__(self, other: object) -> bool:
        """Compare the fields alone: pydantic would compare cached arrays too, and fail."""
        return type(self) is type(other) and all(
            getattr(self, name) == getattr(other, name) for name in type(self).model_fields
        )

    @classmethod
    def read(
        cls,
        data: Any,  # noqa: ANN401
        source: str,
        kind: type[EmbudgetError] = ConfigError,
        *,
        context: object = None,
    ) -> Self:
        """Validate what a user wrote, and blame the place where it was written.

        Args:
            data: whatever a file held, usually a dict as JSON or YAML gave it.
            source: where it came from, such as the file's name; the message begins with it. Empty where the fields are
                arguments of the call or options of the command line.
            kind: which error to raise.
            context: what the rule of a field may need besides its value, as `pydantic.ValidationInfo` hands it on.

        Raises:
            ConfigError: one line with the source, the first offending field, the rule and the value received, such as
                "study.yaml: seeds.0: must be > 0, got -1".
        """
        where = f"{source}: " if source else ""
        try:
            return cls.model_validate(data, context=context)
        except ValidationError as error:
            raise kind(where + first_problem(error, cls)) from None
        except RecursionError:
            raise kind(f"{where}it is nested too deeply") from None


_NUMBER, _WHOLE = "must be a number", "must be a whole number"
_RULES = {
    "greater_than": "must be > {gt:g}",
    "greater_than_equal": "must be >= {ge:g}",
    "less_than": "must be < {lt:g}",
    "less_than_equal": "must be <= {le:g}",
    "multiple_of": "must be a multiple of {multiple_of:g}",
    "finite_number": "must be finite",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length}, got {actual_length}",
    "too_long": "must have at most {max_length}, got {actual_length}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_type": "must be text",
    "string_unicode": "must be text that UTF-8 can hold",
    "path_type": "must be a path",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "invalid_key": "must have keys of text",
    "recursion_loop": "must not contain itself",
}
"""Our words for pydantic's types of errors, whose own speak of its classes; other types keep pydantic's message."""


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """Reduce a pydantic error, which lists every problem over several lines, to its first in one: field, rule, value.

    A field of the model that is misspelt comes before all else: it is why another one is missing. A value whose
    representation is longer than 80 characters is cut.
    """
    problems = error.errors(include_url=False)
    for one in problems:
        if one["type"] == "extra_forbidden" and (meant := _meant(one["loc"], model)):
            return f"{one['loc'][0]} is not a known field: did you mean {meant}?"
    problem = problems[0]
    # pydantic appends "[key]" to the path where a dict's key, not its value, is wrong, and the tag of a union's branch,
    # which ours write in brackets
    field = ".".join(str(part) for part in problem["loc"] if not re.fullmatch(r"\[key\]|\(.*\)", str(part)))
    field = shortened(field, 80)
    if problem["type"] == "missing":
        return f"{field} is required"
    if problem["type"] == "extra_forbidden":
        return f"{field} is not a known field"
    message = _rule(problem)
    if not field:  # the rule is about several fields at once, and its message names them
        return message
    if ", got " in message:
        return f"{field}: {message}"
    return f"{field}: {message}, got {_value(problem['input'])}"


def _meant(place: tuple[int | str, ...], model: type[BaseModel]) -> str | None:
    """The field of the model whose name an unknown one is close to."""
    close = get_close_matches(str(place[0]), model.model_fields, n=1, cutoff=0.8) if len(place) == 1 else []
    return close[0] if close else None


def _rule(problem: Any) -> str:  # noqa: ANN401 - a TypedDict of pydantic's core
    if problem["type"] in _RULES:
        return _RULES[problem["type"]].format(**problem.get("ctx", {}))
    message: str = problem["msg"]
    return message.removeprefix("Value error, ")


def _value(value: Any) -> str:  # noqa: ANN401 - whatever a user wrote
    """A value for a message, as a user would write it."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    try:
        return shortened(repr(value), 80)
    except ValueError:  # an integer of over 4,300 digits
        return "a number of thousands of digits"


_Values = TypeVar("_Values", bound=tuple[Any, ...])


def unique(values: _Values) -> _Values:
    """The rule of a field that lists things to run: each of them once."""
    if len(set(values)) < len(values):
        raise ValueError("must not name anything twice")
    return values
