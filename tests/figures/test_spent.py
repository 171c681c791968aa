"""What was spent: runs where they stand in the budget, what was believed, and the labels of many."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from embudget.errors import FigureError
from embudget.figures import read_sources
from embudget.figures.spent import NAMED, draw_spent
from embudget.records import RunRecord
from embudget.spending.allocation import Decision, Purchase, Setting
from embudget.spending.rounds import BoughtRun, Came, Round
from embudget.study import Store
from tests.figures.made import record_of, xs, ys
from tests.figures.test_labels import check_apart


def search_of(
    count: int, final: bool = True, lost: tuple[int, ...] = (), models: int = 2
) -> tuple[list[Round], list[RunRecord]]:
    """A search of so many runs of 1e12 FLOP each, then a final run of 1e13, and the records of all of them."""
    records, purchases = [], []
    for row in range(count + final):
        is_final = row == count
        ended = {"status": "diverged", "loss": None, "train_flops": None} if row in lost else {"loss": 4.0 * 0.99**row}
        record = record_of(
            f"smollm2-135m:{row % models + 1}",
            ("full", "lora:8")[row % 2],
            1e13 if is_final else 1e12,
            seed=row,
            **ended,
        )
        records.append(record)
        setting = Setting(**{name: getattr(record.config, name) for name in Setting.model_fields})
        purpose = "final" if is_final else "search"
        purchases.append(Purchase(setting=setting, train_flops=record.config.train_flops, cost=1e12, purpose=purpose))
    rounds = []
    for row, (record, purchase) in enumerate(zip(records, purchases, strict=True)):
        decision = Decision(
            round=row, purchases=(purchase,), best=purchase.setting, probability=0.3 + 0.4 * row / len(records),
            expected_loss=3.0 - row / 100, interval=(1.0 + row / 20, 5.0 - row / 20), standings=(),
        )  # fmt: skip
        before = records[row - 1] if row else None
        came = () if before is None else (
            Came(run=before.id, status=before.status, loss=before.loss, error=0.1 if before.loss else 0.0, cost=1e12),
        )  # fmt: skip
        flops = record.config.train_flops
        run = BoughtRun(
            run=record.id,
            train_flops=flops,
            warmup_flops=0.1 * flops,
            shared_flops=0.0,
            branch_flops=0.8 * flops,
            end_flops=flops,
        )
        rounds.append(Round(decision=decision, changed="", measured=came, spent=row * 1e12, bought=(run,), dropped=()))
    return rounds, records


def bars(figure: Figure) -> list[tuple[float, float, float]]:
    """Start, end and loss of each run that has a bar."""
    solid = [line for line in figure.axes[0].get_lines() if line.get_drawstyle() == "default"]
    lines = [line for line in solid if len(xs(line)) == 2 and len(set(ys(line))) == 1]
    return [(xs(line)[0], xs(line)[1], ys(line)[0]) for line in lines]


def test_runs_stand_one_behind_the_other_as_wide_as_their_cost() -> None:
    found = bars(draw_spent(*search_of(3)))
    assert np.array(found) == pytest.approx(
        np.array([(0.0, 1e12, 4.0), (1e12, 2e12, 3.96), (2e12, 3e12, 3.9204), (3e12, 1.3e13, 3.881196)])
    )


def test_a_run_that_diverged_takes_what_its_curve_says_and_is_crossed() -> None:
    rounds, records = search_of(3, lost=(1,))
    records[1] = records[1].model_copy(update={"loss_curve": ((0.2, 3.0), (0.5, 90.0))})
    figure = draw_spent(rounds, records)
    places = np.array([(start, end) for start, end, _ in bars(figure)])
    assert places == pytest.approx(np.array([(0, 1e12), (1.5e12, 2.5e12), (2.5e12, 1.25e13)]))
    (cross,) = [line for line in figure.axes[0].get_lines() if line.get_label() == "_missing"]
    assert xs(cross) == pytest.approx([1.25e12])


def test_a_round_is_believed_until_the_next() -> None:
    rounds, records = search_of(3)
    figure = draw_spent(rounds, records)
    (expected,) = [line for line in figure.axes[0].get_lines() if line.get_drawstyle() == "steps-post"]
    assert xs(expected) == pytest.approx([0.0, 1e12, 2e12, 3e12, 1.3e13])
    assert ys(expected) == pytest.approx([3.0, 2.99, 2.98, 2.97, 2.97])
    (band,) = figure.axes[0].collections
    ends = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert (ends.min(), ends.max()) == pytest.approx((1.0, 5.0))


def test_the_final_run_has_the_largest_marker() -> None:
    figure = draw_spent(*search_of(4))
    sizes = {xs(line)[0]: line.get_markersize() for line in figure.axes[0].get_lines() if len(xs(line)) == 1}
    assert max(sizes, key=lambda x: sizes[x]) == pytest.approx(1.4e13)


def test_a_search_that_goes_on_has_room_for_the_run_without_a_record() -> None:
    rounds, records = search_of(3, final=False)
    figure = draw_spent(rounds, records[:2])
    assert len(bars(figure)) == 2
    assert figure.axes[0].get_xlim()[1] >= 3e12
    assert "final run" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_one_decision_and_nothing_measured_shows_what_is_believed() -> None:
    rounds, _ = search_of(1, final=False)
    figure = draw_spent(rounds, [])
    assert not bars(figure)
    low, high = figure.axes[0].get_ylim()
    assert low < 1.0 and high > 5.0


@pytest.mark.parametrize("count", [4, 13, 100])
def test_names_stay_apart_and_in_the_frame(count: int) -> None:
    figure = draw_spent(*search_of(count, models=8))
    assert 1 <= check_apart(figure.axes[0]) <= NAMED
    assert check_apart(figure.axes[1]) <= NAMED


def test_of_many_runs_each_choice_is_named_once_at_its_lowest_loss() -> None:
    rounds, records = search_of(60)
    labels = [text for text in draw_spent(rounds, records).axes[0].texts if text.get_text()]
    assert sorted(text.get_text() for text in labels) == ["smollm2-135m:1 full", "smollm2-135m:2 lora:8"]
    at = [text.xy[1] for text in labels]  # type: ignore[attr-defined]
    assert sorted(at) == pytest.approx(sorted(record.loss or 0.0 for record in records)[:2])


def test_a_choice_is_named_below_where_it_changes() -> None:
    rounds, records = search_of(4)
    steady = [
        one.model_copy(update={"decision": one.decision.model_copy(update={"best": rounds[row // 3].decision.best})})
        for row, one in enumerate(rounds)
    ]
    marks = [xs(line)[0] for line in draw_spent(steady, records).axes[1].get_lines() if len(xs(line)) == 1]
    assert marks == pytest.approx([0.0, 3e12])


def test_no_decision_is_refused() -> None:
    with pytest.raises(FigureError, match="none was made yet"):
        draw_spent([], [])


def test_the_decisions_beside_a_store_are_drawn(tmp_path: Path) -> None:
    rounds, records = search_of(5)
    with Store(tmp_path / "runs.db") as store:
        for record in records:
            store.add(record)
    lines = "".join(one.model_dump_json() + "\n" for one in rounds)
    (tmp_path / "decisions.jsonl").write_text(lines + lines[:50])
    found = read_sources(str(tmp_path / "runs.db"))
    assert found.decisions is not None and found.records is not None
    ends = [end for _, end, _ in bars(draw_spent(found.decisions, found.records))]
    assert len(ends) == 6
    assert all(before < after for before, after in pairwise(ends))
    assert np.isclose(ends[-1], 1.5e13)
