"""What a forecast names: the recipe, its rivals and the paper's choice, each at its learning rate."""

from studies.publish.forecast import choices_of
from tests.studies.publish.made import FORECAST


def test_the_paper_chooses_at_its_own_rate_unless_its_choice_is_a_rival() -> None:
    choices = choices_of(FORECAST)
    assert choices == {("m:2", "full"): 1e-3, ("m:1", "full"): 2e-3, ("m:4", "full"): 3e-3}
    alike = FORECAST | {"paper": {"model": "m:1", "method": "full", "learning_rate": 3e-3}}
    assert choices_of(alike) == {("m:2", "full"): 1e-3, ("m:1", "full"): 2e-3}
