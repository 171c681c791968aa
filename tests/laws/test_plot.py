"""The figure of the laws: what is drawn is what was measured and what is predicted."""

import subprocess
import sys
from collections.abc import Iterator
from math import exp, log

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection

from embudget.errors import BudgetError, ConfigError, MethodError
from embudget.laws import Laws, find_laws
from embudget.laws.frontier import frontier_points
from embudget.laws.plot import best_of_kinds

mpl.use("Agg")


@pytest.fixture(scope="module")
def laws() -> Laws:
    return find_laws("smollm2")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def scattered(axes: Axes) -> list[PathCollection]:
    return [one for one in axes.collections if isinstance(one, PathCollection)]


def points(axes: Axes) -> set[tuple[float, float]]:
    """Budget and loss of every point that is drawn, bands aside."""
    return {(float(x), float(y)) for one in scattered(axes) for x, y in np.asarray(one.get_offsets())}


def test_the_best_method_of_each_kind_is_drawn_with_all_its_cells(laws: Laws) -> None:
    axes = laws.plot(level=0.8)
    best = best_of_kinds(laws.cells)
    assert [method.partition(":")[0] for method in best] == ["freeze", "full", "lora"]
    assert legend(axes) == [*best, "beyond what was measured", "80 % of new runs"]
    assert points(axes) == {(cell.budget, cell.loss) for cell in laws.cells if cell.method in best}


def test_the_best_of_a_kind_has_its_lowest_loss_at_the_largest_budget(laws: Laws) -> None:
    largest = [cell for cell in laws.cells if cell.budget == laws.table.budgets[-1]]
    for method in best_of_kinds(laws.cells):
        alike = [cell for cell in largest if cell.method.partition(":")[0] == method.partition(":")[0]]
        assert min(alike, key=lambda cell: cell.loss).method == method


def test_a_curve_is_what_the_laws_answer_where_nothing_was_measured(laws: Laws) -> None:
    """The curves of all methods together are nowhere below the frontier's prediction, and meet it."""
    axes = laws.plot(laws.methods, up_to=1e14)
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    budgets = np.asarray(dashed[0].get_xdata(), dtype=float)
    assert budgets[-1] == pytest.approx(1e14)
    lowest = np.min([np.asarray(line.get_ydata(), dtype=float)[-1] for line in dashed])
    (row,) = laws.frontier([1e14])
    assert lowest == pytest.approx(row.predicted_loss)


def test_the_band_is_the_interval_of_a_new_run_of_the_best_size(laws: Laws) -> None:
    axes = laws.plot(["lora:8"], level=0.5, up_to=4e13)
    costs: dict[float, list[float]] = {}
    for cell in laws.cells:
        if cell.method == "lora:8":
            costs.setdefault(cell.model_params, []).append(log(cell.flops_per_token))
    runs = {size: ("lora:8", size, 4e13 / exp(np.mean(logs))) for size, logs in costs.items()}
    best = min(runs.values(), key=lambda run: laws.predict(*run))
    (curve,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert np.asarray(curve.get_ydata(), dtype=float)[-1] == pytest.approx(laws.predict(*best))
    (band,) = [one for one in axes.collections if isinstance(one, PolyCollection)]
    x, y = np.asarray(band.get_paths()[0].vertices).T
    at_end = y[np.isclose(x, 4e13)]
    assert (at_end.min(), at_end.max()) == pytest.approx(laws.interval(*best, level=0.5))


def test_one_draws_on_axes_of_ones_own_and_they_come_back(laws: Laws) -> None:
    _, (left, right) = plt.subplots(1, 2)
    assert laws.plot(["full"], ax=right) is right
    assert not left.lines and right.lines
    assert plt.get_fignums() == [1]


def test_best_cells_are_drawn_once_more_and_larger(laws: Laws) -> None:
    axes = laws.plot(["full"])
    sizes = {float(one.get_sizes()[0]): len(np.asarray(one.get_offsets())) for one in scattered(axes)}
    cells = [cell for cell in laws.cells if cell.method == "full"]
    assert [sizes[size] for size in sorted(sizes)] == [len(cells), len(frontier_points(cells))]


def test_what_cannot_be_drawn_is_refused(laws: Laws) -> None:
    with pytest.raises(MethodError, match="bias has no law"):
        laws.plot(["full", "bias"])
    with pytest.raises(ConfigError, match="methods must name at least one"):
        laws.plot([])
    with pytest.raises(ConfigError, match=r"level must be in \(0, 1\), got 1"):
        laws.plot(level=1)
    with pytest.raises(BudgetError, match="budget must be finite and > 0, got 0"):
        laws.plot(up_to=0)
    assert not plt.get_fignums()


def test_without_matplotlib_the_command_that_brings_it_is_named(laws: Laws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'embudget\[plot\]'"):
        laws.plot()


def test_laws_load_no_matplotlib_until_they_are_drawn() -> None:
    code = "import sys, embudget; embudget.find_laws('micro').summary(); print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
