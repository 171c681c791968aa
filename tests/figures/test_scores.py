"""Loss against scores: a panel for each task, a point for each run, and the correlations that `agree` finds."""

from itertools import combinations

import pytest
from matplotlib.figure import Figure

from embudget.errors import FigureError
from embudget.figures.scores import PANELS, draw_scores
from embudget.findings import agree
from embudget.palette import KIND_STROKES
from tests.figures.made import points, record_of, scored_study


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_each_run_is_a_point_of_its_kind_in_the_panel_of_each_task() -> None:
    study = scored_study()
    figure = draw_scores(study)
    assert [title.partition("\n")[0] for title in titles(figure)] == [
        "held-out nDCG@10", "mean of the tasks", "Task0", "Task1",
    ]  # fmt: skip
    for kind, stroke in KIND_STROKES.items():
        drawn = {(x, y) for x, y, _ in points(figure.axes[2], stroke.marker)}
        assert drawn == {(r.loss, r.scores["Task0"]) for r in study if r.config.method.startswith(kind)}


def test_the_correlations_are_those_of_agree() -> None:
    study = scored_study(tasks=0)
    task = agree(study).tasks[0]
    assert task.correlation is not None
    low, high = task.correlation.kendall_interval
    within = [one.correlation.kendall for one in task.budgets if one.correlation is not None]
    told = titles(draw_scores(study))[0].replace("−", "-").split("\n")
    assert told[1] == f"24 runs: τ {task.correlation.kendall:.2f} ({low:.2f} to {high:.2f})"
    assert told[2] == f"within 3 budgets: τ {max(within):.2f} to {min(within):.2f}"


def test_a_correlation_within_the_only_budget_is_not_told_twice() -> None:
    study = [run for run in scored_study() if run.config.train_flops == 1e12]
    assert titles(draw_scores(study))[0].count("τ") == 1


def test_too_few_runs_have_points_and_no_correlation() -> None:
    figure = draw_scores([record_of(ndcg=0.5)])
    assert titles(figure) == ["held-out nDCG@10\n1 run; τ needs 5\n"]
    assert points(figure.axes[0], "o") == [(3.0, 0.5, False)]


def test_scores_that_are_all_alike_have_no_order() -> None:
    study = [run.model_copy(update={"ndcg": 0.5, "scores": {}}) for run in scored_study()]
    assert "24 runs, no order to compare" in titles(draw_scores(study))[0]


def test_of_many_tasks_some_are_shown_the_mean_among_them_and_titles_stay_apart() -> None:
    figure = draw_scores(scored_study(count=6, tasks=20))
    assert len(figure.axes) == PANELS
    assert titles(figure)[1].startswith("mean of the tasks")
    assert figure.get_supxlabel() == "12 of 22 scores"
    figure.draw_without_rendering()
    boxes = [axes._left_title.get_window_extent() for axes in figure.axes]  # type: ignore[attr-defined]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_runs_without_a_loss_or_a_score_are_no_points_and_alone_are_refused() -> None:
    lost = record_of(status="diverged", loss=None, ndcg=0.1, seed=9)
    assert len(points(draw_scores([record_of(ndcg=0.5), lost, record_of(seed=3)]).axes[0], "o")) == 1
    with pytest.raises(FigureError, match="needs runs that have both"):
        draw_scores([lost, record_of()])


def test_losses_on_other_pairs_are_not_drawn_on_one_axis() -> None:
    with pytest.raises(FigureError, match=r"measured alike.* differ in pairs"):
        draw_scores([record_of(ndcg=0.5), record_of(ndcg=0.5, pairs="others")])


def test_a_loss_of_0_has_no_place_on_the_axis() -> None:
    study = [record_of(ndcg=0.5), record_of(seed=1, ndcg=0.9).model_copy(update={"loss": 0.0})]
    assert points(draw_scores(study).axes[0], "o") == [(3.0, 0.5, False)]
    with pytest.raises(FigureError, match="no run has"):
        draw_scores(study[1:])
