"""The base of every validated value: immutable, and closed to fields it does not know."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from embudget.errors import ConfigError


class Frozen(BaseModel):
    """A pydantic model that is validated once, at the border, and never changes afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @classmethod
    def read(cls, data: Any, source: str) -> Self:  # noqa: ANN401 - whatever a file held
        """Validate ``data`` that came from ``source`` (a file's name).

        Raises:
            ConfigError: one line with the source, the first offending field, the rule and the value received.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ConfigError(f"{source}: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """Say the first problem of a pydantic error in one line: field, rule, value."""
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"] if part != "[key]")  # which pydantic adds behind a bad key
    message = problem["msg"].removeprefix("Value error, ")
    if not field:  # a rule between fields, whose message names them
        return message
    if problem["type"] == "missing":
        return f"{field} is required"
    if problem["type"] == "extra_forbidden":
        return f"{field} is not a known field"
    value = repr(problem["input"])
    if message.endswith(f"got {value}"):
        return f"{field}: {message}"
    return f"{field}: {message}, got {value if len(value) <= 80 else value[:77] + '...'}"
