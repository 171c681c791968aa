"""Several final runs share exactly what the search left, and a search goes on as it was."""

import pytest

from embudget.spending.allocation import Decision, Measurement, Purchase, spent
from embudget.spending.keeping import share_final
from tests.spending.test_ledger import allocation, buy, decision, setting


def searched() -> list[Measurement]:
    measured: list[Measurement] = []
    buy(measured, setting("smollm2-135m:4"), 4e11, 3.9)
    buy(measured, setting("smollm2-135m:1", "full"), 2e11, 4.2)
    return measured


def ending() -> Decision:
    best = setting("smollm2-135m:4")
    final = Purchase(setting=best, train_flops=3e12, cost=3e12, purpose="final")
    return decision(best).model_copy(update={"purchases": (final,)})


def test_they_share_what_is_left() -> None:
    measured = searched()
    shared = share_final(ending(), allocation(), measured, 3)
    assert [one.purpose for one in shared.purchases] == ["final"] * 3
    assert sum(one.cost for one in shared.purchases) == pytest.approx(4e12 - spent(measured))
    first, second, third = (one.setting for one in shared.purchases)
    assert first == setting("smollm2-135m:4"), "the choice itself comes first"
    assert second == setting("smollm2-135m:1", "full"), "then the next arm that was measured, as it was"
    assert third == first.model_copy(update={"seed": 1}), "then further seeds of the choice"
    assert shared.purchases[0].train_flops > shared.purchases[2].train_flops, "the first goes on from its trunk"


@pytest.mark.parametrize("keep", [1, 3])
def test_a_search_goes_on(keep: int) -> None:
    search = decision(setting("smollm2-135m:4"))
    assert share_final(search, allocation(), searched(), keep) is search


def test_one_final_run_is_the_policys_own() -> None:
    assert share_final(ending(), allocation(), searched(), 1) == ending()


def test_what_does_not_pay_for_several_trains_one() -> None:
    """The search may leave less than so many of the shortest runs take."""
    measured = searched()
    dear = setting("smollm2-135m:30", "full")
    hours = allocation().model_copy(update={"budget": spent(measured) + 1e11})
    final = Purchase(setting=dear, train_flops=1e11, cost=1e11, purpose="final")
    alone = decision(dear).model_copy(update={"purchases": (final,)})
    assert hours.least(hours.arm(dear), 16) > 1e11 / 2
    shared = share_final(alone, hours, measured, 3)
    assert shared.purchases == alone.purchases and "does not pay for 3 final runs" in shared.why
