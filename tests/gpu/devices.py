"""Tests that hold on a GPU and, to the same rules, on a CPU: there they run wherever the fast tests do."""

from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from tests.training.batches import embedder

on_each_device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])

FLOAT32_ROUNDING = 1e-4
"""Distance of two gradients that differ by the order of their sums, as a share of their length; 1e-6 is usual."""
BF16_ROUNDING = 0.05
"""The same where one is computed in bf16, see `tests/training/test_bf16.py`."""

Gradients = tuple[float, dict[str, Tensor]]


def model_on(device: str, folder: Path, method: str) -> SentenceTransformer:
    """A tiny model with a method applied, on a device; the same numbers on each."""
    return embedder(folder, method).to(device)


def distance(found: Gradients, wanted: Gradients) -> float:
    """Length of the difference of two gradients as a share of the second one's, wherever each of them is."""
    assert found[1].keys() == wanted[1].keys() and wanted[1]
    away = sum((found[1][name].cpu() - value.cpu()).square().sum().item() for name, value in wanted[1].items())
    whole = sum(value.square().sum().item() for value in wanted[1].values())
    return float((away / whole) ** 0.5)


def assert_near(found: Gradients, wanted: Gradients, rounding: float) -> None:
    """The loss in nats and the gradient differ by no more than rounding."""
    assert abs(found[0] - wanted[0]) < rounding
    assert distance(found, wanted) < rounding


def is_on(device: str, model: SentenceTransformer) -> bool:
    """Whether all of a model is there."""
    return {value.device.type for value in model.parameters()} == {torch.device(device).type}
