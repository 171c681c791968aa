"""What is told of a budget before it is spent: all of what it would pay for, however many final runs share it."""

import pytest

from embudget.means import find_means
from embudget.pairs import Pairs
from embudget.spending.outlook import outlook
from embudget.spending.prepare import Caps, prepare, study_of


@pytest.mark.parametrize("keep", [1, 2])
def test_search_and_all_final_runs_take_the_budget(tiny_pairs: Pairs, keep: int) -> None:
    """One alone of two final runs that share what the search leaves would look like half of it."""
    study = study_of("micro", tiny_pairs.folder, ("full", "lora:8"), batch_size=4)
    told = outlook(prepare(study, find_means("4e10"), Caps(keep=keep)), worlds=1)
    assert told.search_flops + told.final_flops == pytest.approx(4e10, rel=0.01)
