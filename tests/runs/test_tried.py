"""Cells over several numbers of negatives and lengths: the best counts, and the others are kept beside it."""

import math
from pathlib import Path

import pytest

from embudget.records import GroupScore, RunConfig, RunRecord
from embudget.runs import RunTable
from embudget.runs.tried import describe_tried

SIZES = {"a/x": 30, "a/y": 10, "b/z": 20}


def record(negatives: int, loss: float, *, max_length: int = 75, seed: int = 0, rate: float = 1e-3) -> RunRecord:
    """One run whose groups lie 0.3 below, at and 0.45 above its loss; with negatives the last one gains less."""
    shift = {"a/x": -0.3 - 0.02 * negatives, "a/y": 0.0, "b/z": 0.45 + 0.03 * negatives}
    config = RunConfig(
        model="pythia-14m", method="full", train_flops=1e12, pairs="0" * 16, batch_size=16, learning_rate=rate,
        seed=seed, negatives=negatives, max_length=max_length, eval_pairs=60, eval_candidates=60,
    )  # fmt: skip
    return RunRecord(
        config=config, status="done", model_params=1_189_888, steps=100, pairs_seen=1600,
        tokens=1600 * (55 + 40 * negatives), train_flops=1e12, loss=loss, chance=math.log(60),
        groups={name: GroupScore(count, loss + shift[name], 0.5) for name, count in SIZES.items()},
    )  # fmt: skip


def test_the_best_number_of_negatives_is_the_cell_and_the_others_are_kept() -> None:
    table = RunTable.of([record(0, 2.2), record(1, 2.0), record(4, 2.1), record(4, 2.5, rate=1e-2)])
    (cell,) = table.cells
    assert cell.negatives == 1 and cell.loss == pytest.approx(2.0)
    assert [(one.negatives, round(one.loss, 6), one.seeds) for one in cell.tried] == [
        (0, 2.2, 1),
        (1, 2.0, 1),
        (4, 2.1, 1),
    ]
    assert [round(one.worse, 6) for one in cell.tried] == [0.2, 0.0, 0.1]
    assert table.max_length == 75 and cell.max_length is None


def test_differences_carry_the_paired_error_of_the_groups() -> None:
    """By hand: the mean levels cancel, and what is left are the shifts of the groups."""
    table = RunTable.of([record(0, 2.2), record(1, 2.0)])
    none, one = table.cells[0].tried
    differences = {"a/x": 0.2 + 0.02, "a/y": 0.2, "b/z": 0.2 - 0.03}
    mean = sum(SIZES[name] * value for name, value in differences.items()) / 60
    squares = sum((SIZES[name] * (value - mean)) ** 2 for name, value in differences.items())
    assert none.error == pytest.approx(math.sqrt(3 / 2 * squares) / 60)
    assert one.error is None


def test_one_value_is_nothing_to_compare() -> None:
    assert RunTable.of([record(2, 2.2), record(2, 2.1, seed=1)]).cells[0].tried == ()
    assert describe_tried(()) == ""


def test_lengths_are_tuned_over_too() -> None:
    table = RunTable.of([record(0, 2.2), record(0, 1.9, max_length=256), record(0, 2.0, max_length=512)])
    (cell,) = table.cells
    assert (cell.max_length, table.max_length) == (256, None) and cell.loss == pytest.approx(1.9)
    said = describe_tried(cell.tried)
    assert said.startswith("nats by tokens of a text: 75: 2.200 (+0.300 with standard error ")
    assert "256: 1.900, 512: 2.000 (+0.100" in said


def test_seeds_are_averaged_before_values_are_compared() -> None:
    """The luckiest of many seeds would win otherwise."""
    runs = [record(0, 2.0), record(0, 2.02, seed=1), record(1, 1.9), record(1, 2.3, seed=1)]
    (cell,) = RunTable.of(runs).cells
    assert cell.negatives == 0
    assert [one.seeds for one in cell.tried] == [2, 2]


def test_a_file_of_runs_may_have_the_columns(tmp_path: Path) -> None:
    rows = ["model_params,tokens,train_flops,budget,loss,negatives,max_length"]
    rows += [f"1e6,{tokens},6e12,6e12,{loss},{k},75" for tokens, loss, k in ((1e6, 2.2, 0), (1e6, 2.1, 3))]
    (tmp_path / "runs.csv").write_text("\n".join(rows))
    (cell,) = RunTable.read(tmp_path / "runs.csv").cells
    assert cell.negatives == 3 and [one.loss for one in cell.tried] == pytest.approx([2.2, 2.1])
    assert cell.tried[0].error is None
