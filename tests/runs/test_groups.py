"""Losses by held-out group, from records to a table: what is averaged, and where nothing can be paired."""

import numpy as np
import pytest

from embudget.errors import FitError
from embudget.records import GroupScore, RunRecord
from embudget.runs import RunTable
from embudget.runs.groups import GroupLosses
from tests.runs.tables import changed, records


def grouped(record: RunRecord, losses: dict[str, float], pairs: int = 4, **config: object) -> RunRecord:
    groups = {name: GroupScore(pairs, loss, 0.5)._asdict() for name, loss in losses.items()}
    return changed(record, config, groups=groups, loss=float(np.mean(list(losses.values()))))


def test_a_cell_has_the_mean_of_its_seeds_at_the_best_rate() -> None:
    base, other = records()[0], records()[1]
    runs = [
        grouped(base, {"demo/a": 3.0, "demo/b": 2.0}, seed=0),
        grouped(base, {"demo/b": 2.4, "demo/a": 3.2}, seed=1),  # in another order
        grouped(base, {"demo/a": 9.0, "demo/b": 9.0}, learning_rate=0.5),
        grouped(other, {"demo/a": 2.5, "demo/b": 2.5}),
    ]
    table = RunTable.of(runs)
    assert table.groups is not None
    assert table.groups.pairs == (4, 4)
    by_model = dict(zip([cell.model for cell in table.cells], table.groups.losses, strict=True))
    assert by_model[base.config.model] == (3.1, 2.2)
    assert by_model[other.config.model] == (2.5, 2.5)


@pytest.mark.parametrize(
    ("second", "pairs"),
    [({}, 4), ({"demo/a": 3.0}, 4), ({"demo/a": 3.0, "demo/c": 2.0}, 4), ({"demo/a": 3, "demo/b": 2}, 5)],
)  # fmt: skip
def test_runs_on_other_groups_cannot_be_paired_which_is_said(second: dict[str, float], pairs: int) -> None:
    base, other = records()[:2]
    last = grouped(other, second, pairs) if second else changed(other)
    table = RunTable.of([grouped(base, {"demo/a": 3.0, "demo/b": 2.0}), last])
    assert table.groups is None
    (text,) = [remark.text for remark in table.remarks if "held-out groups" in remark.text]
    assert f"({1 + bool(second)} of 2 say what they are)" in text


def test_runs_that_do_not_count_need_no_groups() -> None:
    base, other = records()[:2]
    failed = changed(other, status="failed", loss=None)
    table = RunTable.of([grouped(base, {"demo/a": 3.0, "demo/b": 2.0}), failed])
    assert table.groups is not None
    assert RunTable.of(records()).groups is None


def test_runs_of_two_yardsticks_are_not_comparable() -> None:
    base, other = records()[:2]
    old = changed(other, {"yardstick": "first"})
    with pytest.raises(FitError, match=r"all runs must share one yardstick .* got groups \(1 runs\) and first \(1\)"):
        RunTable.of([base, old])
    assert RunTable.of([old]).yardstick == "first"


def test_runs_with_other_hard_negatives_are_no_seeds() -> None:
    base = records()[0]
    more = changed(base, {"negatives": 4}, loss=1.0)
    (cell,) = RunTable.of([base, more]).cells
    assert (cell.seeds, cell.loss, cell.negatives) == (1, 1.0, 4)


def groups_of(losses: list[list[float]], pairs: list[int]) -> GroupLosses:
    return GroupLosses.model_validate({"losses": losses, "pairs": pairs})


def test_the_moves_spread_as_the_difference_does_over_groups_drawn_anew() -> None:
    """Groups of unequal size, and two cells of which the second errs by groups of its own."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(1, 10, 80)
    common = rng.uniform(1, 5, 80)
    own = common * (1 + 0.2 * rng.standard_normal((3, 80)))
    found = groups_of(own.tolist(), pairs.tolist())
    moves = found.moves(4000, rng)
    assert moves.sum(axis=1) == pytest.approx(np.zeros(4000), abs=1e-12)
    gap = (moves[:, 0] - moves[:, 1]).std()
    drawn = rng.integers(80, size=(4000, 80))  # the classical bootstrap, as the other way
    means = np.array([(own[:, rows] * pairs[rows]).sum(axis=1) / pairs[rows].sum() for rows in drawn])
    assert gap == pytest.approx(np.std(np.log(means[:, 0] / means[:, 1])), rel=0.06)
    gaps = [(moves[:, i] - moves[:, j]).var() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.paired_error == pytest.approx(np.sqrt(np.mean(gaps)), rel=0.06)


def test_what_is_equal_on_all_groups_does_not_move() -> None:
    found = groups_of([[1.0, 2.0, 5.0], [2.0, 4.0, 10.0]], [1, 2, 3])
    assert np.abs(found.moves(50, np.random.default_rng(0))).max() < 1e-12
    assert found.paired_error < 1e-12
    assert groups_of([[1.0, 2.0]], [1, 1]).paired_error == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"losses": [[1.0]]}, "one of each group, 2, got 1"), ({"losses": [[0.0, 0.0]]}, "must not all be 0"),
     ({"pairs": [1]}, "pairs"), ({"losses": [[1.0, 2.0]] * 2}, "losses of 1 cells, got 2")],
)  # fmt: skip
def test_groups_of_a_file_that_make_no_sense_are_refused(wrong: dict[str, object], message: str) -> None:
    table = RunTable.of([grouped(records()[0], {"demo/a": 3.0, "demo/b": 2.0})]).model_dump()
    with pytest.raises(ValueError, match=message):
        RunTable.model_validate(table | {"groups": table["groups"] | wrong})
