"""A number is read as people write it, or refused in one line that says its rule."""

import pytest

from embudget.errors import ConfigError
from embudget.number import read_number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "b must be a number of FLOP, got 'x'"),
        ("1_000", "b must be a number of FLOP, got '1_000'"),
        ("", "b must be a number of FLOP, got ''"),
        ("nan", "b must be finite and > 0, got nan"),
        ("1e400", "b must be finite and > 0, got inf"),
        ("-1", "b must be finite and > 0, got -1"),
        (10**310, "b must be finite and > 0, got a number of over 308 digits"),
        ("1e31", r"b must be <= 1e\+30, got 1e\+31"),
        (True, "b must be a number of FLOP, got True"),
        ("9" * 5000, "b must be finite and > 0, got inf"),
    ],
)
def test_bad_numbers_are_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        read_number(text, "b", above=0, most=1e30, unit="of FLOP")


def test_numbers_are_read_as_people_write_them() -> None:
    assert [read_number(text, "b") for text in ("1e17", " 1.5E+3 ", ".5", "7.", "-2")] == [1e17, 1500, 0.5, 7, -2]
