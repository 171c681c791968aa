from pathlib import Path

import pytest
import yaml

from embudget.errors import ConfigError, MethodError, ModelError
from embudget.study import BatchRule, Study
from embudget.study.trunks import tasks

MINIMAL: dict[str, object] = {
    "members": ["smollm2-135m:2", "smollm2-135m:1"],
    "methods": ["full", "lora:32"],
    "budgets": ["1e12", 4e12],
    "pairs": "pairs",
}


def study(**changes: object) -> Study:
    return Study.read(MINIMAL | changes, "study.yaml")


def test_the_grid_is_complete_and_cheapest_first() -> None:
    configs = study(seeds=[0, 1], learning_rates={"lora:32": [1e-3, 3e-3]}).configs("abc")
    assert len(configs) == 2 * 2 * (1 + 2) * 2
    assert len({config.id for config in configs}) == len(configs)
    assert [config.train_flops for config in configs] == sorted(config.train_flops for config in configs)
    assert configs[0].model == "smollm2-135m:1"


def test_batch_by_number_by_budget_and_by_rule() -> None:
    assert study(batch_size=24).batch_at(1e12) == 24
    assert study(batch_size={"1e12": 8, "4e12": 32}, schedule="cosine").batch_at(4e12) == 32
    assert study(schedule="cosine").batch_at(4e12) == 32
    assert study(schedule="cosine").batch_at(1e12) == 16
    assert study().batch_at(1e12) == study().batch_at(4e12) == BatchRule().batch_size(2e12)
    assert BatchRule().batch_size(1e3) == 4
    assert BatchRule().batch_size(1e18) == 1024


def test_the_runs_of_a_cell_share_warm_up_and_batch_with_wsd() -> None:
    configs = study(schedule="wsd", decay=0.1, budgets=[4e12, 1e12, 1.6e13]).configs("abc")
    assert {(config.schedule, config.decay) for config in configs} == {("wsd", 0.1)}
    assert {config.batch_size for config in configs} == {BatchRule().batch_size(4e12)}
    warmups = {config.train_flops: config.warmup for config in configs}
    assert warmups[1e12] == 0.1
    assert [budget * warmup for budget, warmup in warmups.items()] == pytest.approx([1e11] * 3)
    assert [len(task) for task in tasks(configs)] == [3] * 4


def test_numbers_of_pairs_are_used_as_they_are_with_wsd() -> None:
    assert study(schedule="wsd", batch_size=24).batch_at(4e12) == 24
    assert study(schedule="wsd", batch_size={"1e12": 24, "4e12": 24}).batch_at(4e12) == 24
    assert study(schedule="wsd", batch_size={"1e12": 24, "4e12": 24, "9e12": 99}).batch_at(1e12) == 24


def test_further_grids_are_as_the_study_but_for_what_they_name() -> None:
    rates = {"full": [1e-4, 3e-4], "lora:32": [1e-3]}
    whole = study(
        learning_rates=rates,
        also=[
            {"budgets": [1.6e13], "members": ["smollm2-135m:4"], "learning_rates": {"lora:32": [2e-3]}},
            {"methods": ["lora:32"], "seeds": [0, 1], "min_steps": 99},
        ],
    )
    configs = whole.configs("abc")
    own = study(learning_rates=rates).configs("abc")
    assert len({config.id for config in configs}) == len(configs) == len(own) + 2 + 2 * 2
    assert {config.id for config in own} < {config.id for config in configs}
    assert [config.train_flops for config in configs] == sorted(config.train_flops for config in configs)
    high = [config for config in configs if config.train_flops == 1.6e13]
    assert {(c.model, c.method, c.batch_size) for c in high} == {
        ("smollm2-135m:4", "full", 64),
        ("smollm2-135m:4", "lora:32", 64),
    }
    assert {c.learning_rate for c in high if c.method == "lora:32"} == {2e-3}
    assert {(c.method, c.learning_rate) for c in configs if c.seed == 1} == {("lora:32", 1e-3)}
    assert [grid.min_steps for grid in whole.grids()] == [10, 10, 99]


def test_the_runs_of_further_grids_have_the_trunk_of_the_first() -> None:
    whole = study(batch_size=BatchRule(), also=[{"budgets": [4e12], "seeds": [1], "min_steps": 5}])
    configs = [config for config in whole.configs("abc") if config.train_flops == 4e12]
    assert {config.seed for config in configs} == {0, 1}
    assert {config.warmup for config in configs} == {0.025}
    again = study(also=[{"min_steps": 99}])
    assert {run.min_steps for run in again.runs("abc")} == {10}


def test_rates_are_for_the_methods_of_any_grid() -> None:
    rates = {"full": [1e-4], "freeze:0.5": [2e-4, 4e-4]}
    whole = study(learning_rates=rates, also=[{"methods": ["freeze:0.50"]}])
    assert {c.learning_rate for c in whole.configs("abc") if c.method == "freeze:0.5"} == {2e-4, 4e-4}
    assert {c.learning_rate for c in whole.configs("abc") if c.method == "full"} == {1e-4}


def test_a_further_grid_may_take_a_suite_in_place_of_members() -> None:
    grid = study(also=[{"suite": "smollm2"}]).grids()[1]
    assert (grid.suite, grid.members) == ("smollm2", ())


def test_the_pairs_folder_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(MINIMAL))
    assert Study.from_yaml(tmp_path / "study.yaml").pairs == tmp_path / "pairs"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["lora:0"]}, "rank of lora must be >= 1, got 0"),
        ({"methods": []}, "methods: .*at least 1"),
        ({"methods": ["full", "full"]}, "methods: must not name anything twice"),
        ({"budgets": [-1]}, "budgets.0: must be > 0, got -1"),
        ({"budgets": ["abc"]}, "budgets.0: .*number, .*got 'abc'"),
        ({"members": []}, "either suite or members"),
        ({"suite": "smollm2"}, "either suite or members"),
        ({"batch_size": {"1e12": 8}}, r"batch_size lacks the budget 4e\+12"),
        ({"learning_rates": {"bias": [1e-3]}}, "learning_rates names bias"),
        ({"eval_pairs": 100, "eval_candidates": 512}, "eval_candidates must be <= eval_pairs=100, got 512"),
        ({"schedule": "linear"}, "schedule: .*'cosine' or 'wsd', got 'linear'"),
        ({"decay": 0.1, "schedule": "cosine"}, "decay belongs to schedule wsd, got 0.1 with cosine"),
        ({"schedule": "wsd", "decay": 0.9}, "decay must be < 0.9, what the warm-up leaves, got 0.9"),
        (
            {"schedule": "wsd", "batch_size": {"1e12": 8, "4e12": 32}},
            "batch_size must be the same at all budgets with schedule wsd, got 8 and 32",
        ),
        ({"colour": "red"}, "colour is not a known field"),
        ({"also": [{"seeds": [-1]}]}, "also.0: seeds.0: must be >= 0, got -1"),
        ({"also": [{}, {"colour": "red"}]}, "also.1: colour is not a known field"),
        ({"also": [{"pairs": "other"}]}, "also.0 cannot name pairs, which is the whole study's"),
        ({"also": [{"also": []}]}, "also.0 cannot name also"),
        ({"also": [{"methods": ["lora:0"]}]}, "also.0: .*rank of lora must be >= 1, got 0"),
        ({"also": [{"eval_pairs": 100, "eval_candidates": 512}]}, "also.0: eval_candidates must be <= eval_pairs=100"),
    ],
)
def test_bad_values_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"study.yaml: .*{message}"):
        study(**changes)


def test_unknown_members_and_methods_that_do_not_fit() -> None:
    with pytest.raises(ModelError, match="did you mean smollm2"):
        study(members=["smollm2-136m:1"]).configs("abc")
    with pytest.raises(MethodError, match="bias needs a model with bias terms"):
        study(methods=["bias"]).configs("abc")


@pytest.mark.parametrize("text", ["members: [", "just words", "", "- a\n- b"])
def test_files_that_are_no_study(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"study.yaml: not valid YAML|study.yaml must hold a study"):
        Study.from_yaml(tmp_path / "study.yaml")
    with pytest.raises(ConfigError, match=r"cannot read .*missing.yaml: No such file"):
        Study.from_yaml(tmp_path / "missing.yaml")
