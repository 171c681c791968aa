"""What must a file of laws be, so that its predictions can be trusted? `Laws.load` asks this of laws.json."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from embudget.errors import ConfigError, MethodError
from embudget.laws.surface import Surface
from embudget.methods import parse_method
from embudget.reading import read_json
from embudget.runs.cells import RunTable

FORMAT: Final = 7
"""Version of laws.json; raised when a reader of the old one would refuse or misread the new. Older ones are refused:
they do not say which method a carried residual is of, nor how fast their law falls."""
CHECKED = 200
"""Cells at which the predictions of laws are tried as they are read."""


def read_data(path: str | Path) -> Any:  # noqa: ANN401 - what JSON can hold, checked by `Laws`
    """The content of a file of laws of this version.

    Raises:
        ConfigError: the file cannot be read, or is not of laws of this version.
    """
    data = read_json(path)
    version = data.get("format_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise ConfigError(f"{path}: not a file of laws: it has no format_version")
    if version > FORMAT:
        raise ConfigError(f"{path}: format_version {version} is newer than this embudget's {FORMAT}: upgrade it")
    if version < FORMAT:
        raise ConfigError(f"{path}: format_version {version} is older than this embudget's {FORMAT}: fit again")
    return data


def check_predictions(table: RunTable, surface: Surface, source: str) -> None:
    """Refuse a file whose numbers are each within their limits, but which predicts no losses together."""
    for method in table.methods:
        try:
            parse_method(method)
        except MethodError as error:
            raise ConfigError(f"{source}: table: {error}") from None
    with_law = [cell for cell in table.cells if cell.method in surface.methods]
    cells = with_law[:: max(1, len(with_law) // CHECKED)]
    sizes, tokens = (np.array([getattr(cell, name) for cell in cells]) for name in ("model_params", "tokens"))
    with np.errstate(all="ignore"):  # what comes of an overflow is refused below
        try:
            bounds = surface.intervals([cell.method for cell in cells], sizes, tokens, 0.9)
        except ValueError as error:  # LinAlgError among them
            raise ConfigError(f"{source}: surface predicts nothing: {error}") from None
    for cell, low, high in zip(cells, *bounds, strict=True):
        if not 0 < low <= high < float("inf"):
            raise ConfigError(
                f"{source}: surface must predict finite losses > 0, got {low:g} to {high:g} for {cell.method} at "
                f"{cell.model_params:.3g} parameters and {cell.tokens:.3g} tokens"
            )
