"""Loss and scores: the rank correlation with its interval, the cost of choosing by loss, and the verdict on both."""

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

import embudget as eb
from embudget.errors import FitError
from embudget.findings import agree
from embudget.findings.agreement import HELD_OUT, MEAN
from embudget.findings.rank_agreement import rank_correlation
from embudget.records import RunConfig, RunRecord


def run(place: int, loss: float, ndcg: float | None = None, budget: float = 1e12, **scores: float) -> RunRecord:
    values = {"model": f"m:{place + 1}", "method": "full", "learning_rate": 1e-3, "batch_size": 16, "pairs": "abc"}
    config = RunConfig.model_validate(values | {"train_flops": budget})
    return RunRecord(config=config, status="done", loss=loss, ndcg=ndcg, scores=scores)


def falling(budget: float = 1e12, slope: float = -1, noise: float = 0.0, count: int = 12) -> list[RunRecord]:
    """Runs whose nDCG is a line of their loss, with noise."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(0, noise, count) if noise else np.zeros(count)
    return [run(k, 3 + k / 10, 0.5 + slope * k / 100 + drawn[k], budget) for k in range(count)]


def test_the_correlations_are_scipys_and_lie_in_their_intervals() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=40)
    y = -x + rng.normal(size=40)
    ranks = rank_correlation(x, y)
    assert ranks is not None
    assert ranks.found.spearman == pytest.approx(spearmanr(x, y).statistic, abs=1e-4)
    assert ranks.found.kendall == pytest.approx(kendalltau(x, y).statistic, abs=1e-4)
    for value, (low, high) in (
        (ranks.found.spearman, ranks.found.spearman_interval),
        (ranks.found.kendall, ranks.found.kendall_interval),
    ):
        assert -1 <= low < value < high <= 1


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Normal pairs with correlation r have Kendall's tau 2 / pi asin(r)."""
    rng, truth, inside = np.random.default_rng(2), 2 / np.pi * np.arcsin(0.8), 0
    for _ in range(30):
        x = rng.normal(size=30)
        ranks = rank_correlation(x, 0.8 * x + 0.6 * rng.normal(size=30))
        assert ranks is not None
        low, high = ranks.found.kendall_interval
        inside += low <= truth <= high
    assert inside >= 22


def test_without_an_order_there_is_no_correlation() -> None:
    assert rank_correlation(np.arange(12.0), np.ones(12)) is None


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [((-1, -1), "reproduced"), ((1, 1), "not reproduced"), ((-1, 1), "not reproduced")],
)
def test_every_budget_must_agree(slopes: tuple[int, int], expected: str) -> None:
    found = agree([one for k, slope in enumerate(slopes) for one in falling(1e12 * 2**k, slope)])
    assert found.finding.verdict == expected
    (held_out,) = found.tasks
    correlations = [at.correlation for at in held_out.budgets]
    assert [one.spearman for one in correlations if one is not None] == list(map(float, slopes))
    assert len(found.finding.claims) == 2


def test_a_weak_relation_decides_nothing() -> None:
    found = agree(falling(noise=0.06))
    assert found.finding.verdict == "undetermined"
    assert found.finding.why is not None


def test_budgets_that_improve_both_do_not_make_a_verdict() -> None:
    """Within budgets the score rises with the loss; over all of them it falls."""
    runs = [one for k in range(4) for one in falling(1e12 * 2**k, slope=1)]
    runs = [one.model_copy(update={"loss": one.loss - k // 12 * 2, "ndcg": one.ndcg + k // 12 * 0.1})
            for k, one in enumerate(runs) if one.loss is not None and one.ndcg is not None]  # fmt: skip
    found = agree([one for one in runs if one.loss is not None and one.loss > 0])
    overall = found.tasks[0].correlation
    assert overall is not None and overall.spearman < -0.5
    assert found.finding.verdict == "not reproduced"


def test_the_cost_is_what_the_lowest_loss_misses() -> None:
    runs = falling()
    better = run(20, 3.35, 0.53)  # not the lowest loss, and three points above its score
    (held_out,) = agree([*runs, better]).tasks
    (at,) = held_out.budgets
    assert at.cost.points == pytest.approx(3.0)
    assert (at.chosen_score, at.best_score) == (0.5, 0.53)
    assert at.chosen.startswith("m:1 full") and at.best.startswith("m:21 full")
    low, high = at.cost.interval
    assert low == 0.0  # in draws without the better one
    assert high >= 3.0
    assert held_out.cost is not None and held_out.cost.points == at.cost.points
    assert agree(runs).tasks[0].budgets[0].cost.points == 0


def test_tasks_stand_beside_the_held_out_ndcg_and_their_mean_decides() -> None:
    runs = [
        run(k, 3 + k / 10, 0.5 + k / 100, alpha=0.5 - k / 100, beta=0.7 - k / 50, **({"rare": 0.1} if k < 4 else {}))
        for k in range(12)
    ]
    found = agree(runs)
    assert [task.task for task in found.tasks] == [HELD_OUT, "alpha", "beta", MEAN]
    assert found.too_few == {"rare": 4}
    assert "rare: 4 models have it, and 5 are needed" in str(found)
    mean = found.tasks[-1].budgets[0]
    assert mean.chosen_score == pytest.approx(0.6)
    assert found.finding.verdict == "reproduced"  # the held-out nDCG, which rises with the loss, does not count
    assert f"held-out loss and {MEAN}" in found.finding.numbers


def test_the_one_task_of_all_scored_models_decides_beside_a_rarer_one() -> None:
    runs = [
        run(k, 3 + k / 10, 0.5 + k / 100, alpha=0.5 - k / 100, **({"rare": 0.1 + k / 100} if k < 6 else {}))
        for k in range(12)
    ]
    found = agree(runs)
    assert [task.task for task in found.tasks] == [HELD_OUT, "alpha", "rare"]
    assert "held-out loss and alpha over 12 runs" in found.finding.numbers


def test_runs_that_were_not_scored_or_have_no_loss_do_not_count() -> None:
    runs = [run(k, 3 + k / 10, alpha=0.5 - k / 100) for k in range(9)]
    others = [run(20, 9.0), run(21, 8.0, alpha=0.9).model_copy(update={"status": "no_gain"})]
    found = agree([*runs, *others])
    assert [(task.task, task.models) for task in found.tasks] == [("alpha", 9)]


def test_few_models_give_numbers_but_no_verdict_and_fewer_give_none() -> None:
    five = agree(falling(count=5))
    assert five.tasks[0].budgets[0].models == 5
    assert (five.finding.verdict, five.finding.share) == ("undetermined", None)
    with pytest.raises(FitError, match="takes 5 runs or more with a held-out loss and a score, got 4"):
        agree(falling(count=4))
    with pytest.raises(FitError, match="got 0"):
        agree([])


def test_the_public_name_is_the_same() -> None:
    assert eb.agree is agree


def test_losses_of_two_yardsticks_are_refused() -> None:
    """Their order would be that of the yardsticks."""
    runs = falling()
    others = [one.model_copy(update={"config": one.config.model_copy(update={"yardstick": "first"})}) for one in runs]
    with pytest.raises(FitError, match=r"measured alike, got 12 runs and 3 that differ in yardstick groups and first"):
        agree(runs + others[:3])


def test_a_verdict_without_benchmarks_says_so() -> None:
    assert "no benchmark decides this" in str(agree(falling()))
    scored = [one.model_copy(update={"scores": {"sts": one.ndcg or 0.0}}) for one in falling()]
    assert "no benchmark decides this" not in str(agree(scored))


def test_models_are_named_with_their_negatives() -> None:
    runs = falling(slope=1)
    runs[0] = runs[0].model_copy(update={"config": runs[0].config.model_copy(update={"negatives": 1})})
    assert "m:1 full negatives 1, rate 0.001, seed 0" in str(agree(runs))
