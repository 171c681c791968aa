"""A number that a user writes, such as a budget of 1e13 or a price: read, or refused in one line with its rule."""

import math
import re

from embudget.errors import ConfigError, EmbudgetError, shortened

_DIGITS = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.IGNORECASE | re.ASCII)


def read_number(
    text: str | float,
    field: str,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    unit: str = "",
    kind: type[EmbudgetError] = ConfigError,
) -> float:
    """A finite number of a text as a user writes it, such as 1e13; a number is checked alike.

    Args:
        text: the text, or a number.
        field: what it is; begins the messages.
        above: the number must be greater than this.
        least: the number must be at least this.
        most: the number must be at most this.
        unit: what it counts with an example, as in "of FLOP such as 1e17".
        kind: which error to raise.

    Raises:
        ConfigError, or ``kind``: it is no number, not finite, or out of range.
    """
    if isinstance(text, bool) or (isinstance(text, str) and not _DIGITS.fullmatch(text) and not _is_infinite(text)):
        raise kind(f"{field} must be a number{unit and ' ' + unit}, got {shortened(repr(text), 60)}")
    try:
        value = float(text)
    except (ValueError, OverflowError):  # an int of over 308 digits
        value = math.inf
    rule = "finite" if least is None else f">= {least:g}"
    rule = rule if above is None else f"finite and > {above:g}"
    small = (above is not None and value <= above) or (least is not None and value < least)
    if not math.isfinite(value) or small:
        raise kind(f"{field} must be {rule}, got {_written(text, value)}")
    if most is not None and value > most:
        raise kind(f"{field} must be <= {most:g}, got {_written(text, value)}")
    return value


def _is_infinite(text: str) -> bool:
    return text.strip().lower().lstrip("+-") in ("nan", "inf", "infinity")


def _written(text: str | float, value: float) -> str:
    """A number for a message."""
    return f"{value:g}" if math.isfinite(value) or not isinstance(text, int) else "a number of over 308 digits"
