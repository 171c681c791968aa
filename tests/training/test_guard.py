"""The start is measured first, once for runs that share it, and a run that did not help says so."""

from pathlib import Path

import pytest

from embudget.errors import DivergedError
from embudget.pairs import Pairs
from embudget.records import GroupScore, RunConfig
from embudget.suite.loading import load_embedder
from embudget.training import base
from embudget.training.base import base_score
from embudget.training.guard import remarks_of
from embudget.training.heldout import HeldOut, held_out
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.resources import Resources
from embudget.training.run import diverged_record, train
from embudget.training.trunk import train_trunk
from tests.training.test_run import config_for
from tests.training.test_trunk import runs_of


def start(folder: Path, pairs: Pairs, config: RunConfig) -> HeldOut:
    model = load_embedder(str(folder), 32)
    return held_out(model, pairs, config.eval_pairs, config.eval_candidates, config.scale)


@pytest.mark.parametrize("method", ["full", "lora:4"])
def test_a_record_has_the_loss_of_its_start(tiny_neox: Path, tiny_pairs: Pairs, method: str) -> None:
    config = config_for(tiny_neox, tiny_pairs, method, train_flops=6e8)
    _, record = train(config, tiny_pairs, with_record=True)
    wanted = start(tiny_neox, tiny_pairs, config)
    assert record.base_loss == pytest.approx(wanted.loss, abs=1e-5)
    assert record.base_ndcg == wanted.ndcg
    assert record.lineage == "gpt_neox"


def test_a_start_is_measured_once_for_all_runs_that_share_it(
    tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    base._scores.clear()
    measured: list[RunConfig] = []
    real = Training.scored

    def counted(self: Training) -> HeldOut:
        measured.append(self.job.config)
        return real(self)

    monkeypatch.setattr(Training, "scored", counted)
    first = config_for(tiny_neox, tiny_pairs)
    for changes in ({}, {"method": "lora:4"}, {"learning_rate": 1e-4, "seed": 3}, {"pooling": "last"}, {"scale": 20.0}):
        job = Job.of(RunConfig.model_validate(first.model_dump(exclude={"end_token"}) | changes), tiny_pairs)
        assert base_score(Training(job), {}) is not None
    assert [(one.pooling, one.scale) for one in measured] == [("mean", 40.0), ("lasttoken", 40.0), ("mean", 20.0)]


def test_a_resumed_run_keeps_the_score_of_its_start(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tiny_neox, tiny_pairs, train_flops=1e9)
    resources = Resources(checkpoints=tmp_path, checkpoint_seconds=0)
    _, whole = train(config, tiny_pairs, with_record=True)
    steps: list[float] = []

    def stop(share: float, loss: float) -> None:
        steps.append(share)
        if len(steps) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tiny_pairs, resources=resources, on_progress=stop)
    base._scores.clear()  # as in another process, whose model is trained already
    _, resumed = train(config, tiny_pairs, resources=resources, with_record=True)
    assert (resumed.base_loss, resumed.base_ndcg) == (whole.base_loss, whole.base_ndcg)
    assert resumed.loss == whole.loss and resumed.remarks == whole.remarks


def test_runs_of_a_trunk_and_those_that_diverge_carry_their_start(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    configs = runs_of(tiny_neox, tiny_pairs)[:2]
    records = list(train_trunk(configs, tiny_pairs))
    wanted = start(tiny_neox, tiny_pairs, configs[0])
    assert [record.base_ndcg for record in records] == [wanted.ndcg] * 2
    assert [record.lineage for record in records] == ["gpt_neox"] * 2
    diverged = diverged_record(configs[0], DivergedError("the loss became nan", []))
    assert diverged.base_loss == records[0].base_loss and diverged.lineage == "gpt_neox"


def test_a_rate_that_ruins_a_good_start_is_told_with_its_cause(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    train(config_for(tiny_neox, tiny_pairs, train_flops=6e9), tiny_pairs, tmp_path / "good")
    config = config_for(tmp_path / "good", tiny_pairs, train_flops=1e9, learning_rate=1.0)
    _, record = train(config, tiny_pairs, with_record=True)
    assert record.base_loss is not None and record.loss is not None and record.base_loss < record.loss
    assert record.lineage == "gpt_neox retriever"
    (remark,) = record.remarks
    assert "is above that of the start before training" in remark
    assert "the learning rate of 1 is" in remark and "times the default of full; lower it" in remark


def test_a_rate_too_low_to_move_anything_is_told(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    config = config_for(tiny_neox, tiny_pairs, "lora:4", train_flops=6e8, learning_rate=1e-12)
    _, record = train(config, tiny_pairs, with_record=True)
    (remark,) = record.remarks
    assert remark.startswith("training changed nothing: likely cause: ") and "is too low to move them" in remark


GROUPS = {f"g{at}": GroupScore(10, 3.0 + 0.1 * at, 0.5) for at in range(8)}


def scored(loss: float, ndcg: float) -> HeldOut:
    groups = {name: GroupScore(10, one.loss + loss - 3.35, ndcg) for name, one in GROUPS.items()}
    return HeldOut(loss, 0.5, ndcg, 4.4, groups)


def doubts(job: Job, measured: HeldOut, **how: object) -> tuple[str, ...]:
    values: dict[str, object] = {"steps": 500, "passes": 0.5, "got_gradient": True}
    return remarks_of(job.config, job.shape, job.method, scored(3.35, 0.5), measured, **(values | how))  # type: ignore[arg-type]


def test_what_helped_leaves_no_doubt_and_each_cause_is_named(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    usual = Job.of(config_for(tiny_neox, tiny_pairs, learning_rate=1e-5), tiny_pairs)
    assert doubts(usual, scored(3.0, 0.6)) == ()
    (same,) = doubts(usual, scored(3.35, 0.5), got_gradient=False)
    assert "no gradient reached them" in same
    (worse,) = doubts(usual, scored(3.5, 0.4))
    assert "by 0.150 ± 0.000" in worse and "try a third of the rate" in worse
    (ranks,) = doubts(usual, scored(3.2, 0.4))
    assert ranks.startswith("nDCG@10 of 0.400 is below that of the start before training, 0.500, though")
    (few,) = doubts(usual, scored(3.5, 0.4), steps=12)
    assert "12 steps are few" in few
    (often,) = doubts(usual, scored(3.5, 0.4), passes=9.0)
    assert "the pairs were repeated 9 times" in often
    long = Job.of(config_for(tiny_neox, tiny_pairs, learning_rate=1e-5, warmup=0.9, query_prompt="q: "), tiny_pairs)
    (both,) = doubts(long, scored(3.5, 0.4))
    assert "the rate rose during 90 % of the run" in both and "the prompts are not those" in both
