import pytest

from embudget.errors import BudgetError
from embudget.flops import resolve_budget
from embudget.means import find_means


def test_hours_are_seconds_of_all_devices_together() -> None:
    means = find_means(hours=2, devices=4, dollars_per_hour=3)
    assert (means.amount, means.unit, means.devices) == (2 * 3600 * 4, "seconds", 4)
    assert means.hours == 2
    assert means.dollars(means.of_one_device) == 2 * 4 * 3, "all four are paid for the two hours"


def test_money_and_hours_of_a_device_are_flop_as_everywhere() -> None:
    means = find_means(dollars=10, device="l4")
    assert means.amount == resolve_budget(dollars=10, device="l4")
    assert means.unit == "FLOP"
    assert means.hours is None
    assert means.dollars(3600) is None, "an hour of this machine is not one of that device"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "exactly one of budget, hours, gpu_hours and dollars, got none"),
        ({"budget": 1e12, "hours": 1}, "got budget and hours"),
        ({"budget": 1e12, "devices": 2}, "devices goes with hours"),
        ({"hours": 1, "device": "h100"}, "device and mfu go with"),
        ({"hours": 1, "mfu": 0.3}, "device and mfu go with"),
        ({"hours": 0}, "hours must be finite and > 0"),
        ({"hours": float("nan")}, "hours must be finite and > 0"),
        ({"hours": 1, "devices": 0}, "devices must be >= 1"),
        ({"hours": 1, "dollars_per_hour": -1}, "dollars_per_hour must be finite and > 0"),
        ({"gpu_hours": 1}, "gpu_hours needs a device"),
    ],
)
def test_what_does_not_go_together_is_one_line(given: dict[str, float], said: str) -> None:
    with pytest.raises(BudgetError, match=said) as caught:
        find_means(**given)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
