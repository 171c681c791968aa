"""IsoFLOP parabolas: the vertex, and the refusals by name."""

from math import log

import pytest

from embudget.errors import ConcaveProfileError, OptimumOutsideGridError, TooFewRunsError
from embudget.laws.isoflop import fit_profile
from embudget.runs.cells import Cell, RunTable
from embudget.simulate import World, simulate

SIZES = ("smollm2-135m:1", "smollm2-135m:3", "smollm2-135m:8", "smollm2-135m:30")


def cells(best: float, curvature: float, models: tuple[str, ...] = SIZES) -> list[Cell]:
    """Cells whose losses lie on a parabola with its vertex at ``best`` parameters."""
    world = World.model_validate(
        {"truth": {"full": {"E": 1, "A": 1, "a": 1, "B": 1, "b": 1}}, "models": models, "budgets": (1e12,)}
    )
    records = [
        record.model_copy(update={"loss": 3 + curvature * log(record.model_params / best) ** 2})
        for record in simulate(world)
        if record.model_params
    ]
    return list(RunTable.of(records).cells)


def test_the_vertex_of_an_exact_parabola_is_found() -> None:
    profile = fit_profile(cells(best=2e7, curvature=0.1))
    assert profile.model_params == pytest.approx(2e7)
    assert profile.loss == pytest.approx(3)
    assert profile(4e7) == pytest.approx(3 + 0.1 * log(2) ** 2)


def test_two_sizes_are_too_few() -> None:
    with pytest.raises(TooFewRunsError, match="at least 3 sizes, got 2"):
        fit_profile(cells(2e7, 0.1, SIZES[:2]))


def test_a_concave_profile_is_refused() -> None:
    with pytest.raises(ConcaveProfileError, match="no minimum"):
        fit_profile(cells(2e7, -0.05))


@pytest.mark.parametrize(("best", "side"), [(1e6, "smallest"), (1e9, "largest")])
def test_a_vertex_outside_the_sizes_is_refused(best: float, side: str) -> None:
    with pytest.raises(OptimumOutsideGridError, match=f"beyond the {side}"):
        fit_profile(cells(best, 0.1))
