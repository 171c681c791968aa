"""The benchmark of the size's exponent: its tables are isoFLOP sets of known truth, and its means are means."""

import numpy as np
import pytest

from benchmarks.size_exponent import BUDGETS, SIZES, Outcome, losses, outcome, simulated, summarised
from embudget.laws import Coefficients


def test_the_losses_of_several_laws_are_their_geometric_mean() -> None:
    laws = [Coefficients(E=1, A=100, a=0.3, B=200, b=0.3), Coefficients(E=2, A=10, a=0.2, B=400, b=0.4)]
    sizes, budget = np.array([1e7, 1e9]), 1e18
    expected = [np.sqrt(laws[0].loss(n, budget / (6 * n)) * laws[1].loss(n, budget / (6 * n))) for n in sizes]
    assert losses(laws, sizes, budget) == pytest.approx(expected)


def test_a_table_has_sizes_on_both_sides_of_the_best_at_every_budget() -> None:
    table = simulated(("chinchilla", "rectified"), 1)
    assert table.kind == "neither"
    assert len(table.runs) == BUDGETS * SIZES
    assert all(run["tokens"] * 6 * run["model_params"] == pytest.approx(run["budget"]) for run in table.runs)
    budgets = sorted({run["budget"] for run in table.runs})
    centres = [np.mean([np.log(r["model_params"]) for r in table.runs if r["budget"] == at]) for at in budgets]
    slope = float(np.polyfit(np.log(budgets), centres, 1)[0])
    assert slope == pytest.approx(table.exponent, abs=0.3), "the grids follow the best size, off centre by chance"
    assert simulated(("chinchilla", "rectified"), 1) == table


def test_laws_and_parabolas_are_near_the_truth_of_a_table() -> None:
    found = outcome(simulated(("chinchilla",), 0), draws=20)
    assert found.laws == pytest.approx(found.truth, abs=0.05)
    assert found.parabolas == pytest.approx(found.truth, abs=0.1)


def test_the_summary_counts_what_both_answer() -> None:
    rows = [
        Outcome("a", 0.5, 0.52, 0.4, 0.6, 0.47),
        Outcome("a", 0.5, 0.46, 0.45, 0.49, 0.51),
        Outcome("a", 0.5, None, None, None, 0.5),
        Outcome("a", 0.5, 0.5, 0.4, 0.6, None),
    ]
    found = summarised(rows)
    assert found["without"] == {"laws": 1, "parabolas": 1}
    assert found["mean_error"] == {"laws": pytest.approx(0.03), "parabolas": pytest.approx(0.02)}
    assert (found["nearer"], found["held"]) == (0.5, pytest.approx(2 / 3, abs=1e-3))
    assert found["width"] == pytest.approx((0.2 + 0.04 + 0.2) / 3, abs=1e-3)
