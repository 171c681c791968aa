"""An error as the command line says it: in one line of bounded length, with options as a user types them."""

import re
from collections.abc import Sequence
from typing import Any

from embudget.errors import ConfigError, shortened

MOST = 299 - len("embudget: ")
"""Characters of a message: what a person reads at a glance."""
_LONGEST_WORD = 90
"""Characters of a word, such as a path, above which its middle is left out first."""

_BESIDE = ("device", "dollars", "hours", "mfu")


def one_line(message: str) -> str:
    """A message in one line of at most `MOST` characters; what it leaves out is the middle of long values."""
    letters = (letter if letter.isprintable() or letter.isspace() else repr(letter)[1:-1] for letter in message)
    words = "".join(letters).split()
    if len(line := " ".join(words)) > MOST:
        line = " ".join(shortened(word, _LONGEST_WORD) for word in words)
    return shortened(line, MOST)


def with_options(message: str, command: Any, arguments: Sequence[str]) -> str:  # noqa: ANN401 - of click, by typer
    """A message of the library with its arguments as the command's options: gpu_hours becomes --gpu-hours.

    What is said of a file (it begins with the file's name) is left alone, for its fields are written with underscores.

    Args:
        message: as the library says it.
        command: the whole command line.
        arguments: those it was called with.
    """
    if any(message.startswith(f"{argument}:") for argument in arguments):
        return message
    for name in arguments[:2]:
        command = getattr(command, "commands", {}).get(name, command)
    options = {
        one.name: max(one.opts, key=len)
        for one in getattr(command, "params", ())
        if one.opts and one.opts[0].startswith("-")
    }
    beside = any("_" in name and re.search(rf"\b{name}\b", message) for name in options)
    for name, option in options.items():
        # a plain word is an option only where a rule about it begins the message, or some words beside other options
        anywhere = "_" in name or (beside and name in _BESIDE)
        pattern = rf"(?<![\w.-]){name}(?![\w.])" if anywhere else rf"^{name}(?:\.\d+)?(?=:| must | needs )"
        message = re.sub(pattern, option, message)
    return message


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that are not UTF-8: neither a store nor a table nor a record can hold them.

    Raises:
        ConfigError: names the first one.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"arguments must be UTF-8, got {shortened(ascii(argument), 100)}") from None
