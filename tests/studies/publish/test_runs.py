"""What runs came to: a run that diverged counts as chance."""

import math

import pytest

from studies.publish.runs import loss_or_chance
from tests.studies.publish.made import record


def test_a_run_that_diverged_counts_as_chance_and_one_that_failed_not_at_all() -> None:
    assert loss_or_chance(record(2.5)) == 2.5
    small = record(None, status="diverged", eval_pairs=64, eval_candidates=64)
    assert loss_or_chance(small) == pytest.approx(math.log(64))
    assert loss_or_chance(record(None, status="failed")) is None
