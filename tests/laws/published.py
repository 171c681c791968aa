"""Published measurements: whole tables stay outside the repository, and a few rows of each are here.

The whole tables are checked where they lie beside the repository; everywhere else the rows below still are.
"""

from pathlib import Path

import pytest

# Step law, Li et al. 2025, arXiv 2503.04715: smoothed losses in the cell of N = 214663680 and D = 1.14e+10 tokens
STEP_LAW_CELL = (214663680, 1.14e10)
STEP_LAW_RATES = (0.0009766, 0.001953, 0.003906, 0.007812)
STEP_LAW_BATCHES = (64, 128, 256, 512)
"""Sequences of 2048 tokens."""
STEP_LAW_LOSSES = (
    (2.5054, 2.5056, 2.5196, 2.5393),
    (2.5012, 2.4915, 2.4953, 2.5163),
    (2.5247, 2.4903, 2.4900, 2.5049),
    (2.5677, 2.5344, 2.5475, 2.5417),
)
"""A row for each rate."""
STEP_LAW_OPTIMA = (
    (2.147e08, 4e09, 2.003e-03),
    (2.147e08, 1.14e10, 2.491e-03),
    (2.147e08, 2e10, 3.192e-03),
    (2.147e08, 1e11, 3.878e-03),
    (2.683e08, 5e09, 1.755e-03),
    (2.683e08, 1.42e10, 2.199e-03),
    (2.683e08, 2.5e10, 3.006e-03),
    (2.683e08, 8e10, 3.299e-03),
    (4.293e08, 8e09, 1.127e-03),
    (4.293e08, 2.27e10, 1.640e-03),
    (4.293e08, 4e10, 1.891e-03),
    (4.293e08, 5e10, 1.962e-03),
    (5.369e08, 1e10, 1.112e-03),
    (5.369e08, 2.84e10, 1.485e-03),
    (5.369e08, 5e10, 1.696e-03),
    (1.074e09, 2e10, 8.873e-04),
    (1.074e09, 5.69e10, 1.163e-03),
)
"""N, D and the best rate of each of the 17 cells, of a surface over all of its runs."""

# Chinchilla, Hoffmann et al. 2022, read off Figure 4 by Besiroglu et al. 2024, arXiv 2404.10102: every twelfth of the
# 240 runs of the published fit, in order of FLOP and size
CHINCHILLA_SAMPLE = (
    (7.382e07, 1.397e18, 3.406),
    (2.167e08, 5.394e18, 3.085),
    (1.397e08, 6.837e18, 3.012),
    (8.163e08, 9.292e18, 3.049),
    (3.056e08, 1.02e19, 2.915),
    (1.958e08, 2.243e19, 2.812),
    (6.322e08, 2.784e19, 2.737),
    (7.243e08, 3.275e19, 2.725),
    (2.167e08, 5.113e19, 2.704),
    (1.266e09, 5.856e19, 2.648),
    (5.525e08, 8.46e19, 2.578),
    (1.266e09, 9.779e19, 2.555),
    (1.266e09, 1.485e20, 2.517),
    (1.609e09, 2.129e20, 2.457),
    (8.163e08, 2.809e20, 2.435),
    (1.424e09, 3.808e20, 2.406),
    (4.516e09, 5.626e20, 2.388),
    (6.796e09, 9.283e20, 2.342),
    (4.516e09, 9.947e20, 2.304),
    (2.98e09, 2.621e21, 2.212),
)
"""Parameters, training FLOP, loss in nats."""

# Fine-tuning, Lin et al. 2024, arXiv 2402.02314: losses on FLAN after so many examples
FLAN_EXAMPLES = (200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 102400, 204800, 409600, 819200, 1638400)
FLAN_LOSSES = {
    "LaMini-124M": (4.248, 4.188, 4.087, 3.946, 3.808, 3.646, 3.421, 3.165, 2.916, 2.653, 2.383, 2.152, 1.917, 1.743),
    "gpt2-large": (3.525, 3.493, 3.412, 3.285, 3.157, 3.044, 2.898, 2.736, 2.542, 2.324, 2.115, 1.913, 1.739, 1.601),
    "mt5-large": (2.596, 2.528, 2.470, 2.389, 2.311, 2.220, 2.138, 2.051, 1.966, 1.890, 1.810, 1.741, 1.675, 1.601),
}  # fmt: skip


def measurements(name: str) -> Path:
    """A whole table, beside the repository or one of the folders that hold it; where it is missing the test skips."""
    for folder in Path(__file__).resolve().parents[2:]:
        if (path := folder / "shared/data/laws" / name).exists():
            return path
    pytest.skip(f"shared/data/laws/{name} is not on this machine; a few of its rows are checked in another test")
