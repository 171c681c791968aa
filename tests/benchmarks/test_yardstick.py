"""The study of the yardstick: choices are trained once and measured on two disjoint sets, whose errors are true."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import held_out_halves, yardstick
from benchmarks.yardstick_errors import measured_errors, neighbours, published_errors
from embudget.pairs import Pairs
from embudget.records import GroupScore, RunConfig, RunRecord
from studies.publish.files import read_lines, write_lines
from tests.comparison.made import made


def published(folder: Path) -> list[RunRecord]:
    """A published study of one tiny model: two methods at three rates, measured on other pairs."""
    values = {"model": str(folder), "batch_size": 8, "max_length": 32, "train_flops": 2e9, "pairs": "of-before"}
    return [
        RunRecord(
            config=RunConfig.model_validate(values | {"method": method, "learning_rate": rate, "yardstick": "first"}),
            status="done",
            loss=3 + place / 10,
        )
        for place, (method, rate) in enumerate((m, r) for m in ("full", "bias") for r in (1e-3, 3e-3, 9e-3))
    ]


def test_choices_are_trained_once_and_measured_on_both_held_out_sets(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny").mkdir()
    write_lines(tmp_path / "tiny" / "records.jsonl", published(tiny_neox))
    out = tmp_path / "out"
    command = [
        "yardstick",
        "--pairs",
        str(tiny_pairs.folder),
        "--study",
        f"{tmp_path / 'tiny'}@2e9=2",
        "--out",
        str(out),
    ]
    command += ["--seeds", "1", "--eval-pairs", "32", "--budget-scale", "0.5"]
    monkeypatch.setattr(sys, "argv", command)
    yardstick.main()
    first, second = yardstick.records_of(out)
    assert [(one.config.method, one.config.learning_rate, one.config.seed) for one in first] == [
        ("full", 1e-3, 0), ("bias", 9e-3, 0), ("full", 1e-3, 1), ("bias", 9e-3, 1)
    ]  # fmt: skip
    assert {one.config.train_flops for one in first} == {1e9}
    assert {one.config.pairs for one in first} == {tiny_pairs.hash}
    for one, other in zip(first, second, strict=True):
        assert yardstick.same_run(one) == yardstick.same_run(other)
        assert one.tokens == other.tokens
        assert one.loss != other.loss
    assert set(json.loads((out / "yardstick.json").read_text())["published"]) == {"tiny"}

    (out / "yardstick.json").unlink()
    write_lines(out / "records.jsonl", first[:3])  # as if it had been stopped before the last
    yardstick.main()
    again = read_lines(out / "records.jsonl")
    assert again[:3] == first[:3], "what is there is not done again"
    assert (again[3].id, again[3].loss) == (first[3].id, first[3].loss)
    assert len(read_lines(out / "second.jsonl")) == 4
    assert (out / "yardstick.json").exists()


def test_the_two_sets_share_no_group(tiny_pairs: Pairs) -> None:
    other = yardstick.swapped(tiny_pairs)
    here, there = (set(pairs.table("validation")["group"].to_pylist()) for pairs in (tiny_pairs, other))
    assert here and there and not here & there
    assert other.hash != tiny_pairs.hash
    assert other.rows("train") == tiny_pairs.rows("train")


def two_sets(apart: float, count: int = 12, groups: int = 60, own: float = 0.2) -> tuple[list[RunRecord], ...]:
    """Choices whose true losses lie so far apart, each on two sets of other groups."""
    rng = np.random.default_rng(3)
    return tuple(
        [
            made(3 + apart * k, own=own, sizes=(8,) * groups, rng=rng, model=f"m:{k + 1}", pairs=name)
            for k in range(count)
        ]
        for name in ("one", "other")
    )


def test_two_sets_agree_where_choices_differ_by_more_than_their_errors() -> None:
    found = measured_errors(*two_sets(0.2))
    assert found is not None
    assert found["rank"]["kendall"] > 0.9
    assert found["sets"][0] == {"pairs": 480, "groups": 60, "effective_groups": 60.0}
    assert found["paired"]["error"]["median"] == pytest.approx(0.2 * np.sqrt(2 / 60), rel=0.15)
    assert found["paired"]["of_those_on_both_sets_with_one_sign"] == 1
    equal = measured_errors(*two_sets(0.0))
    assert equal is not None and abs(equal["rank"]["kendall"]) < 0.5


def test_errors_that_are_true_hold_what_they_promise() -> None:
    """And errors that are too small, as of pairs that count one by one, are found out."""
    one, other = two_sets(0.05, count=30)
    found = measured_errors(one, other)
    assert found is not None
    assert 0.8 < found["paired"]["rms_ratio"] < 1.2
    assert found["paired"]["inside_95_percent"] > 0.88
    ungrouped = measured_errors(*(list(map(pair_by_pair, records)) for records in (one, other)))
    assert ungrouped is not None and ungrouped["paired"]["rms_ratio"] > 2


def pair_by_pair(record: RunRecord) -> RunRecord:
    """The same record as if each of its pairs were a group of its own."""
    single = {f"{name}/{k}": GroupScore(1, one.loss, one.ndcg) for name, one in record.groups.items() for k in range(8)}
    return record.model_copy(update={"groups": single})


def test_too_few_choices_say_nothing() -> None:
    one, other = two_sets(0.1, count=1)
    assert measured_errors(one, other) is None
    old = [record.model_copy(update={"groups": {}}) for record in two_sets(0.1)[0]]
    assert measured_errors(old, old) is None


def test_a_neighbouring_rate_is_compared_with_the_best_of_its_cell() -> None:
    losses = {1e-3: (3.3,), 3e-3: (2.9, 3.1), 9e-3: (3.6,)}
    records = [
        made(3.0, learning_rate=rate, seed=seed).model_copy(update={"loss": loss})
        for rate, several in losses.items()
        for seed, loss in enumerate(several)
    ]
    found = neighbours(records)
    assert (found["cells"], found["step"]) == (1, 3.0)
    assert found["median_percent"] == pytest.approx(15.0)  # the median of 10 and 20 %
    assert neighbours(records[:1]) == {"cells": 0}


def test_the_noise_of_seeds_is_that_of_the_records() -> None:
    rng = np.random.default_rng(8)
    records = [
        made(3.0, luck=0.02, seed=seed, rng=rng, learning_rate=1e-3 * k) for k in range(1, 31) for seed in range(3)
    ]
    found = published_errors(records)
    assert found["seeds"]["percent"] == pytest.approx(2.0, rel=0.2)
    assert (found["seeds"]["settings"], found["seeds"]["runs"]) == (30, 90)
    assert set(found["seeds_by_budget"]) == {"1e+12"}


def test_errors_of_random_halves_are_about_right(
    tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses of a few tiny models on halves of the held-out groups lie as far apart as their errors say."""
    monkeypatch.setattr(
        held_out_halves, "MODELS", ((str(tiny_neox), "full", 1e-3, 1e9), (str(tiny_neox), "full", 5e-3, 1e9))
    )
    monkeypatch.setattr(held_out_halves, "SHORT", {"batch_size": 8, "max_length": 32})
    found = held_out_halves.halves(tiny_pairs, 20, size=16, block=4)
    assert found["groups"] == len({row.group for row in held_out_halves.distinct(tiny_pairs)})
    for name in ("loss", "difference"):
        assert 0.3 < found[name]["rms_ratio"] < 3
        assert 0.5 < found[name]["inside_95_percent"] <= 1
