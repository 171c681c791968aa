"""What is refused, and in which words."""

import numpy as np
import pytest

from embudget.errors import ConfigError, FitError, TooFewRunsError
from embudget.laws import fit
from embudget.laws.checks import linked_methods, supported_forms
from embudget.laws.problem import Points
from embudget.runs import RunTable
from embudget.runs.cells import Cell
from tests.laws.studies import APART, BUDGETS, MODELS, ONE, SHARED, WIDE, cells, points

FULL = {"full": SHARED["full"]}


def table(of: list[Cell]) -> RunTable:
    return RunTable(cells=tuple(of), run_count=len(of))


@pytest.mark.parametrize(
    ("of", "error", "message"),
    [
        (cells(FULL, budgets=(1e12,)), TooFewRunsError, "law of full needs at least 2 budgets, got 1"),
        (cells(FULL, models=MODELS[:1]), TooFewRunsError, "law of full needs at least 2 sizes, got 1"),
        (cells(FULL)[:4], TooFewRunsError, r"4 parameters and needs at least 5 cells \(model, method, budget\), got 4"),
        ([c.model_copy(update={"loss": 6.24}) for c in cells(SHARED)], FitError, r"all 27 losses are equal \(6.24\)"),
    ],
)
def test_cells_that_determine_no_law_are_refused(of: list[Cell], error: type[FitError], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        fit(table(of))
    assert "\n" not in str(raised.value)


def test_one_cell_alone_is_refused() -> None:
    with pytest.raises(TooFewRunsError, match="at least 2 sizes, got 1"):
        fit(table(cells(FULL)[:1]))


@pytest.mark.parametrize(
    ("asymptote", "message"),
    [
        (9.0, r"asymptote must be below every loss, got 9 and a loss of [\d.]+ \(smollm2-135m:1 full at 1.6e\+13 FLOP"),
        (0.0, "asymptote must be finite and > 0, got 0"),
        (-1.0, "asymptote must be finite and > 0, got -1"),
        (float("nan"), "asymptote must be finite and > 0, got nan"),
        (float("inf"), "asymptote must be finite and > 0, got inf"),
    ],
)
def test_an_asymptote_above_a_loss_is_refused(asymptote: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(table(cells(FULL)), asymptote=asymptote)


def test_methods_without_a_common_budget_are_refused_unless_each_has_enough() -> None:
    every = cells(SHARED)
    below = [c for c in every if c.method == "full" and c.budget > 1e12]
    beyond = [c for c in every if c.method == "lora:32" and c.budget == 1e12]
    with pytest.raises(FitError, match=r"full and lora:32 have no budget in common.*law of lora:32 needs at least 2"):
        fit(table([*below, *beyond]))
    tied = [c for c in every if c.method == "freeze:0.5"]  # measured at the budgets of both
    assert fit(table([*below, *beyond, *tied]), draws=2, forms=["chinchilla"]).methods == tuple(sorted(SHARED))
    separate = [*cells({"full": APART["full"]}, models=WIDE, budgets=BUDGETS[::2]),
                *cells({"lora:32": APART["lora:32"]}, models=WIDE, budgets=BUDGETS[1::2])]  # fmt: skip
    laws = fit(table(separate), draws=2, forms=["chinchilla"])
    assert laws.surface.components[0].sharing != "shared"
    assert any("no common budget" in line for line in laws.diagnostics.warnings())
    for method, law in APART.items():
        assert laws.surface.coefficients(method).loss(1e7, 1e6) == pytest.approx(law.loss(1e7, 1e6), rel=1e-3)


def test_methods_are_linked_through_others() -> None:
    every = cells({**SHARED, "lora:8": SHARED["full"]})
    kept = {"full": (1e12,), "freeze:0.5": (1e12, 4e12), "lora:32": (4e12,), "lora:8": (1.6e13,)}
    measured = Points.of([c for c in every if c.budget in kept[c.method]])
    assert linked_methods(measured) == [{"freeze:0.5", "full", "lora:32"}, {"lora:8"}]


def test_a_form_with_too_many_parameters_is_left_out_or_refused_where_it_was_asked_for() -> None:
    measured = Points.of(cells(FULL)[:6])
    assert supported_forms(measured, None) == ("chinchilla", "multiplicative", "dense_retrieval")
    assert supported_forms(points(FULL), ["rectified", "rectified"]) == ("rectified",)
    with pytest.raises(TooFewRunsError, match="rectified needs at least 7 cells, got 6"):
        supported_forms(measured, ["rectified"])


def test_unknown_forms_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"form must be one of tied, chinchilla, .*, got 'cubic'"):
        fit(table(cells(FULL)), forms=["chinchilla", "cubic"])
    with pytest.raises(ConfigError, match="forms must name at least one of tied"):
        fit(table(cells(FULL)), forms=[])


@pytest.mark.parametrize(("option", "value"), [("seed", -1), ("draws", 0)])
def test_bad_bootstrap_options_are_refused(option: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{option} must be >= ., got {value}"):
        fit([], **{option: value})  # type: ignore[arg-type]


def test_losses_that_rise_with_size_and_tokens_still_give_a_law_with_plain_numbers() -> None:
    turned = [c.model_copy(update={"loss": 10 / c.loss}) for c in cells({"full": ONE["chinchilla"]}, noise=0.01)]
    laws = fit(table(turned), draws=5)
    assert np.isfinite(laws.interval("full", 1e7, 1e6)).all()
