"""Numbers as a reader of the page sees them, and text that is safe in labels of figures."""

import re
from html import escape

MISSING = "–"
"""What stands for a measurement that was not made."""


def number(value: float, digits: int = 3) -> str:
    """So many significant digits, as 0.0012, 1,250 or 1.25e11."""
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), f"{value:.{digits}g}")
    whole = abs(value) >= 10**digits - 0.5  # also what rounds up to so many digits, which %g would write as 1e+03
    return f"{value:,.0f}" if whole else f"{value:.{digits}g}"


def fixed(value: float | None, form: str = ".3f") -> str:
    """A number in a format of Python, by default with three decimals; what was not measured as `MISSING`."""
    return MISSING if value is None else f"{value:{form}}"


def plotly_text(text: str) -> str:
    """Text for a label of plotly, which reads tags such as <b> and <a>."""
    return escape(text, quote=False)
