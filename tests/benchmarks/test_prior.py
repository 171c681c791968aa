"""The benchmark that chooses the prior of the discrepancy: its rules are those of the laws."""

import json

import numpy as np
import pytest

from benchmarks import prior
from benchmarks.prior import TODAY, Found, Rule, found_of, summarised
from embudget.laws import fit
from embudget.runs.cells import RunTable
from tests.laws.studies import SHARED, WIDE, cells


def found() -> tuple[Found, tuple[np.ndarray, np.ndarray]]:
    """A case of five budgets whose laws have a misfit, and the ends of its intervals by the laws themselves."""
    budgets = tuple(2.5e11 * 4.0**i for i in range(5))
    made = [
        cell.model_copy(update={"loss": cell.loss * (1 + 0.03 * np.sin(np.log(cell.tokens)))})
        for cell in cells({"full": SHARED["full"]}, 0.002, models=WIDE, budgets=budgets, seeds=2)
    ]
    laws = fit(RunTable(cells=tuple(made), run_count=2 * len(made)), draws=20, forms=["chinchilla"])
    at = np.array([[1e7, 1e8, 4e8], [1e7, 1e8, 1e7]])
    ends = laws.on_study.intervals(["full"] * 3, at[0], at[1], 0.9)
    return found_of("one", laws, ["full"] * 3, at, np.log([3.0, 2.5, 2.0])), ends


def test_the_rule_of_today_gives_the_intervals_of_the_laws() -> None:
    case, (low, high) = found()
    assert max(case["grown"]) > 0
    assert max(case["distance"]) > 1
    value = np.log([3.0, 2.5, 2.0])
    outside = np.maximum(0, np.maximum(np.log(low) - value, value - np.log(high)))
    score = 100 * (np.log(high / low) + 20 * outside).mean()
    assert TODAY.scored(json.loads(json.dumps(case))) == pytest.approx(((outside == 0).mean(), score), rel=1e-6)


def test_more_of_anything_makes_intervals_wider() -> None:
    case, _ = found()
    case["error"] = [0.0] * 3
    _, score = TODAY.scored(case)
    for wider in (TODAY._replace(prior=1.0), TODAY._replace(growth=2.0), TODAY._replace(prior=1.0, worth=5.0)):
        inside, wide = wider.scored(case)
        assert inside == 1
        assert wide > score


def test_groups_count_alike_and_real_ones_as_much_as_all_simulated_ones() -> None:
    today = {"a 4 x": (0.9, 4.0), "b 4 x": (0.9, 1.0), prior.REAL[0]: (0.5, 10.0)}
    other = {"a 4 x": (1.0, 8.0), "b 4 x": (0.8, 2.0), prior.REAL[0]: (0.7, 5.0)}
    assert summarised(other, today) == {
        "simulated inside": 0.9, "simulated ratio": 2.0, "real inside": 0.7, "real ratio": 0.5, "ratio": 1.0,
    }  # fmt: skip


def test_a_simulated_world_gives_a_case_at_each_distance() -> None:
    cases = prior.of_world(("chinchilla-shared-small", 3))
    assert [case["group"] for case in cases] == ["chinchilla-shared-small 4 x", "chinchilla-shared-small 16 x"]
    near, far = (np.mean(case["distance"]) for case in cases)
    assert far > near + 1
    assert all(Rule(0.1, 1.0, 0.5).scored(case)[1] > 0 for case in cases)
