"""Real budgets, spent on tiny models."""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from embudget.errors import BudgetError, ConfigError, RunError
from embudget.pairs import Pairs, build_pairs
from embudget.records import RunConfig, RunRecord
from embudget.spending.allocation import Allocation, Decision, Measurement, Purchase, cost_of
from embudget.spending.arms import Sources, allocation_of
from embudget.spending.keeping import share_final
from embudget.spending.listener import SpendListener
from embudget.spending.run import SpentBudget
from embudget.spending.sizing import Sizing
from embudget.study import Store, Study
from embudget.training.run import train
from tests.spending.halving import RUNGS, halving
from tests.spending.spendings import BUDGET, ended, lines, spending, study_of, weights
from tests.training.trouble import out_of_memory, poisoned


@pytest.fixture(scope="module")
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return study_of(tiny_neox, tiny_pairs)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spent") / "out"


@pytest.fixture(scope="module")
def spent(study: Study, out: Path) -> SpentBudget:
    return spending(study, out, max_queries=30)


def own(records: Sequence[RunRecord | None]) -> float:
    """FLOP of runs, what trunks share counted once."""
    return sum((one.train_flops or 0.0) - (one.shared_flops or 0.0) for one in records if one is not None)


def test_search_and_final_run_stay_within_the_budget_and_leave_less_than_a_step(spent: SpentBudget) -> None:
    record = spent.record
    assert record.train_flops is not None and record.steps is not None
    total = own([record for _, record in spent.outcomes])
    assert total == pytest.approx(sum(measurement.purchase.cost for measurement, _ in spent.outcomes))
    assert total <= BUDGET
    assert BUDGET - total < 2 * record.train_flops / record.steps
    assert not spent.recipe.left_over
    assert record.train_flops == record.config.train_flops, "it ends with a whole step"


def test_a_longer_run_of_a_setting_costs_what_is_said_beforehand(spent: SpentBudget) -> None:
    before: list[Measurement] = []
    extended = 0
    for measurement, record in spent.outcomes:
        purchase = measurement.purchase
        assert record is not None and record.train_flops is not None and record.steps is not None
        asked = cost_of(purchase.setting, purchase.train_flops, before)
        assert abs(purchase.cost - asked) < 2 * record.train_flops / record.steps, "but for whole steps"
        extended += purchase.cost < 0.9 * purchase.train_flops
        before.append(measurement)
    assert extended == 3, "two of the second rung, and the final run"


def test_the_final_model_is_to_the_last_bit_that_of_its_run_alone(
    spent: SpentBudget, out: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    assert spent.record.shared_flops, "it goes on from its trunk"
    _, alone = train(spent.record.config, tiny_pairs, tmp_path / "model", with_record=True)
    assert weights(out) == weights(tmp_path)
    same = {"loss", "tokens", "steps", "train_flops", "base_loss", "groups", "loss_curve"}
    assert alone.model_dump(include=same) == spent.record.model_dump(include=same)


def test_runs_of_the_search_are_those_of_a_sweep(spent: SpentBudget, study: Study, tiny_pairs: Pairs) -> None:
    """The records are those that a study with the same budgets would have, under the same ids."""
    grid = study.model_copy(update={"budgets": RUNGS, "schedule": "wsd"})
    ids = {config.id for config in grid.configs(tiny_pairs)}
    search = {record.id for one, record in spent.outcomes if record is not None and one.purchase.purpose == "search"}
    assert search <= ids and len(search) == 6


def test_what_is_written(spent: SpentBudget, out: Path) -> None:
    names = {path.name for path in out.iterdir()}
    assert {"decisions.jsonl", "start.json", "runs.db", "model", "recipe.yaml", "evaluation.json"} <= names
    assert "runs.db.checkpoints" not in names, "no state of a trunk stays"
    assert (spent.laws is None) == bool(spent.no_laws) and ("laws.json" in names) == (spent.laws is not None)
    rounds = [json.loads(line) for line in lines(out)]
    assert [one["decision"]["round"] for one in rounds] == [0, 1, 2]
    assert [len(one["measured"]) for one in rounds] == [0, 4, 2]
    with Store(out / "runs.db") as store:
        assert {record.id for record in store.records()} == {run["run"] for one in rounds for run in one["bought"]}
    assert spent.evaluation is not None and spent.evaluation.run == spent.record.id
    recipe = spent.recipe.run_config(spent.record.config.pairs)
    assert recipe.model_dump(exclude={"warmup"}) == spent.record.config.model_dump(exclude={"warmup"})
    assert math.isclose(recipe.warmup, spent.record.config.warmup)


class Heard(SpendListener):
    """Writes down what is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.known: Sequence[Measurement] = ()

    def planned(self, allocation: Allocation, measured: Sequence[Measurement]) -> None:
        self.known = measured

    def decided(self, decision: Decision, changed: str) -> None:
        self.said.append(f"round {decision.round}")

    def measured(self, measurement: Measurement, record: RunRecord | None) -> None:
        self.said.append(measurement.status)

    def training(self, *_: object) -> None:
        self.said.append("final")


def test_a_budget_that_is_spent_is_not_spent_again(spent: SpentBudget, study: Study, out: Path) -> None:
    heard = Heard()

    def never(allocation: Allocation, measured: Sequence[Measurement]) -> Decision:
        raise AssertionError("all is decided")

    before = lines(out), weights(out)
    again = spending(study, out, decide=never, listener=heard, max_queries=30)
    assert (lines(out), weights(out)) == before
    assert again.record == spent.record and again.outcomes == spent.outcomes and again.recipe == spent.recipe
    assert len(heard.known) == 6, "the search's, without the final run"


def test_another_budget_does_not_go_on_in_the_folder(study: Study, out: Path, spent: SpentBudget) -> None:
    with pytest.raises(ConfigError, match=r"another spending: its budget is 5e\+09, now 1e\+10: name another folder"):
        spending(study, out, budget=2 * BUDGET)
    with pytest.raises(ConfigError, match="other members, methods or pairs"):
        spending(study.model_copy(update={"scale": (30.0,)}), out, decide=halving)


def test_a_store_that_lacks_what_was_decided_by_is_refused(
    study: Study, out: Path, spent: SpentBudget, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"lacks the run .* by which later runs were decided"):
        spending(study, out, store=tmp_path / "other.db")


def test_runs_that_the_store_held_before_are_used_and_free(
    study: Study, out: Path, spent: SpentBudget, tmp_path: Path
) -> None:
    """The search costs nothing then; but the trunks are gone, so that the final run begins anew."""
    heard = Heard()
    again = spending(study, tmp_path / "out", store=out / "runs.db", listener=heard)
    assert len(heard.known) == 7 and {one.purchase.cost for one in heard.known} == {0.0}
    assert not any(one.resumable for one in heard.known)
    assert heard.said == ["round 0", "final", "done"]
    assert [record for _, record in again.known] == [record for _, record in spent.outcomes]
    assert not again.record.shared_flops
    assert 0.9 * BUDGET < own([again.record]) <= BUDGET


@pytest.mark.parametrize("trunk_bytes", [0, 10**12])
def test_the_disk_for_trunks_is_bounded(spent: SpentBudget, study: Study, tmp_path: Path, trunk_bytes: float) -> None:
    """A trunk that had to go is paid for again, and the budget holds all the same."""
    out, most = tmp_path / "out", 0

    class Watching(SpendListener):
        def decided(self, decision: Decision, changed: str) -> None:
            nonlocal most
            folders = list((out / "runs.db.checkpoints").glob("trunk-*"))
            assert all(len(list(folder.glob("step-*"))) == 1 for folder in folders), "one state of each"
            most = max(most, len(folders))

    cheap = spending(study, out, trunk_bytes=trunk_bytes, listener=Watching())
    assert own([record for _, record in cheap.outcomes]) <= BUDGET
    dropped = [setting for line in lines(out) for setting in json.loads(line)["dropped"]]
    if trunk_bytes:
        assert most == 4 and not dropped and cheap.record.shared_flops
    else:
        assert len(dropped) == 3 and most == 2, "those that are to be extended stay"


def test_a_run_that_another_process_trains_is_not_waited_for(study: Study, tiny_pairs: Pairs, tmp_path: Path) -> None:
    """Its record decides what comes next: to go on without it would be another search."""
    template = Sources.of(study, tiny_pairs)
    setting = template.setting(next(iter(template.templates.values())).model_copy(update={"batch_size": 8}))
    assert setting is not None
    taken = template.config(setting, RUNGS[0], 0.1 * RUNGS[0])
    with Store(tmp_path / "runs.db") as store, store.leases() as other:
        other.claim(taken)
        with pytest.raises(ConfigError, match=f"another process trains the run {taken.id}"):
            spending(study, tmp_path / "out", store=store)
        other.release(taken)
        assert len(store.records()) == 3, "the others of the round are trained"


def test_one_process_at_a_time_spends_in_a_folder(study: Study, tmp_path: Path) -> None:
    """Two would write their decisions into one file."""
    refused: list[str] = []

    class Second(SpendListener):
        def decided(self, decision: Decision, changed: str) -> None:
            def again() -> None:
                with pytest.raises(ConfigError, match=r"another process spends its budget in .*out"):
                    spending(study, tmp_path / "out")

            if not refused:
                assert ended(again) == 0
                refused.append(changed)

    spending(study, tmp_path / "out", listener=Second())
    assert refused and len(lines(tmp_path / "out")) == 3


def test_a_trunk_that_is_gone_is_not_paid_for_again(study: Study, tmp_path: Path) -> None:
    """A longer run was decided at the price of what its trunk lacked; begun anew, it would exceed the budget."""

    class Interrupted(SpendListener):
        def progress(self, config: RunConfig, share: float, loss: float) -> None:
            if config.train_flops == RUNGS[1]:
                raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        spending(study, out, listener=Interrupted())
    shutil.rmtree(out / "runs.db.checkpoints")
    with pytest.raises(RunError, match=r"the trunk that the run .* goes on from is gone: put the folder"):
        spending(study, out)


def test_a_final_run_of_hours_is_as_long_as_the_measured_speed_allows(study: Study, tiny_pairs: Pairs) -> None:
    arms = [
        arm.model_copy(update={"seconds_per_flop": 1e-8, "seconds_per_run": 1.0})
        for arm in Sources.of(study, tiny_pairs).arms()
    ]
    allocation = allocation_of(study, tiny_pairs, 21.0, unit="seconds", arms=tuple(arms), batch_flops=BUDGET)
    sizing = Sizing(allocation, Sources.of(study, tiny_pairs), tiny_pairs)
    setting = halving(allocation, ()).best
    purchase = Purchase(setting=setting, train_flops=2e9, cost=21.0, purpose="final")
    (expected,) = sizing.final([purchase], {}, 21.0)
    (slow,) = sizing.final([purchase], {}, 21.0, lambda setting: 2.0)
    assert expected.run.end_flops == pytest.approx(2e9, rel=0.1), "20 s of training"
    assert slow.run.end_flops == pytest.approx(expected.run.end_flops / 2, rel=0.1)


def test_a_final_run_that_is_not_affordable_leaves_its_share_to_the_others(study: Study, tiny_pairs: Pairs) -> None:
    allocation = allocation_of(study, tiny_pairs, BUDGET)
    sizing = Sizing(allocation, Sources.of(study, tiny_pairs), tiny_pairs)
    first = halving(allocation, ()).best
    wanted = [
        Purchase(setting=first.model_copy(update={"seed": seed}), train_flops=2e9, cost=cost, purpose="final")
        for seed, cost in ((0, 1e9), (1, 1e5), (2, 1e9))  # the second cannot pay for a step
    ]
    kept = sizing.final(wanted, {}, 2e9)
    assert [one.purchase.setting.seed for one in kept] == [0, 2]
    assert kept == sizing.final([wanted[0], wanted[2]], {}, 2e9)
    assert sum(one.purchase.cost for one in kept) == pytest.approx(2e9, rel=0.05)


def test_pairs_that_end_leave_a_part_of_the_budget(study: Study, tiny_pairs: Pairs, tmp_path: Path) -> None:
    made = tiny_pairs.folder.parent / "made.jsonl"
    few = build_pairs([f"files:{made}"], tmp_path / "pairs", limit=240)
    count = few.rows("train")
    small = study.model_copy(update={"pairs": few.folder, "members": study.members[:1], "methods": ("lora:4",)})
    once = spending(small, tmp_path / "out")
    assert once.recipe.left_over == f"one pass over the {count} pairs is all that max_epochs allows"
    assert once.recipe.unspent_flops > 0.3 * BUDGET
    assert 0.9 * count < (once.record.pairs_seen or 0) <= count
    twice = spending(small.model_copy(update={"max_epochs": 2}), tmp_path / "more")
    assert count < (twice.record.pairs_seen or 0) <= 2 * count, "repeated, as it is allowed"


def test_a_budget_for_less_than_a_step_is_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="for one step of 8 pairs"):
        spending(study, tmp_path / "out", budget=1e6)


def sick(monkeypatch: pytest.MonkeyPatch, which: Callable[[RunConfig], bool], how: str, steps: int = 2) -> None:
    """Runs of a kind diverge or fail after so many steps."""
    trouble = {"diverge": poisoned, "fail": out_of_memory}[how]
    trouble(monkeypatch, lambda training, _: which(training.job.config) and training.meter.steps >= steps)


@pytest.mark.parametrize("how", ["diverge", "fail"])
def test_a_run_that_ends_badly_is_told_to_the_policy_and_paid_for(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    sick(monkeypatch, lambda config: config.method == "full", how)
    heard = Heard()
    spent = spending(study, tmp_path / "out", listener=heard)
    bad = [one for one, _ in spent.outcomes if one.status != "done"]
    assert {one.status for one in bad} == {"diverged" if how == "diverge" else "failed"} and len(bad) == 2
    assert all(one.purchase.cost > 0 and not one.resumable for one in bad)
    if how == "diverge":
        assert all(one.purchase.cost < 0.9 * one.purchase.train_flops for one in bad), "up to the step at which it did"
    assert spent.record.config.method == "lora:4"
    assert sum(one.purchase.cost for one, _ in spent.outcomes) <= BUDGET


def test_a_final_run_that_diverges_leaves_what_it_did_not_spend_to_another(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = spending(study, tmp_path / "calm")
    ill = calm.record.config.method, calm.record.config.model
    sick(monkeypatch, lambda config: (config.method, config.model) == ill, "diverge", steps=16)
    spent = spending(study, tmp_path / "out")
    finals = [one for one, _ in spent.outcomes if one.purchase.purpose == "final"]
    assert [one.status for one in finals] == ["diverged", "done"]
    assert sum(one.purchase.cost for one, _ in spent.outcomes) <= BUDGET
    assert (spent.record.config.method, spent.record.config.model) != ill
    assert spent.decisions[-1].round == 3


def test_a_final_run_that_memory_does_not_suffice_for_leaves_the_rest_to_another(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is not asked twice: a later start knows that it failed, and how far it had come."""
    calm = spending(study, tmp_path / "calm")
    ill = calm.record.config.method, calm.record.config.model
    longest = max(one.purchase.train_flops for one, _ in calm.outcomes if one.purchase.purpose == "search")
    sick(monkeypatch, lambda c: (c.method, c.model) == ill and c.train_flops > longest, "fail", steps=24)
    spent = spending(study, tmp_path / "out")
    finals = [one for one, _ in spent.outcomes if one.purchase.purpose == "final"]
    assert [one.status for one in finals] == ["failed", "done"]
    assert 0 < finals[0].purchase.cost < 0.9 * calm.outcomes[-1][0].purchase.cost, "up to the step at which it did"
    total = own([record for _, record in spent.outcomes]) + finals[0].purchase.cost
    assert 0.9 * BUDGET < total <= BUDGET
    assert (spent.record.config.method, spent.record.config.model) != ill
    again = spending(study, tmp_path / "out")
    assert again.outcomes == spent.outcomes


def test_what_failed_in_an_earlier_spending_is_tried_again(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        sick(patched, lambda config: config.method == "full", "fail")
        spending(study, tmp_path / "ill", store=tmp_path / "runs.db")
    spent = spending(study, tmp_path / "out", store=tmp_path / "runs.db")
    assert {one.status for one, _ in (*spent.known, *spent.outcomes)} == {"done"}


def two(allocation: Allocation, measured: Sequence[Measurement]) -> Decision:
    """Halving with two final runs."""
    return share_final(halving(allocation, measured), allocation, measured, 2)


def test_what_one_of_several_final_runs_leaves_is_not_said_to_be_for_want_of_pairs(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate that diverges leaves its part of the budget, however many pairs there are."""
    sick(monkeypatch, lambda config: config.seed == 1, "diverge")
    one_lost = spending(study, tmp_path / "out", decide=two)
    assert [one.status for one, _ in one_lost.outcomes][-2:] == ["done", "diverged"]
    assert one_lost.recipe.left_over == "1 of the 2 final runs diverged or failed before the end"
    assert one_lost.recipe.unspent_flops > 0.1 * BUDGET


def test_of_several_final_runs_the_best_is_the_model(study: Study, tmp_path: Path) -> None:
    spent = spending(study, tmp_path / "out", decide=two)
    finals = [record for one, record in spent.outcomes if one.purchase.purpose == "final"]
    assert len(finals) == 2 and own([record for _, record in spent.outcomes]) <= BUDGET
    assert spent.record.loss == min(record.loss for record in finals if record is not None and record.loss is not None)
    assert RunRecord.model_validate_json((tmp_path / "out" / "model" / "embudget.json").read_text()) == spent.record
