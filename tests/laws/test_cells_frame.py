"""The cells of a study as a table, beside what its laws predict."""

import numpy as np
import pytest

from embudget.errors import ConfigError
from embudget.laws import Laws, find_laws, fit
from embudget.runs import Cell
from embudget.simulate import World, simulate
from tests.laws.studies import MODELS, SHARED


@pytest.fixture(scope="module")
def laws() -> Laws:
    return find_laws("smollm2")


def test_a_row_is_a_cell_with_its_prediction(laws: Laws) -> None:
    cells = laws.cells_frame(level=0.5)
    assert [*Cell.model_fields] == [*cells][: len(Cell.model_fields)]
    assert cells["loss"].tolist() == [cell.loss for cell in laws.table.cells]
    rows = list(zip(cells["predicted_loss"], cells["low"], cells["high"], strict=True))
    for row in (0, 77, len(cells) - 1):
        cell = laws.table.cells[row]
        predicted = laws.predict(cell.method, cell.model_params, cell.tokens)
        low, high = laws.interval(cell.method, cell.model_params, cell.tokens, level=0.5)
        assert rows[row] == pytest.approx((predicted, low, high))


def test_a_method_is_there_in_its_parts(laws: Laws) -> None:
    cells = laws.cells_frame()
    parts = dict(zip(cells["method"], zip(cells["kind"], cells["number"], strict=True), strict=True))
    assert (parts["lora:32"], parts["freeze:0.5"]) == (("lora", 32), ("freeze", 0.5))
    assert parts["full"] == ("full", pytest.approx(np.nan, nan_ok=True))


def test_a_method_without_a_law_has_no_prediction() -> None:
    records = simulate(World(truth={"full": SHARED["full"], "lora:8": SHARED["full"]}, models=MODELS, noise=0.01))
    single = next(record for record in records if record.config.method == "lora:8")
    kept = [record for record in records if record.config.method == "full"] + [single]
    cells = fit(kept, draws=3, forms=["chinchilla"]).cells_frame()
    full = cells["method"] == "full"
    for name in ("predicted_loss", "low", "high"):
        assert cells[name].notna().equals(full)
    assert (cells["low"] < cells["predicted_loss"]).equals(full)
    assert cells["lowest_rate"].isna().all(), "no cell has an envelope"
    assert cells["lowest_rate"].dtype == float


def test_a_level_that_is_none_is_refused(laws: Laws) -> None:
    with pytest.raises(ConfigError, match=r"level must be in \(0, 1\), got 90"):
        laws.cells_frame(level=90)
