"""What a budget is given in: FLOP, or time that is worth FLOP by what was measured on this machine.

    --budget 1e17                 FLOP
    --gpu-hours, --dollars        FLOP: hours of a device of the table at a share of its peak (`embudget.flops`)
    --hours 8 --devices 4         seconds of this machine's devices: worth as many FLOP as each choice gets out of them

The last differs from the others in kind. A small model reaches a fifth of the throughput of a large one, so that the
same hours are worth five times fewer FLOP to it; one number of FLOP for all choices would hide that.
"""

from typing import Literal, NamedTuple

from embudget.errors import BudgetError
from embudget.flops import resolve_budget
from embudget.limits import MOST_FLOPS
from embudget.number import read_number

Unit = Literal["FLOP", "seconds"]
"""What a budget counts: algorithmic FLOP, or seconds of one device of this machine."""

MOST_DEVICES = 2**16


class Means(NamedTuple):
    """A budget as it was given."""

    amount: float
    """In the unit; of seconds those of all devices together."""
    unit: Unit = "FLOP"
    devices: int = 1
    """How many devices of this machine compute at the same time."""
    dollars_per_hour: float | None = None
    """Price of one device of this machine; None where none is known, as with a budget by another device's price."""

    @property
    def of_one_device(self) -> float:
        """In the unit: of seconds those of one device, which are what a single run can have of them."""
        return self.amount / self.devices

    @property
    def hours(self) -> float | None:
        """What the clock on the wall shows in the end; None where the budget is in FLOP."""
        return self.of_one_device / 3600 if self.unit == "seconds" else None

    @property
    def price(self) -> float | None:
        """Dollars of an hour on the clock, for all devices: those that wait for another are paid as well."""
        return None if self.dollars_per_hour is None else self.dollars_per_hour * self.devices

    def dollars(self, seconds: float) -> float | None:
        """What so many seconds on the clock cost; None where no price is known."""
        return None if self.price is None else seconds / 3600 * self.price

    def __str__(self) -> str:
        """For a person."""
        if self.unit == "FLOP":
            return f"{self.amount:.3g} FLOP"
        several = f" on {self.devices} devices" if self.devices > 1 else ""
        return f"{self.of_one_device / 3600:.3g} hours{several} at the speeds measured"


def find_means(
    budget: str | float | None = None,
    *,
    hours: float | None = None,
    devices: int | None = None,
    gpu_hours: float | None = None,
    dollars: float | None = None,
    device: str | None = None,
    mfu: float | None = None,
    dollars_per_hour: float | None = None,
) -> Means:
    """Read a budget given in one of four ways.

    The price of a ``device`` turns dollars into FLOP, and no more: the seconds that runs take here are not its seconds.

    Args:
        budget: FLOP.
        hours: on the wall's clock, of this machine.
        devices: of this machine that compute at the same time; goes with ``hours``, 1 by default.
        gpu_hours: of one ``device`` of the table.
        dollars: spent on a ``device``.
        device: a name in `embudget.flops.DEVICES`.
        mfu: share of the device's peak that training reaches; 0.4 by default.
        dollars_per_hour: price of the device, instead of the table's; with ``hours``, of one device of this machine.

    Raises:
        BudgetError: not exactly one of the four is given, what goes with it is missing or does not go with it, or a
            value is out of range.

    Example:
        >>> str(find_means(hours=8, devices=4))
        '8 hours on 4 devices at the speeds measured'
        >>> find_means(gpu_hours=8, device="h100", mfu=0.4).amount
        1.1397888e+19
    """
    given = {"budget": budget, "hours": hours, "gpu_hours": gpu_hours, "dollars": dollars}
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise BudgetError(
            f"give exactly one of budget, hours, gpu_hours and dollars, got {' and '.join(names) or 'none'}"
        )
    if hours is None:
        if devices is not None:
            raise BudgetError(f"devices goes with hours, not with {names[0]}")
        flops = resolve_budget(
            budget, gpu_hours=gpu_hours, dollars=dollars, device=device, mfu=mfu, dollars_per_hour=dollars_per_hour
        )
        return Means(flops)
    if device is not None or mfu is not None:
        raise BudgetError("device and mfu go with gpu_hours or dollars, not with hours, which are of this machine")
    count = read_number(1 if devices is None else devices, "devices", least=1, most=MOST_DEVICES, kind=BudgetError)
    if count != int(count):
        raise BudgetError(f"devices must be a whole number, got {count:g}")
    price = dollars_per_hour
    if price is not None:
        price = read_number(price, "dollars_per_hour", above=0, most=MOST_FLOPS, kind=BudgetError)
    clock = read_number(hours, "hours", above=0, most=MOST_FLOPS / 1e10, kind=BudgetError)
    return Means(clock * 3600 * count, "seconds", int(count), price)
