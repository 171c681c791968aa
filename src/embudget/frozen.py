"""The base of every validated value: a pydantic model that is checked once, at the border, and never changes.

Code behind the border can then rely on what it gets and needs no checks of its own.
"""

from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from embudget.errors import ConfigError, EmbudgetError


class Frozen(BaseModel):
    """An immutable value that refuses unknown fields, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @classmethod
    def read(cls, data: Any, source: str, kind: type[EmbudgetError] = ConfigError) -> Self:  # noqa: ANN401
        """Validate what a user wrote, and blame the place where it was written.

        Args:
            data: whatever a file held, usually a dict as JSON or YAML gave it.
            source: where it came from, such as the file's name; the message begins with it.
            kind: which error to raise.

        Raises:
            ConfigError: one line with the source, the first offending field, the rule and the value received, such as
                "study.yaml: seeds: Input should be greater than 0, got -1".
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise kind(f"{source}: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """Reduce a pydantic error, which lists every problem over several lines, to its first in one: field, rule, value.

    A value whose representation is longer than 80 characters is cut.
    """
    problem = error.errors(include_url=False)[0]
    # pydantic appends "[key]" to the path where a dict's key, not its value, is wrong
    field = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    message = problem["msg"].removeprefix("Value error, ")
    if not field:  # the rule is about several fields at once, and its message names them
        return message
    if problem["type"] == "missing":
        return f"{field} is required"
    if problem["type"] == "extra_forbidden":
        return f"{field} is not a known field"
    value = repr(problem["input"])
    if message.endswith(f"got {value}"):
        return f"{field}: {message}"
    return f"{field}: {message}, got {value if len(value) <= 80 else value[:77] + '...'}"


_Values = TypeVar("_Values", bound=tuple[Any, ...])


def unique(values: _Values) -> _Values:
    """The rule of a field that lists things to run: each of them once."""
    if len(set(values)) < len(values):
        raise ValueError("must not name anything twice")
    return values
