"""Runs of several scales: compared only where their losses are, and the best is what a recipe takes."""

import pytest

from embudget.errors import FitError
from embudget.records import RunRecord
from embudget.runs import RunTable
from embudget.runs.tried import describe_tried
from tests.runs.test_tried import record


def at(scale: float, loss: float, **changes: object) -> RunRecord:
    one = record(0, loss)
    config = one.config.model_copy(update={"scale": scale, "eval_scale": "best"} | changes)
    return one.model_copy(update={"config": config})


def test_losses_at_other_scales_are_refused_unless_each_is_at_its_best() -> None:
    with pytest.raises(FitError, match=r"all runs must share one scale to be comparable, got 20 \(1 runs\) and 40"):
        RunTable.of([at(20, 2.2, eval_scale="own"), at(40, 2.1, eval_scale="own")])
    with pytest.raises(FitError, match=r"all runs must share one eval_scale to be comparable"):
        RunTable.of([at(40, 2.2, eval_scale="own"), at(40, 2.1)])


def test_the_best_scale_and_weight_decay_are_the_cell() -> None:
    table = RunTable.of([at(20, 2.0), at(40, 2.2), at(20, 2.1, weight_decay=0.0)])
    (cell,) = table.cells
    assert (cell.scale, cell.weight_decay) == (20, 0.1)
    assert cell.loss == pytest.approx(2.0)
    assert table.scale is None and table.eval_scale == "best"
    assert describe_tried(cell.tried) == (
        "nats by scale and weight decay: 20 at 0: 2.100 (+0.100 with standard error 0.000), 20 at 0.1: 2.000, "
        "40 at 0.1: 2.200 (+0.200 with standard error 0.000)"
    )


def test_one_scale_stays_the_tables() -> None:
    table = RunTable.of([at(40, 2.2, eval_scale="own")])
    assert (table.scale, table.eval_scale, table.cells[0].scale) == (40, None, None)


@pytest.mark.parametrize(
    "changes",
    [{"query_prompt": "q: "}, {"attention": "bidirectional"}, {"matryoshka": (8, 16)}, {"precision": "bf16"}],
)
def test_runs_that_differ_in_an_option_are_no_seeds_of_one_setting(changes: dict[str, object]) -> None:
    (cell,) = RunTable.of([at(40, 2.2), at(40, 2.0, **changes)]).cells
    assert cell.seeds == 1 and cell.loss == pytest.approx(2.0)
    (same,) = RunTable.of([at(40, 2.2), at(40, 2.0, seed=1)]).cells
    assert same.seeds == 2
