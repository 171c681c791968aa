"""The account of a budget: nothing counted twice, nothing left out, and rules of thumb that are what they say."""

import re
from pathlib import Path

import pytest

from embudget.errors import ConfigError
from embudget.records import RunConfig, RunRecord
from embudget.spending.allocation import Allocation, Arm, Decision, Measurement, Purchase, Setting, cost_of
from embudget.spending.changes import WIDTH, what_changed
from embudget.spending.ledger import ExpectedLoss, Ledger, make_ledger
from embudget.spending.rules import STEPS, rules_of_thumb

SIZES = {"smollm2-135m:1": 3_540_000, "smollm2-135m:4": 14_160_000, "smollm2-135m:30": 106_200_000}


def arm(model: str, method: str) -> Arm:
    return Arm(
        model=model,
        method=method,
        lineage="smollm2",
        model_params=SIZES[model],
        flops_per_token=(6 if method == "full" else 4) * SIZES[model],
        default_rate=1e-3 if method == "full" else 4e-3,
    )


def allocation(budget: float = 4e12, methods: tuple[str, ...] = ("full", "lora:32")) -> Allocation:
    arms = tuple(arm(model, method) for model in SIZES for method in methods)
    return Allocation(budget=budget, arms=arms, batch_sizes=(16,), tokens_per_pair=60)


def setting(model: str, method: str = "lora:32") -> Setting:
    return Setting(model=model, method=method, learning_rate=4e-3, batch_size=16)


def record(measurement: Measurement, seconds: float) -> RunRecord:
    """What a run leaves: FLOP and seconds whole, those of its trunk included."""
    bought = measurement.purchase
    config = RunConfig(
        model=bought.setting.model, weights="w", method=bought.setting.method, train_flops=bought.train_flops,
        pairs="p", batch_size=16, learning_rate=bought.setting.learning_rate,
    )  # fmt: skip
    shared = bought.train_flops - bought.cost
    return RunRecord(
        config=config, status="done", loss=measurement.loss, seconds=seconds, train_flops=bought.train_flops,
        shared_flops=shared or None, base_loss=5.0,
    )  # fmt: skip


def buy(
    measured: list[Measurement], chosen: Setting, flops: float, loss: float | None, purpose: str = "search"
) -> Measurement:
    cost = cost_of(chosen, flops, measured)
    purchase = Purchase(setting=chosen, train_flops=flops, cost=cost, purpose=purpose)
    measured.append(Measurement(purchase, loss, 0.03, "done" if loss else "diverged"))
    return measured[-1]


def decision(best: Setting, probability: float = 0.62) -> Decision:
    standings = ((best.model, best.method, probability, 3.0), ("smollm2-135m:1", "full", 0.2, 3.2))
    return Decision(
        purchases=(), best=best, probability=probability, expected_loss=3.0, interval=(2.8, 3.2),
        standings=standings,
    )  # fmt: skip


def flat(chosen: Setting, flops: float) -> ExpectedLoss:
    return ExpectedLoss(3.3, 3.0, 3.6)


def made(budget: float = 4e12) -> Ledger:
    measured: list[Measurement] = []
    small, large = setting("smollm2-135m:1", "full"), setting("smollm2-135m:4")
    buy(measured, small, 2e11, 4.5)
    buy(measured, large, 2e11, 4.4)
    buy(measured, large, 8e11, 3.9)  # from the trunk of the one before
    buy(measured, setting("smollm2-135m:1"), 2e11, None)
    buy(measured, large, 3.4e12, 3.1, "final")
    outcomes = [(one, record(one, one.purchase.train_flops / 1e10) if one.loss else None) for one in measured]
    return make_ledger(allocation(budget), outcomes, decision(large), flat, dollars_per_hour=36.0)


def test_shared_trunks_count_once() -> None:
    ledger = made()
    assert ledger.search.train_flops == pytest.approx(2e11 + 2e11 + (8e11 - 0.8 * 2e11) + 2e11)
    assert ledger.final.train_flops == pytest.approx(3.4e12 - 0.8 * 8e11)
    assert ledger.search.seconds == pytest.approx((ledger.search.train_flops - 2e11) / 1e10)  # one left no record
    assert ledger.final.seconds == pytest.approx(ledger.final.train_flops / 1e10)
    assert (ledger.search.runs, ledger.final.runs) == (4, 1)


def test_money_is_that_of_hours_of_this_machine_alone() -> None:
    """A budget in FLOP may come from the price of another device, whose hours these are not."""
    assert made().final.dollars is None and "dollars" not in str(made())
    timed = [one.model_copy(update={"seconds_per_flop": 1e-10, "seconds_per_run": 50.0}) for one in allocation().arms]
    hours = allocation(7200.0).model_copy(update={"unit": "seconds", "arms": tuple(timed)})
    chosen = setting("smollm2-135m:4")
    run = Measurement(Purchase(setting=chosen, train_flops=2e12, cost=450.0, purpose="final"), 3.1)
    slower = record(Measurement(Purchase(setting=chosen, train_flops=2e12, cost=2e12), 3.1), 400.0)
    final = make_ledger(hours, [(run, slower)], decision(chosen), flat, dollars_per_hour=4.0).final
    assert final.dollars == pytest.approx(450 / 3600 * 4), "loading and measuring are paid for too"
    assert final.train_flops == 2e12, "what was trained, whatever speed was expected"
    assert final.seconds == 400


def test_it_says_what_came_of_it(tmp_path: Path) -> None:
    ledger = made()
    assert ledger.by_kind == {"full": 1, "lora": 3} and ledger.unfinished == {"diverged": 1}
    assert max(map(len, str(ledger).splitlines())) <= WIDTH
    text = re.sub(r"\n {12}", " ", str(ledger))  # long lines are continued below their text
    assert "lora:32 on smollm2-135m:4, with 62 % within 0.5 % of the best" in text
    assert "6.4e+11 of them from its trunk in the search" in text
    assert "held-out loss 3.000 (2.800 to 3.200)" in text
    assert "held-out loss 3.100 ± 0.030, inside what was predicted; untrained it was 5.000" in text
    assert "+6 % against the measured loss" in text, "the rule's 3.3 is 6.5 % above 3.1"
    ledger.save(tmp_path / "ledger.json")
    assert Ledger.load(tmp_path / "ledger.json") == ledger
    ledger.save(tmp_path / "ledger.json")
    with pytest.raises(ConfigError, match="cannot write"):
        ledger.save(tmp_path / "nowhere" / "ledger.json")


def test_the_best_of_several_final_runs_is_the_chosen_one() -> None:
    measured: list[Measurement] = []
    for model, loss in (("smollm2-135m:1", 3.4), ("smollm2-135m:4", 3.2), ("smollm2-135m:30", None)):
        buy(measured, setting(model), 1e12, loss, "final")
    ledger = make_ledger(allocation(), [(one, None) for one in measured], decision(setting("smollm2-135m:1")), flat)
    assert ledger.chosen.model == "smollm2-135m:4" and ledger.measured_loss == 3.2 and ledger.final.runs == 3


def test_a_final_run_without_a_loss_is_said_to_have_none() -> None:
    measured: list[Measurement] = []
    buy(measured, setting("smollm2-135m:1"), 1e12, None, "final")
    ledger = make_ledger(allocation(), [(one, None) for one in measured], decision(setting("smollm2-135m:1")), flat)
    assert ledger.measured_loss is None and "the final run has no loss" in str(ledger)


def test_what_was_not_spent_is_said_with_its_reason() -> None:
    """A newcomer who reads that 69 % were spent, of a run that was to take all that is left, needs the reason."""
    measured: list[Measurement] = []
    buy(measured, setting("smollm2-135m:1"), 1e12, 3.1, "final")
    best = decision(setting("smollm2-135m:1"))
    ledger = make_ledger(allocation(), [(measured[0], None)], best, flat, left_over="the pairs end before")
    assert "\nleft over  the pairs end before" in str(ledger)
    assert "left over" not in str(make_ledger(allocation(), [(measured[0], None)], best, flat))


def test_the_largest_member_is_that_of_100_steps() -> None:
    rules = {rule.name: rule.setting for rule in rules_of_thumb(allocation(budget=1e13))}
    chosen = rules["largest member of 100 steps by lora:32"]
    steps = {model: 1e13 / (4 * size * 60 * 16) for model, size in SIZES.items()}
    assert chosen.model == max((model for model in SIZES if steps[model] >= STEPS), key=lambda model: SIZES[model])
    assert rules["middle member by full"].model == "smollm2-135m:4"
    assert rules["middle member by full"].learning_rate == 1e-3


def test_the_middle_member_is_one_of_those_that_the_budget_can_train() -> None:
    """Ten steps by full take 2e11, 8.2e11 and 6.1e12 FLOP."""
    chosen = []
    for budget in (1e11, 5e11, 4e12, 1e13):
        rules = rules_of_thumb(allocation(budget, methods=("full",)))
        chosen.append([rule.setting.model for rule in rules])
    assert chosen == [[], ["smollm2-135m:1"], ["smollm2-135m:4"], ["smollm2-135m:4"]]


def test_a_rule_whose_method_is_not_among_the_arms_is_left_out() -> None:
    assert [rule.name for rule in rules_of_thumb(allocation(methods=("full",)))] == ["middle member by full"]
    assert rules_of_thumb(allocation(methods=("lora:8",))) == []


def test_a_damaged_ledger_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text('{"budget": 1e12}')
    with pytest.raises(ConfigError, match=r"ledger.json: search is required"):
        Ledger.load(tmp_path / "ledger.json")


def test_what_changed_is_said_with_what_it_was() -> None:
    first, second = decision(setting("smollm2-135m:4"), 0.31), decision(setting("smollm2-135m:4"), 0.62)
    assert what_changed(None, first) == "lora:32 on smollm2-135m:4 leads before any run, best with 31 %"
    assert what_changed(first, second) == "lora:32 on smollm2-135m:4 still best with 62 %, was 31 %"
    other = decision(setting("smollm2-135m:1", "full"), 0.5)
    assert what_changed(second, other) == (
        "full on smollm2-135m:1 now best with 50 %, was 20 %; before it lora:32 on smollm2-135m:4"
    )
    tied = first.model_copy(update={"probability": 0.33})  # counts ties; the standings beside it say 31 %
    assert what_changed(None, tied).endswith("best with 31 %"), "two numbers for one chance are a riddle"
    fresh = decision(setting("smollm2-135m:30"), 0.5)
    assert "was not among the leading" in what_changed(second, fresh)


def test_a_budget_of_time_is_counted_in_time() -> None:
    """A run takes its loading from a budget of hours, which are no FLOP and no seconds of training."""
    known = {"seconds_per_flop": 1e-10, "seconds_per_run": 30.0}
    timed = allocation().model_copy(
        update={"budget": 600.0, "unit": "seconds", "arms": (arm("smollm2-135m:1", "full").model_copy(update=known),)}
    )
    chosen = setting("smollm2-135m:1", "full")
    measured: list[Measurement] = []
    for flops, purpose in ((1e11, "search"), (4e12, "final")):
        cost = timed.final_cost(chosen, flops, measured)
        purchase = Purchase(setting=chosen, train_flops=flops, cost=cost, purpose=purpose)
        measured.append(Measurement(purchase, 3.0, 0.03))
    ledger = make_ledger(timed, [(one, None) for one in measured], decision(chosen), flat)
    assert ledger.search.cost == pytest.approx(30 + 10) and ledger.search.train_flops == pytest.approx(1e11)
    assert ledger.final.cost == pytest.approx(30 + 400 - 8)
    assert ledger.final.train_flops == pytest.approx(4e12 - 0.8 * 1e11)
    assert "0.128 of 0.167 hours spent" in str(ledger)
