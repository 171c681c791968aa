"""The verdict on the downstream score: every budget must agree, and few runs say nothing."""

import pytest

from studies.publish.downstream import STATEMENT, downstream
from tests.studies.publish.made import record


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [((-1, -1), "reproduced"), ((1, 1), "not reproduced"), ((-1, 1), "undetermined")],
)
def test_every_budget_must_agree_on_the_downstream_score(slopes: tuple[int, int], expected: str) -> None:
    runs = [
        record(3 + place / 10, 0.5 + slope * place / 100, train_flops=budget, seed=place)
        for budget, slope in zip((1e12, 2e12), slopes, strict=True)
        for place in range(8)
    ]
    found = downstream(runs)
    assert found["verdict"] == expected
    assert found["spearman_within_budgets"] == {"1e+12": float(slopes[0]), "2e+12": float(slopes[1])}


def test_few_runs_say_nothing_about_the_downstream_score() -> None:
    few = [record(3 + place / 10, 0.5, seed=place) for place in range(7)]
    assert downstream(few) == {"statement": STATEMENT, "runs": 7, "verdict": "undetermined"}
