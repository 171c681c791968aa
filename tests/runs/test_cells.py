"""Runs as cells: which belong together, what a cell says of them, and that no published cell has changed."""

import subprocess
import sys
from math import log
from pathlib import Path

import numpy as np
import pytest

from embudget.design import simulate
from embudget.laws import find_laws
from embudget.laws.problem import Points
from embudget.methods import parse_method
from embudget.records import RunRecord
from embudget.runs import RunTable, write_records_csv
from embudget.suite import find_shape
from tests.runs.tables import WORLD, changed, foreign, records, write

RESULTS = Path(__file__).parents[2] / "results"


def test_a_cell_takes_the_learning_rate_with_the_best_mean_over_its_seeds() -> None:
    base = records()[0]
    losses = {
        (1e-3, 0): 3.0,
        (1e-3, 1): 3.4,
        (2e-3, 0): 2.9,
        (2e-3, 1): 3.9,
    }  # the best single run is not the best rate
    table = RunTable.of(
        changed(base, {"learning_rate": rate, "seed": seed}, loss=loss) for (rate, seed), loss in losses.items()
    )
    (cell,) = table.cells
    assert cell.learning_rate == 1e-3
    assert cell.loss == pytest.approx((3.0 * 3.4) ** 0.5)
    assert cell.seeds == 2
    assert cell.seed_squares == pytest.approx(2 * (log(3.4 / 3.0) / 2) ** 2)
    assert table.run_count == 4


@pytest.mark.parametrize("setting", ["warmup", "weight_decay", "max_epochs"])
def test_runs_of_another_setting_are_no_seeds(setting: str) -> None:
    base = records()[0]
    other = changed(base, {setting: getattr(base.config, setting) * 2}, loss=9.0)
    (cell,) = RunTable.of([base, other]).cells
    assert (cell.seeds, cell.seed_squares, cell.loss) == (1, 0, base.loss)
    assert getattr(cell, setting) == getattr(base.config, setting)


def test_runs_of_another_schedule_are_no_seeds() -> None:
    base = records()[0]
    wsd = changed(base, {"schedule": "wsd"}, loss=1.0)
    shorter = changed(base, {"schedule": "wsd", "decay": 0.1}, loss=9.0)
    (cell,) = RunTable.of([base, shorter, wsd]).cells
    assert (cell.seeds, cell.loss, cell.schedule, cell.decay) == (1, 1.0, "wsd", 0.2)
    (cell,) = RunTable.of([base, shorter]).cells
    assert (cell.loss, cell.schedule, cell.decay) == (base.loss, "cosine", None)


def test_runs_of_another_pooling_are_no_seeds() -> None:
    base = records()[0]
    last = changed(base, {"pooling": "lasttoken"}, loss=1.0)
    (cell,) = RunTable.of([base, last]).cells
    assert (cell.seeds, cell.loss, cell.pooling) == (1, 1.0, "lasttoken")


def test_rates_of_another_schedule_are_no_part_of_an_envelope() -> None:
    base = records()[0]
    losses = {5e-4: 3.1, 1e-3: 3.0, 2e-3: 3.1}
    tried = [changed(base, {"learning_rate": rate}, loss=loss) for rate, loss in losses.items()]
    assert RunTable.of(tried).cells[0].rate_inside
    mixed = [*tried[:2], changed(tried[2], {"schedule": "wsd"})]
    assert RunTable.of(mixed).cells[0].rate_inside is None


def test_tokens_per_pair_is_that_of_the_world() -> None:
    assert RunTable.of(records()).tokens_per_pair == pytest.approx(WORLD.tokens_per_pair)


def test_without_budgets_runs_of_other_length_are_other_cells(tmp_path: Path) -> None:
    tokens = {1.0e9: 2.5, 1.00001e9: 2.6, 1.02e9: 2.4}  # equal to 4 digits, and not
    rows = [{"model_params": 1e8, "tokens": d, "loss": loss} for d, loss in tokens.items()]
    short, long = foreign(tmp_path, rows).cells
    assert (short.seeds, long.seeds) == (2, 1)
    assert short.loss == pytest.approx((2.5 * 2.6) ** 0.5)
    assert short.budget == long.budget == pytest.approx(6e17, rel=0.02)
    with_budget = foreign(tmp_path, [row | {"budget": 6e17} for row in rows])
    assert [(cell.seeds, cell.budget) for cell in with_budget.cells] == [(3, 6e17)]


def test_budgets_with_jitter_are_those_that_were_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes, asked = (axis.ravel() for axis in np.meshgrid([1e8, 2e8, 7e8, 1.1e9], [1e18, 4e18, 1.6e19]))
    spent = asked * rng.uniform(0.999, 1.001, 12)
    rows = [
        {"model_params": n, "tokens": c / (6 * n), "budget": c, "loss": 2.5} for n, c in zip(sizes, spent, strict=True)
    ]
    table = foreign(tmp_path, rows)
    assert table.budgets == pytest.approx((1e18, 4e18, 1.6e19), rel=1e-3)
    assert [len([c for c in table.cells if c.budget == budget]) for budget in table.budgets] == [4, 4, 4]


def test_only_a_table_with_methods_is_priced_by_the_shapes_of_known_models(tmp_path: Path) -> None:
    shape = find_shape("pythia-70m")
    size = 1.04 * shape.model_params
    row = {"model": "pythia-70m", "model_params": size, "train_flops": 1e15, "loss": 2.5}
    (plain,), (full,) = (foreign(tmp_path, [row | method]).cells for method in ({}, {"method": "full"}))
    assert plain.tokens == pytest.approx(1e15 / (6 * size))
    assert full.tokens == pytest.approx(1e15 / parse_method("full").flops_per_token(shape))


def test_models_of_one_name_and_two_sizes_are_two_cells(tmp_path: Path) -> None:
    rows = [{"model": "ours", "model_params": size, "tokens": 1e9, "loss": 2.5, "budget": 1e18} for size in (2e8, 1e8)]
    assert [cell.model_params for cell in foreign(tmp_path, rows).cells] == [1e8, 2e8]


def test_cells_are_sorted_by_method_budget_and_size() -> None:
    world = WORLD.model_copy(update={"truth": {"lora:8": WORLD.truth["full"], "full": WORLD.truth["full"]}})
    table = RunTable.of(simulate(world)[::-1])
    keys = [(cell.method, cell.budget, cell.model_params) for cell in table.cells]
    assert keys == sorted(keys)
    assert len(keys) == 8
    assert (table.methods, table.budgets, table.models) == (("full", "lora:8"), WORLD.budgets, WORLD.models)


def test_a_cell_of_seeds_has_their_means() -> None:
    base = records()[0]
    seeds = [changed(base, {"seed": seed}, tokens=100 + seed, seconds=seed or None, loss=2.0) for seed in range(3)]
    (cell,) = RunTable.of(seeds).cells
    assert (cell.tokens, cell.seconds, cell.seeds, cell.train_flops) == (101, 1.5, 3, base.train_flops)
    assert cell.flops_per_token == (base.train_flops or 0) / 101


@pytest.mark.parametrize("study", ["smollm2", "micro"])
def test_the_records_of_a_published_study_are_the_cells_of_its_laws(study: str) -> None:
    """289 and 479 runs, with envelopes of rates, surfaces and none; to rounding, which differs between processors."""
    lines = (RESULTS / study / "records.jsonl").read_text().splitlines()
    table = RunTable.of(RunRecord.model_validate_json(line) for line in lines)
    published = find_laws(study).table
    assert table.model_dump(exclude={"cells"}) == published.model_dump(exclude={"cells"})
    assert len(table.cells) == len(published.cells)
    for cell, known in zip(table.cells, published.cells, strict=True):
        assert cell.model_dump() == {
            name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            for name, value in known.model_dump().items()
        }


def test_pandas_is_loaded_only_when_a_table_is_made() -> None:
    code = "import sys; import embudget.runs, embudget.records; print('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_runs_that_repeat_other_data_are_other_cells(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {
        "N": [1e7] * 5,
        "D": [1e8] * 5,
        "U": [1e8, 1e7, 1e7, 2e7, ""],
        "loss": [3.0, 3.2, 3.3, 3.1, 3.1],
    }
    table = RunTable.read(
        write(tmp_path / "runs.csv", columns),
        {"model_params": "N", "tokens": "D", "unique_tokens": "U"},
    )
    found = {cell.unique_tokens: (cell.seeds, round(cell.loss, 3)) for cell in table.cells}
    assert found == {1e7: (2, 3.25), 2e7: (1, 3.1), 1e8: (2, 3.05)}
    assert (table.training_pairs, table.dropped) == (None, {})


@pytest.mark.parametrize(("value", "reason"), [("0", "not positive"), ("-1", "not positive"), ("inf", "infinite")])
def test_unique_tokens_that_cannot_be_are_left_out(tmp_path: Path, value: str, reason: str) -> None:
    columns: dict[str, list[object]] = {"model_params": [1e7, 2e7], "tokens": [1e8, 1e8], "loss": [3.0, 3.2]}
    columns["unique_tokens"] = ["1e7", value]
    table = RunTable.read(write(tmp_path / "runs.csv", columns))
    assert table.dropped == {f"unique_tokens is {reason}": 1}


def test_records_know_the_pairs_that_they_repeat(tmp_path: Path) -> None:
    plain = RunTable.of(records())
    known = [record.model_copy(update={"training_pairs": 500}) for record in records()]
    table = RunTable.of(known)
    assert table.training_pairs == 500
    for cell, before in zip(table.cells, plain.cells, strict=True):
        assert cell.unique_tokens == pytest.approx(500 * 60)
        assert cell.model_copy(update={"unique_tokens": None}) == before
    write_records_csv(known, tmp_path / "runs.csv")
    again = RunTable.read(tmp_path / "runs.csv")
    assert (again.cells, again.training_pairs) == (table.cells, 500)


def checkpoints(**columns: object) -> list[dict[str, object]]:
    """Two training runs of one model and two of another, three checkpoints each, all at other tokens."""
    rows = [(name, size, d) for name, size, d in (("a", 1e7, 1e9), ("b", 1e7, 1.3e9), ("c", 4e7, 1e9), ("d", 4e7, 1e9))]
    return [
        {"wandb": name, "model_params": size, "tokens": d * 2**i, "loss": 3 - 0.1 * i} | columns
        for name, size, d in rows
        for i in range(3)
    ]


def test_a_column_run_says_which_cells_err_together(tmp_path: Path) -> None:
    rows = [row | {"run": row["wandb"]} for row in checkpoints()]
    cells = foreign(tmp_path, rows).cells
    by_size = {size: {cell.run for cell in cells if cell.model_params == size} for size in (1e7, 4e7)}
    assert by_size == {1e7: {"a", "b"}, 4e7: {None}}  # c and d share all their cells, which are of several runs
    assert len(set(Points.of(cells).series.tolist())) == 3
    assert len(set(Points.of(foreign(tmp_path, checkpoints()).cells).series.tolist())) == 2


def test_a_run_has_any_name_and_is_of_one_model_and_method(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.csv", {name: [row[name] for row in checkpoints()] for name in checkpoints()[0]})
    assert {cell.run for cell in RunTable.read(path, {"run": "wandb"}).cells} == {"a", "b", None}
    alike = foreign(tmp_path, [row | {"run": "sweep"} for row in checkpoints()]).cells
    assert {cell.run for cell in alike} == {"sweep"}
    assert len(set(Points.of(alike).series.tolist())) == 2


def test_a_column_run_that_numbers_the_rows_says_nothing(tmp_path: Path) -> None:
    rows = [row | {"run": str(i)} for i, row in enumerate(checkpoints())]
    plain = foreign(tmp_path, checkpoints())
    assert foreign(tmp_path, rows) == plain
    assert plain.dropped == {"duplicate": 3}  # which a name of their own would keep
    assert foreign(tmp_path, [row | {"run": row["wandb"]} for row in checkpoints()]).run_count == 12
