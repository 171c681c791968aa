"""Warnings: each where it belongs, and none for a clean study."""

import numpy as np
import pytest

from embudget.laws import diagnostics, fit
from embudget.laws.coefficients import Coefficients
from embudget.laws.diagnostics import STRONG_INFLUENCE, Diagnostics
from embudget.laws.forms import FormName
from embudget.runs import RunTable
from embudget.runs.cells import Cell
from tests.laws.studies import BUDGETS, ONE, SHARED, WIDE, cells

FULL = {"full": ONE["chinchilla"]}
ONLY: tuple[FormName, ...] = ("chinchilla",)


def diagnosed(of: list[Cell], forms: tuple[FormName, ...] = ONLY) -> Diagnostics:
    return fit(RunTable(cells=tuple(of), run_count=len(of)), draws=20, forms=forms).diagnostics


def changed(of: list[Cell], place: int, factor: float) -> list[Cell]:
    return [c.model_copy(update={"loss": c.loss * factor}) if i == place else c for i, c in enumerate(of)]


@pytest.mark.parametrize("seed", range(6))
def test_a_clean_study_gives_no_warning_of_a_deciding_run(seed: int) -> None:
    found = diagnosed(cells(SHARED, 0.01, seed, models=WIDE, budgets=BUDGETS))
    assert found.influential == ()
    assert found.patterns == ()
    assert found.at_bound == ()
    assert found.asymptote_identified
    assert not any("decides the fit" in line for line in found.warnings())


def with_a_lone_run(factor: float) -> list[Cell]:
    """A grid, and one run at 60 times its largest budget, off by a factor: the last."""
    lone = cells(FULL, 0.005, models=WIDE[2:3], budgets=(1e15,))
    of = [*cells(FULL, 0.005, models=WIDE, budgets=BUDGETS), *lone]
    return changed(of, len(of) - 1, factor)


def test_a_run_that_decides_the_fit_is_named() -> None:
    found = diagnosed(with_a_lone_run(1.3))
    first = found.influential[0]
    assert (first.model, first.budget) == (WIDE[2], 1e15)
    assert first.influence > 3 * STRONG_INFLUENCE
    assert first.leverage > 0.7
    assert 1.1 < first.ratio < 1.25  # the law has followed it
    assert any(line.startswith(f"{WIDE[2]} full at 1e+15 FLOP decides the fit") for line in found.warnings())


def test_the_influence_is_how_far_the_law_moves_without_the_cell() -> None:
    whole = with_a_lone_run(1.3)
    laws, rest = (fit(RunTable(cells=tuple(t), run_count=len(t)), draws=2, forms=ONLY) for t in (whole, whole[:-1]))
    before, after = (
        np.log([one.surface.coefficients("full").loss(c.model_params, c.tokens) for c in whole]) for one in (laws, rest)
    )
    assert laws.diagnostics.influential[0].influence == pytest.approx(
        ((after - before) ** 2).sum() / 5 / laws.noise**2, rel=0.3
    )  # the prior's weight changes a little with the noise


def test_an_outlying_run_in_the_middle_is_named_and_does_not_decide() -> None:
    found = diagnosed(changed(cells(SHARED, 0.01, models=WIDE, budgets=BUDGETS), 21, 1.5))
    assert [round(cell.ratio, 1) for cell in found.outlying] == [1.5]
    assert found.outlying[0].influence < STRONG_INFLUENCE
    assert any("is outlying, +" in line and "little weight" in line for line in found.warnings())


def test_a_form_that_does_not_bend_as_the_data_do_is_told_by_its_residuals() -> None:
    of = cells({"full": ONE["rectified"]}, 0.001, models=WIDE, budgets=tuple(np.geomspace(1e11, 1e14, 8)))
    found = diagnosed(of, ("multiplicative",))
    assert found.patterns
    assert any("no form here fits there" in line for line in found.warnings())
    assert diagnosed(of, ("rectified",)).patterns == ()


def test_an_exponent_that_ends_at_its_bound_is_named() -> None:
    steep = {"full": Coefficients(E=1.8, A=300, a=0.35, B=1e16, b=2.8)}
    found = diagnosed(cells(steep, 0.0, models=WIDE, budgets=BUDGETS))
    assert found.at_bound == ("b of full",)
    assert "b of full ended at a bound (0.03 to 2)" in found.warnings()


def test_an_asymptote_that_the_budgets_do_not_reach_is_not_identified() -> None:
    slow = {"full": Coefficients(E=0.8, A=60, a=0.2, B=30, b=0.15)}
    found = diagnosed(cells(slow, 0.05, budgets=(1e12, 1.6e12, 2.5e12)))
    assert found.asymptote is not None
    low, high = found.asymptote
    assert not found.asymptote_identified
    assert high - low > 0.5 * found.lowest_loss
    assert any("the asymptote is not identified: E from" in line for line in found.warnings())


def test_a_given_asymptote_is_not_doubted() -> None:
    slow = {"full": Coefficients(E=0.8, A=60, a=0.2, B=30, b=0.15)}
    of = cells(slow, 0.02)
    found = fit(RunTable(cells=tuple(of), run_count=len(of)), draws=10, forms=ONLY, asymptote=0.8).diagnostics
    assert found.asymptote is None
    assert found.asymptote_identified
    assert not any("asymptote" in line for line in found.warnings())


def test_leverages_sum_to_the_parameters_where_the_data_decide_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace of the hat matrix, with every cell named; at this noise the prior decides next to nothing."""
    monkeypatch.setattr(diagnostics, "STRONG_INFLUENCE", -1.0)
    named = diagnosed(cells(FULL, 1e-4, models=WIDE, budgets=BUDGETS)).influential
    assert len(named) == 16
    assert sum(cell.leverage for cell in named) == pytest.approx(5, abs=0.01)


def test_warnings_are_one_line_each() -> None:
    found = diagnosed(changed(cells(SHARED, 0.03), 13, 2.0))
    assert found.warnings()
    assert all("\n" not in line for line in found.warnings())
