"""What is published of a study: the verdict on the downstream score, losses of diverged runs, a forecast's verdict."""

import importlib
import json
import math
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from embudget.laws import find_laws
from embudget.records import RunConfig, RunRecord
from embudget.study import Store

Load = Any
ROOT = Path(__file__).parents[1]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


def record(loss: float | None, ndcg: float | None = None, status: str = "done", **config: object) -> RunRecord:
    values = {"model": "m:2", "method": "full", "train_flops": 1e12, "learning_rate": 1e-3, "batch_size": 16}
    return RunRecord.model_validate(
        {
            "config": RunConfig.model_validate(values | {"pairs": "abc"} | config),
            "status": status,
            "loss": loss,
            "ndcg": ndcg,
        }
    )


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [((-1, -1), "reproduced"), ((1, 1), "not reproduced"), ((-1, 1), "undetermined")],
)
def test_every_budget_must_agree_on_the_downstream_score(load: Load, slopes: tuple[int, int], expected: str) -> None:
    runs = [
        record(3 + place / 10, 0.5 + slope * place / 100, train_flops=budget, seed=place)
        for budget, slope in zip((1e12, 2e12), slopes, strict=True)
        for place in range(8)
    ]
    found = load("publish").downstream(runs)
    assert found["verdict"] == expected
    assert found["spearman_within_budgets"] == {"1e+12": float(slopes[0]), "2e+12": float(slopes[1])}


def test_few_runs_say_nothing_about_the_downstream_score(load: Load) -> None:
    few = [record(3 + place / 10, 0.5, seed=place) for place in range(7)]
    publish = load("publish")
    assert publish.downstream(few) == {"statement": publish.STATEMENT, "runs": 7, "verdict": "undetermined"}


def test_a_run_that_diverged_counts_as_chance_and_one_that_failed_not_at_all(load: Load) -> None:
    files = load("results_files")
    assert files.loss_or_chance(record(2.5)) == 2.5
    small = record(None, status="diverged", eval_pairs=64, eval_candidates=64)
    assert files.loss_or_chance(small) == pytest.approx(math.log(64))
    assert files.loss_or_chance(record(None, status="failed")) is None


def test_records_come_back_from_their_lines(load: Load, tmp_path: Path) -> None:
    files: ModuleType = load("results_files")
    records = [record(2.5, 0.5), record(2.75, seed=1)]
    files.write_lines(tmp_path / "records.jsonl", records)
    assert files.read_records(tmp_path) == records


FORECAST: dict[str, Any] = {
    "recipe": {"model": "m:2", "method": "full", "train_flops": 1e12, "learning_rate": 1e-3, "predicted_loss": 2.5,
               "predicted_interval": [2.4, 2.6]},
    "rivals": [{"model": "m:1", "method": "full", "learning_rate": 2e-3}],
    "paper": {"model": "m:4", "method": "full", "learning_rate": 3e-3, "loss_by_its_line": 2.0},
}  # fmt: skip


def test_a_store_adds_to_the_committed_records_and_takes_none_away(load: Load, tmp_path: Path) -> None:
    files = load("results_files")
    files.write_lines(tmp_path / "records.jsonl", [record(2.5, 0.5)])
    with Store(tmp_path / "study.db") as store:
        store.add(record(2.75, seed=1))
    assert sorted(found.loss for found in files.read_records(tmp_path)) == [2.5, 2.75]
    assert len(files.read_lines(tmp_path / "records.jsonl")) == 2


WORSE = {1e12: {2e-3: 0.0, 1e-3: 0.05, 4e-3: 0.2}, 4e12: {1e-3: 0.0, 2e-3: 0.05, 4e-3: 0.2}}
"""What each rate costs at each budget."""
ABLATED = [  # batch size, rate, member, budget, seed: three rates on seed 0, the two best on three others
    (size, rate, depth, budget, seed)
    for size in (4, 8, 16) for rate in (1e-3, 2e-3, 4e-3) for depth in (2, 3) for budget in WORSE for seed in range(4)
    if seed == 0 or rate < 4e-3
]  # fmt: skip


def ablated(load: Load, effects: dict[int, float], noise: float, opposite: bool = False, misled: bool = False) -> Any:  # noqa: ANN401 - what compared returns
    """The ablations of batches of 4 and 8 from 16, whose losses are 3 + effect + noise, and at other rates worse.

    The effect changes its sign from budget to budget where it is opposite; what has an effect of 3 is at chance. Where
    misled, seed 0 has the best rate of batch 8 for the second best.
    """
    rng = np.random.default_rng(0)
    by_seed, by_run = rng.normal(0, 0.1, 4), {(size, depth, seed): rng.normal(0, noise) for size in (4, 8, 16)
                                              for depth in (2, 3) for seed in range(4)}  # fmt: skip

    def loss(size: int, rate: float, depth: int, budget: float, seed: int) -> float:
        effect = effects.get(size, 0.0)
        run = 6.0 if effect == 3 else 3 + by_seed[seed] + by_run[size, depth, seed]
        change = 0.0 if effect == 3 else -effect if opposite and budget > 1e12 else effect
        rates = WORSE[budget][rate] + 0.07 * (misled and size == 8 and seed == 0 and WORSE[budget][rate] == 0)
        return float(run + change + rates)

    runs = [
        record(loss(size, rate, depth, budget, seed), method="lora:32", batch_size=size, learning_rate=rate,
               model=f"m:{depth}", seed=seed, schedule="wsd", train_flops=budget)
        for size, rate, depth, budget, seed in ABLATED
    ]  # fmt: skip
    ablations = load("ablations")
    return ablations.compared(ablations.losses_of(runs), chance=6.0)


def test_the_published_ablations_are_those_of_the_runs(load: Load) -> None:
    folder, ablations = ROOT / "results" / "ablations", load("ablations")
    records = load("results_files").read_lines(folder / "records.jsonl")
    found = ablations.compared(ablations.losses_of(records), chance=math.log(512))
    assert found == json.loads((folder / "ablations.json").read_text())


def test_an_ablation_is_taken_at_its_best_rates_and_compared_on_fresh_seeds(load: Load) -> None:
    found = ablated(load, {8: 0.05}, noise=0.01)
    none, row = found["changes"]
    assert (row["change"], row["base"]) == ("batch_size 8", "lora:32")
    assert [(at["train_flops"], at["rate"], at["at_an_end"]) for at in row["rates"]] == [
        (1e12, 2e-3, False), (4e12, 1e-3, True)
    ]  # fmt: skip
    assert [[of["rate"] for of in at["of"]] for at in row["rates"]] == [[1e-3, 2e-3, 4e-3]] * 2
    low, high = ([of["first_seed"] for of in at["of"]] for at in row["rates"])
    assert [loss - low[0] for loss in low] == pytest.approx([0, -0.05, 0.15], abs=1e-3)
    assert [loss - high[0] for loss in high] == pytest.approx([0, 0.05, 0.2], abs=1e-3)
    assert [of["other_seeds"] is None for of in row["rates"][0]["of"]] == [False, False, True]
    assert row["differences"] == pytest.approx([0.05, 0.05, 0.05], abs=0.015)
    assert all(
        abs(one) < smallest for one, smallest in zip(none["differences"], found["outside_the_noise"], strict=True)
    )
    assert all(one > smallest for one, smallest in zip(row["differences"], found["outside_the_noise"], strict=True))
    assert (found["budgets"], found["seeds"]) == ([1e12, 4e12], 3)
    assert found["freedom"] == (3 - 1) * 2 * (3 - 1)  # settings, members, seeds
    assert found["standard_error"] == pytest.approx([0.01 * (2 / 6) ** 0.5] * 3, rel=0.5)
    quantile = student.ppf(1 - 0.025 / (2 * 3), 8)  # two changes, three differences of each
    assert found["outside_the_noise"] == pytest.approx([quantile * one for one in found["standard_error"]], abs=2e-3)
    (base,) = found["bases"]
    assert (base["change"], base["standard_deviation"]) == ("lora:32", found["standard_deviation"])
    assert base["losses_at_first_rates"] == base["losses_at_rates_of_other_seeds"] == base["losses"]


def test_of_the_two_best_rates_of_one_seed_the_others_choose(load: Load) -> None:
    found = ablated(load, {8: 0.05}, noise=0.01, misled=True)
    right = ablated(load, {8: 0.05}, noise=0.01)
    row, expected = (of["changes"][1] for of in (found, right))
    for same in ("differences", "at_rates_of_other_seeds", "runs_below_the_base"):
        assert row[same] == expected[same]
    assert row["at_first_rates"] == pytest.approx([one + 0.05 for one in expected["at_first_rates"]], abs=1e-3)


def test_the_rate_of_a_seed_can_be_chosen_on_the_rest(load: Load) -> None:
    runs = [  # each of two rates is bad on one seed, where the other is not; one cell
        record(loss, method="lora:32", schedule="wsd", learning_rate=rate, seed=seed, batch_size=size)
        for size in (8, 16) for rate, losses in ((1e-3, [3.0, 4.0, 3.0, 3.0]), (2e-3, [3.1, 3.0, 3.9, 3.3]))
        for seed, loss in enumerate(losses if size == 8 else [3.0] * 4)
    ]  # fmt: skip
    ablations = load("ablations")
    (row,) = ablations.compared(ablations.losses_of(runs), chance=6.0)["changes"]
    assert row["rates"][0]["rate"] == 1e-3  # means of the other seeds 3.333 and 3.4
    assert row["differences"][0] == pytest.approx(1 / 3, abs=1e-4)
    # without seed 1 that is 3.0 against 3.6, without 2 it is 3.5 against 3.15, without 3 it is 3.5 against 3.45
    assert row["at_rates_of_other_seeds"][0] == pytest.approx((4.0 + 3.9 + 3.3) / 3 - 3, abs=1e-4)
    assert row["runs_below_the_base"] == [0]


def test_opposite_effects_at_two_budgets_are_seen_though_the_mean_is_none(load: Load) -> None:
    found = ablated(load, {8: 0.05}, noise=0.01, opposite=True)
    low, high, both = found["changes"][1]["differences"]
    assert (low, high) == (pytest.approx(0.05, abs=0.015), pytest.approx(-0.05, abs=0.015))
    assert low > found["outside_the_noise"][0] and -high > found["outside_the_noise"][1]
    assert abs(both) < found["outside_the_noise"][2]


def test_what_seeds_share_is_not_noise_of_an_ablation(load: Load) -> None:
    assert ablated(load, {8: 0.05}, noise=0.0)["standard_error"] == [0, 0, 0]


def test_an_ablation_that_learns_nothing_tells_nothing_of_the_noise(load: Load) -> None:
    found = ablated(load, {4: 3.0}, noise=0.01)
    assert [row["learned"] for row in found["changes"]] == [False, True]
    assert found["freedom"] == (2 - 1) * 2 * (3 - 1)
    assert found["standard_error"] == pytest.approx([0.01 * (2 / 6) ** 0.5] * 3, rel=0.9)  # the seeds' 0.1 is not in it


def test_an_ablation_within_the_noise_is_not_outside_it(load: Load) -> None:
    found = ablated(load, {8: 0.01}, noise=0.05)
    for row in found["changes"]:
        assert all(abs(one) < most for one, most in zip(row["differences"], found["outside_the_noise"], strict=True))


def test_ablations_that_lack_runs_are_not_compared(load: Load) -> None:
    ablations = load("ablations")
    runs = [record(3.0, method="lora:32", learning_rate=1e-3, seed=seed, schedule="wsd") for seed in range(3)]
    with pytest.raises(SystemExit, match=r"same fresh runs at its best rates at 1e\+12 FLOP, has \{0.002: 0\}"):
        other = record(3.0, method="lora:32", schedule="wsd", batch_size=8, learning_rate=2e-3)
        ablations.compared(ablations.losses_of([*runs, other]), chance=6.0)
    with pytest.raises(SystemExit, match="must have the same runs"):
        fewer = [record(3.0, method="lora:32", schedule="wsd", batch_size=8, seed=seed) for seed in range(2)]
        ablations.compared(ablations.losses_of([*runs, *fewer]), chance=6.0)
    with pytest.raises(SystemExit, match="no runs of seed 0"):
        ablations.compared(ablations.losses_of(runs[1:]), chance=6.0)


def test_labels_in_a_figure_are_pushed_apart_where_they_would_overlap(load: Load) -> None:
    apart = load("study_figures").apart
    assert apart([10, 12, 100]) == [10, 18, 100]
    assert apart([10, 12, 13]) == [10, 18, 26]
    assert (apart([10]), apart([])) == ([10], [])


def test_no_label_of_the_frontier_covers_another(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures, drawn = load("study_figures"), []
    monkeypatch.setattr(figures, "save_figure", lambda figure, _: drawn.append(figure))
    figures.draw_frontier(find_laws("micro"), tmp_path / "frontier.png")  # methods are level at several budgets
    (figure,) = drawn
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 4 * 5
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_regret_and_error_are_of_the_means_over_the_seeds(load: Load) -> None:
    losses = {("m:2", "full"): {0: 2.7, 1: 2.8}, ("m:1", "full"): {0: 2.1, 1: 2.3}, ("m:4", "full"): {0: 4.25, 1: 4.55}}
    found = load("forecast").judge(FORECAST, losses)
    assert found["error_percent"] == pytest.approx(10.0)
    assert not found["inside"]
    assert (found["best"], found["regret_percent"]) == ("m:1 full", 25.0)
    assert (found["paper_error_percent"], found["paper_regret_percent"]) == (120.0, 100.0)
    assert found["noise_percent"] == pytest.approx(100 * 0.1 / 2**0.5 / 2.2, abs=0.001)  # the seeds' 0.1, 0.2 and 0.3


def test_the_published_verdict_is_that_of_the_runs(load: Load) -> None:
    folder = ROOT / "results" / "smollm2"
    assert load("forecast").verdict(folder) == json.loads((folder / "verdict.json").read_text())


def test_the_paper_chooses_at_its_own_rate_unless_its_choice_is_a_rival(load: Load) -> None:
    choices = load("forecast").choices_of(FORECAST)
    assert choices == {("m:2", "full"): 1e-3, ("m:1", "full"): 2e-3, ("m:4", "full"): 3e-3}
    alike = FORECAST | {"paper": {"model": "m:1", "method": "full", "learning_rate": 3e-3}}
    assert load("forecast").choices_of(alike) == {("m:2", "full"): 1e-3, ("m:1", "full"): 2e-3}


def test_all_choices_are_checked_with_one_seed_and_then_with_another(load: Load) -> None:
    forecast = load("forecast")
    made = forecast.read_forecast(ROOT / "results" / "smollm2")
    due = forecast.runs_due(made, [])
    expected = [(*choice, seed) for seed in (0, 1) for choice in forecast.choices_of(made)]
    assert [(config.model, config.method, config.seed) for config in due] == expected
    records = [RunRecord(config=config, status="done", loss=2.0) for config in due[:5]]
    assert forecast.runs_due(made, records) == due[5:]
