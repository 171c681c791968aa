"""Hiding passwords: an address of a database may hold some, and what is printed, logged or recorded must not.

The rules go by the text alone, so that they also hold for addresses that cannot be parsed: whatever stands between the
first colon after `://` and the last `@` is a password, and so is the value of each parameter with a telling name.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"

_ADDRESS = re.compile(r"://(\S+)")
_TELLING = re.compile(r"pass|pwd|secret|token|credential|api_?key|odbc_connect", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&])([^=&]+)=([^&]*)")


def hide_passwords(text: str) -> str:
    """Replace the passwords of all addresses in a text by `***`; users, hosts and names stay readable."""
    return _ADDRESS.sub(lambda found: f"://{_without(found[1])}", text)


def hide_in_address(address: str) -> str:
    """Replace the passwords of one address, in which they may hold white space, by `***`."""
    scheme, mark, rest = address.partition("://")
    return scheme + mark + _without(rest)


def hide_secrets(text: str, secrets: Iterable[str]) -> str:
    """Replace passwords that are known, as they are and as addresses encode them, by `***` wherever they stand."""
    spellings = {form(secret) for secret in secrets for form in (str, quote, quote_plus, unquote, unquote_plus)}
    for secret in sorted(filter(None, spellings), key=len, reverse=True):
        pattern = re.escape(secret)
        if len(secret) < 4:  # it may be part of a common word, which says nothing about it
            pattern = rf"(?<!\w){pattern}(?!\w)"
        text = re.sub(pattern, HIDDEN, text)
    return text


def secrets_of(address: str) -> set[str]:
    """The passwords that an address holds, encoded as they stand there."""
    found = set()
    _, _, rest = address.partition("://")
    start, at, _ = rest.rpartition("@")
    if at and ":" in start:
        found.add(start.partition(":")[2])
    found |= {value for _, name, value in _PARAMETER.findall(rest) if _TELLING.search(unquote(name))}
    return found - {""}


def _without(rest: str) -> str:
    start, at, end = rest.rpartition("@")
    if at and ":" in start:
        rest = f"{start.partition(':')[0]}:{HIDDEN}@{end}"
    return _PARAMETER.sub(
        lambda found: f"{found[1]}{found[2]}={HIDDEN if _TELLING.search(unquote(found[2])) else found[3]}", rest
    )
