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
    for row in (0, 77, len(cells) - 1):
        choice = tuple(cells.loc[row, ["method", "model_params", "tokens"]])
        assert cells.at[row, "predicted_loss"] == pytest.approx(laws.predict(*choice), rel=1e-12)
        assert tuple(cells.loc[row, ["low", "high"]]) == pytest.approx(laws.interval(*choice, level=0.5), rel=1e-12)


def test_a_method_is_there_in_its_parts(laws: Laws) -> None:
    parts = laws.cells_frame().drop_duplicates("method").set_index("method")[["kind", "number"]]
    assert parts.loc["lora:32"].tolist() == ["lora", 32]
    assert parts.loc["freeze:0.5"].tolist() == ["freeze", 0.5]
    assert parts.at["full", "kind"] == "full"
    assert np.isnan(parts.at["full", "number"])


def test_a_method_without_a_law_has_no_prediction() -> None:
    records = simulate(World(truth={"full": SHARED["full"], "bias": SHARED["full"]}, models=MODELS, noise=0.01))
    single = next(record for record in records if record.config.method == "bias")
    kept = [record for record in records if record.config.method == "full"] + [single]
    cells = fit(kept, draws=3, forms=["chinchilla"]).cells_frame().set_index("method")
    assert cells.loc[["bias"], ["predicted_loss", "low", "high"]].isna().all(axis=None)
    assert (cells.loc["full", "low"] < cells.loc["full", "predicted_loss"]).all()
    assert cells["lowest_rate"].isna().all(), "no cell has an envelope"


def test_a_level_that_is_none_is_refused(laws: Laws) -> None:
    with pytest.raises(ConfigError, match=r"level must be in \(0, 1\), got 90"):
        laws.cells_frame(level=90)
