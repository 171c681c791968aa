"""Running the command line inside the tests' process."""

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process, its exit code included; no stage is told as it goes on."""
    import warnings

    from embudget.cli import console
    from embudget.cli.app import main

    monkeypatch.setattr(console, "_SILENT_SECONDS", math.inf)  # else what is printed depends on how fast a machine is

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["embudget", *map(str, arguments)])
        capsys.readouterr()
        with warnings.catch_warnings(), pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return Outcome(stopped.value.code if isinstance(stopped.value.code, int) else 1, printed.out, printed.err)

    return call
