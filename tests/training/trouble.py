"""Training that goes wrong before a step of a test's choice."""

import math
from collections.abc import Callable

import pytest
import torch

from embudget.training.loop import Training

When = Callable[[Training, float], bool]
"""Whether it goes wrong now, by the training and the factor on the rate of its next step."""


def poisoned(monkeypatch: pytest.MonkeyPatch, when: When) -> None:
    """Weights become NaN before each step for which ``when`` holds."""

    def poison(training: Training) -> None:
        for parameter in training.model.parameters():
            if parameter.requires_grad:
                torch.nn.init.constant_(parameter, math.nan)

    _before_steps(monkeypatch, when, poison)


def out_of_memory(monkeypatch: pytest.MonkeyPatch, when: When) -> None:
    """Memory does not suffice for each step for which ``when`` holds."""

    def fail(training: Training) -> None:
        raise RuntimeError("out of memory")

    _before_steps(monkeypatch, when, fail)


def _before_steps(monkeypatch: pytest.MonkeyPatch, when: When, do: Callable[[Training], None]) -> None:
    original = Training.step

    def step(self: Training, factor: float) -> float:
        if when(self, factor):
            do(self)
        return original(self, factor)

    monkeypatch.setattr(Training, "step", step)
