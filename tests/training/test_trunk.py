import math
from itertools import pairwise
from pathlib import Path

import pytest

from embudget.errors import DivergedError
from embudget.methods import parse_method
from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.study import Store, Study, sweep
from embudget.suite import find_shape
from embudget.training.heldout import HeldOut
from embudget.training.loop import Training
from embudget.training.resources import Resources
from embudget.training.run import train
from embudget.training.state import newest_checkpoint, trunk_name
from embudget.training.trunk import train_trunk
from tests.study.executing import executed
from tests.training.test_run import config_for
from tests.training.trouble import poisoned

BUDGETS = (1.2e9, 2e9, 3e9)
WARMUP = 2e8


def runs_of(model: Path, pairs: Pairs, method: str = "full") -> list[RunConfig]:
    return [
        config_for(model, pairs, method, train_flops=budget, warmup=WARMUP / budget, schedule="wsd", decay=0.4)
        for budget in BUDGETS
    ]


def measured(record: RunRecord) -> dict[str, object]:
    """All that a run alone would have in its record too, but for time."""
    values = record.model_dump(exclude={"seconds", "provenance", "shared_flops"})
    assert values["status"] == "done" and len(values["loss_curve"]) == values["steps"]
    return values


def whole_steps(record: RunRecord) -> int:
    assert record.steps is not None
    return record.steps


@pytest.mark.parametrize("method", ["full", "lora:4"])
def test_each_run_is_to_the_last_bit_what_it_is_alone(tiny_neox: Path, tiny_pairs: Pairs, method: str) -> None:
    configs = runs_of(tiny_neox, tiny_pairs, method)
    alone = [train(config, tiny_pairs, with_record=True)[1] for config in configs]
    seen: list[tuple[RunConfig, float]] = []
    together = list(train_trunk(configs[::-1], tiny_pairs, lambda config, share, loss: seen.append((config, share))))
    assert [measured(record) for record in together] == [measured(record) for record in alone]
    cost = parse_method(method).flops_per_token(find_shape(str(tiny_neox)))
    assert together[0].shared_flops == 0
    shared = [record.shared_flops or 0.0 for record in together]
    for record, before in zip(together[1:], configs, strict=False):
        assert record.shared_flops is not None
        assert record.shared_flops % cost == 0, "whole steps"
        assert 0.6 * before.train_flops - cost * 1000 < record.shared_flops < 0.6 * before.train_flops + cost * 1000
    done = sum(len([at for at, _ in seen if at == config]) for config in configs)
    assert done < sum(map(whole_steps, alone)), "what they share is done once"
    own = sum((record.train_flops or 0.0) - other for record, other in zip(together, shared, strict=True))
    assert own == pytest.approx(sum(_flops_of_steps(together, configs, seen)), rel=1e-5)


def _flops_of_steps(
    records: list[RunRecord], configs: list[RunConfig], seen: list[tuple[RunConfig, float]]
) -> list[float]:
    """FLOP of each step that was done, from the shares that it took its run to."""
    spent = []
    for record, config in zip(records, configs, strict=True):
        shares = [share for at, share in seen if at == config]
        first = len(record.loss_curve) - len(shares)
        before = record.loss_curve[first - 1][0] if first else 0.0
        spent.append((shares[-1] - before) * config.train_flops)
    return spent


@pytest.mark.parametrize("method", ["full", "lora:4"])
def test_a_branch_that_diverges_does_not_cost_the_dearer_runs(
    tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    configs = runs_of(tiny_neox, tiny_pairs, method)
    alone = [train(config, tiny_pairs, with_record=True)[1] for config in configs[1:]]
    branch = (1 - configs[0].decay) * BUDGETS[0]
    poisoned(monkeypatch, lambda one, factor: 0.9 * branch < one.meter.train_flops < BUDGETS[0] and factor < 1)
    first, *rest = executed(configs, tiny_pairs.folder)
    assert (first.config, first.status, first.loss) == (configs[0], "diverged", None)
    assert first.error is not None and "the loss became nan" in first.error
    assert first.loss_curve and all(share < 1 and math.isfinite(loss) for share, loss in first.loss_curve)
    assert [measured(record) for record in rest] == [measured(record) for record in alone]


def test_a_measurement_that_is_no_number_is_of_its_branch_alone(
    tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Training.measure

    def diverging(self: Training) -> HeldOut:
        if self.meter.train_flops < configs[1].train_flops:
            raise DivergedError("the held-out loss became nan", self.curve(1.0))
        return measure(self)

    configs = runs_of(tiny_neox, tiny_pairs)
    monkeypatch.setattr(Training, "measure", diverging)
    records = list(train_trunk(configs, tiny_pairs))
    assert [record.status for record in records] == ["diverged", "done", "done"]


def test_a_trunk_that_diverges_ends_all_the_runs_that_are_left(
    tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = runs_of(tiny_neox, tiny_pairs)
    poisoned(monkeypatch, lambda one, factor: one.meter.train_flops > BUDGETS[0] * 0.7 and factor == 1)
    records = executed(configs, tiny_pairs.folder)
    assert [record.status for record in records] == ["done", "diverged", "diverged"]
    for record in records[1:]:
        assert record.error is not None and "the loss became nan" in record.error
        assert record.loss_curve[-1][0] * record.config.train_flops < 1.1 * BUDGETS[0], "of the trunk, not of a branch"


class Stopped(Exception):
    """What interrupts a trunk."""


def test_a_trunk_that_was_stopped_in_a_branch_goes_on_for_the_rest(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = runs_of(tiny_neox, tiny_pairs)
    resources = Resources(checkpoints=tmp_path / "kept")
    whole = list(train_trunk(configs, tiny_pairs))

    def stop(config: RunConfig, share: float, loss: float) -> None:
        if config == configs[1] and share > 0.9:
            raise Stopped

    trunk = train_trunk(configs, tiny_pairs, stop, resources)
    first = next(trunk)
    with pytest.raises(Stopped):
        next(trunk)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [trunk_name(configs[2])]
    steps: list[int] = []
    original = Training.step

    def counted(self: Training, factor: float) -> float:
        steps.append(self.meter.steps)
        return original(self, factor)

    monkeypatch.setattr(Training, "step", counted)
    rest = list(train_trunk(configs[1:], tiny_pairs, None, resources))
    assert [measured(record) for record in (first, *rest)] == [measured(record) for record in whole]
    assert [record.shared_flops for record in (first, *rest)] == [record.shared_flops for record in whole]
    branch = next(step for step, (share, _) in enumerate(whole[1].loss_curve) if share > 0.6 - 0.1)
    assert steps[0] >= branch - 1 > 0, "the trunk up to the branch is there already"
    assert not list((tmp_path / "kept").iterdir())


def test_a_trunk_that_was_left_between_branches_goes_on(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    configs = runs_of(tiny_neox, tiny_pairs, "lora:4")
    resources = Resources(checkpoints=tmp_path / "kept", checkpoint_seconds=0)
    whole = list(train_trunk(configs, tiny_pairs))
    records = []
    for missing in (configs, configs[1:], configs[2:]):
        trunk = train_trunk(missing, tiny_pairs, None, resources)
        records.append(next(trunk))
        trunk.close()  # type: ignore[attr-defined]
    assert [measured(record) for record in records] == [measured(record) for record in whole]
    assert [record.shared_flops for record in records] == [record.shared_flops for record in whole]


def test_a_trunk_that_has_gone_beyond_a_branch_whose_record_was_lost_goes_back_to_it(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    configs = runs_of(tiny_neox, tiny_pairs)
    resources = Resources(checkpoints=tmp_path / "kept", checkpoint_seconds=0)

    def stop(config: RunConfig, share: float, loss: float) -> None:
        if config == configs[1]:
            raise Stopped

    trunk = train_trunk(configs, tiny_pairs, stop, resources)
    lost = next(trunk)
    with pytest.raises(Stopped):
        next(trunk)
    newest = newest_checkpoint(tmp_path / "kept" / trunk_name(configs[0]))
    ends = [0.0, *(share for share, _ in lost.loss_curve)]
    branch = sum((start + end) / 2 < 0.6 for start, end in pairwise(ends))
    assert newest is not None and len(newest.numbers["losses"]) == branch + 1
    shares: list[float] = []
    again = train_trunk(configs, tiny_pairs, lambda config, share, loss: shares.append(share), resources)
    assert measured(next(again)) == measured(lost)
    assert 0 < len(shares) == whole_steps(lost) - branch, "not from zero"


def test_the_runs_of_a_trunk_find_the_same_checkpoints(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    configs = runs_of(tiny_neox, tiny_pairs)
    other = config_for(tiny_neox, tiny_pairs, train_flops=BUDGETS[0], schedule="wsd", warmup=0.3, decay=0.4)
    assert len({trunk_name(config) for config in configs}) == 1
    assert trunk_name(other) != trunk_name(configs[0])
    assert trunk_name(configs[0].model_copy(update={"seed": 1})) != trunk_name(configs[0])


def test_a_sweep_of_trunks_from_end_to_end(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    study = Study.model_validate(
        {
            "members": [str(tiny_neox)],
            "methods": ["full", "bias"],
            "budgets": [2e9, 4e9],
            "schedule": "wsd",
            "pairs": str(tiny_pairs.folder),
            "batch_size": 8,
            "min_steps": 2,
            "max_length": 32,
            "eval_pairs": 16,
            "eval_candidates": 16,
        }
    )
    records = sweep(study, tmp_path / "s.db")
    assert len(records) == 4
    for record in records:
        assert record.status == "done" and record.attempts == 1, record.error
        assert record.loss is not None and record.provenance is not None and record.seconds is not None
        assert record.train_flops is not None and record.train_flops >= record.config.train_flops
        assert record.shared_flops is not None
        assert (record.shared_flops > 0) == (record.config.train_flops == 4e9)
    with Store(tmp_path / "s.db") as store:
        assert {record.id: record for record in store.records()} == {record.id: record for record in records}
        assert store.checkpoints is not None
        assert not store.checkpoints.exists()
    assert sweep(study, tmp_path / "s.db") == records
