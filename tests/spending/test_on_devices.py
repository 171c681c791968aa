"""The final run in two processes: what one process trains, and as many FLOP as the hours buy at the speed of both."""

import signal
from pathlib import Path

import pytest

from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.spending.allocation import Measurement, Purchase
from embudget.spending.arms import Sources, allocation_of
from embudget.spending.beginning import with_final_speed
from embudget.spending.on_devices import DevicePace, DevicesHere, train_together
from embudget.spending.policy import decide
from embudget.spending.sizing import Sizing
from embudget.study import Study
from embudget.study.execution import Orders
from embudget.training.launch import devices_there
from embudget.training.resources import Resources
from embudget.training.run import train
from tests.spending.spendings import Steps, die, ended, lines, spending, study_of
from tests.spending.test_ledger import setting
from tests.training.processes import assert_same_curve

two_cores = pytest.mark.skipif(devices_there() < 2, reason="one core")


class Two(DevicesHere):
    """Two devices, three quarters of each of which are of use."""

    def pace(self, config: RunConfig) -> DevicePace:
        return DevicePace(2, 1.5)


@pytest.fixture
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return study_of(tiny_neox, tiny_pairs, members=[f"{tiny_neox}:1"], precision="float32")


def test_hours_buy_as_much_more_as_several_devices_are_faster(study: Study, tiny_pairs: Pairs) -> None:
    sources = Sources.of(study, tiny_pairs)
    costs = {"seconds_per_flop": 1e-9, "seconds_per_run": 2.0}
    arms = tuple(arm.model_copy(update=costs) for arm in sources.arms())
    allocation = allocation_of(study, tiny_pairs, 10.0, unit="seconds", arms=arms, batch_flops=1e10)
    best = setting(arms[0].model, arms[0].method).model_copy(update={"batch_size": 8})
    final = Purchase(setting=best, train_flops=3e9, cost=5.0, purpose="final")
    (alone,) = Sizing(allocation, sources, tiny_pairs).final([final], {}, 5.0)
    (both,) = Sizing(allocation, sources, tiny_pairs, Two(2, tiny_pairs)).final([final], {}, 5.0)
    assert both.run.end_flops == pytest.approx(1.5 * alone.run.end_flops, rel=0.03), "to the step"
    assert both.purchase.cost == pytest.approx(alone.purchase.cost, rel=0.03)
    assert (both.run.devices, both.run.speedup) == (2, 1.5) and (alone.run.devices, alone.run.speedup) == (1, 1.0)
    assert "2 devices train it 1.50 times as fast" in both.purchase.why


def test_the_search_forecasts_a_final_run_on_all_devices(study: Study, tiny_pairs: Pairs) -> None:
    sources = Sources.of(study, tiny_pairs)
    costs = {"seconds_per_flop": 1e-9, "seconds_per_run": 2.0}
    arms = tuple(arm.model_copy(update=costs) for arm in sources.arms())
    one = allocation_of(study, tiny_pairs, 100.0, unit="seconds", arms=arms, batch_flops=1e10, max_runs=1)
    two = with_final_speed(one, sources, Two(2, tiny_pairs))
    assert two == one.model_copy(update={"final_speedup": 1.5})
    assert with_final_speed(one, sources, DevicesHere(1, tiny_pairs)) == one
    finals = []
    for allocation in (one, two):
        (first, *_) = decide(allocation, ()).purchases
        assert allocation.charged(allocation.arm(first.setting), first.train_flops) == first.cost, "of one device"
        decision = decide(allocation, [Measurement(first, 5.0)])
        (final,) = decision.purchases
        assert decision.final and final.cost == pytest.approx(allocation.budget - first.cost)
        finals.append(allocation.longest_final(decision.best, final.cost, [Measurement(first, 5.0)]))
        assert final.train_flops == pytest.approx(finals[-1])
    assert finals[1] > 1.3 * finals[0]
    of_flop = allocation_of(study, tiny_pairs, 1e10)
    assert with_final_speed(of_flop, sources, Two(2, tiny_pairs)) == of_flop


@pytest.mark.slow
@two_cores
def test_two_processes_are_timed_and_train_what_one_does(study: Study, tiny_pairs: Pairs, tmp_path: Path) -> None:
    config = next(iter(Sources.of(study, tiny_pairs).templates.values())).model_copy(update={"batch_size": 8})
    config = config.model_copy(update={"train_flops": 6e8})
    timed = DevicesHere(2, tiny_pairs).pace(config)
    assert timed == DevicePace() or (timed.devices == 2 and 1 < timed.speedup < 4)
    steps: list[float] = []
    record = train_together(
        2, config, Orders(tiny_pairs.folder, Resources(), tmp_path / "model"), lambda share, loss: steps.append(share)
    )
    alone = train(config, tiny_pairs, with_record=True)[1]
    assert_same_curve(record, alone)
    assert len(steps) == record.steps and steps[-1] >= 1.0
    assert (tmp_path / "model" / "model.safetensors").exists()


@pytest.mark.slow
@two_cores
def test_a_killed_final_run_of_two_processes_goes_on(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes do not outlive their parent, and the model is that of one process but for rounding."""
    here = spending(study, tmp_path / "here")
    monkeypatch.setattr("embudget.spending.run.DevicesHere", Two)
    out = tmp_path / "two"
    assert ended(lambda: spending(study, out, devices=2, listener=Steps(6, True, die))) == -signal.SIGKILL
    assert '"devices":2' in lines(out)[-1]
    spent = spending(study, out, devices=2)
    assert_same_curve(spent.record, here.record)
    assert not (out / "runs.db.checkpoints").exists()
