"""Repeated tokens count less: the law of Muennighoff et al., its recovery from simulated and published runs."""

import csv
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from embudget.design import World, simulate
from embudget.errors import ConfigError
from embudget.laws import FORMS, Laws, fit
from embudget.laws.coefficients import Coefficients
from embudget.laws.forms import Array
from embudget.laws.problem import Points
from embudget.laws.repetition import BEYOND, REUSE, SPREAD, Repetition
from embudget.laws.reuse import fit_repetition
from embudget.records import RunRecord
from embudget.runs import RunTable
from embudget.runs.cells import Cell
from tests.laws.published import measurements
from tests.laws.studies import ONE, SHARED, cells

PUBLISHED = 15.39
"""R of Muennighoff et al. 2023, from 182 of these runs."""
COLUMNS = {"model_params": "params", "unique_tokens": "unique"}
MODELS = ("smollm2-135m:1", "smollm2-135m:2", "smollm2-135m:4", "smollm2-135m:8", "smollm2-135m:15")
BUDGETS = (1e12, 4e12, 1.6e13, 6.4e13)
EVERY_FORM = tuple(name for name, form in FORMS.items() if not form.by_member)
"""Those that need no losses before training, which these cells do not have."""


def repeating(
    reuse: float, seed: int, noise: float = 0.002, passes: float = 12.0, truth: dict[str, Coefficients] | None = None
) -> list[Cell]:
    """The cells of a study whose longest run makes so many passes."""
    measured = cells(truth or {"full": ONE["chinchilla"]}, noise, seed, models=MODELS, budgets=BUDGETS)
    unique = max(cell.tokens for cell in measured) / passes
    laws = truth or {"full": ONE["chinchilla"]}
    found = []
    for cell in measured:
        law, effective = laws[cell.method], float(Repetition(reuse=reuse).effective(cell.tokens, unique))
        factor = law.loss(cell.model_params, effective) / law.loss(cell.model_params, cell.tokens)
        found.append(cell.model_copy(update={"loss": cell.loss * factor, "unique_tokens": unique}))
    return found


def with_pairs(records: Sequence[RunRecord], pairs: int) -> list[RunRecord]:
    return [record.model_copy(update={"training_pairs": pairs}) for record in records]


@pytest.fixture(scope="module")
def laws() -> Laws:
    """Fitted to runs of up to 12 passes, with R = 8."""
    measured = repeating(8.0, 1, noise=0.001)
    return fit(RunTable(cells=tuple(measured), run_count=len(measured)), draws=60)


def test_effective_tokens_are_those_of_the_paper() -> None:
    law = Repetition(reuse=PUBLISHED)
    unique, tokens = 4e9, np.array([1e9, 4e9, 8e9, 1.6e10, 6.4e10, 4e13])
    expected = [1e9, 4e9, *(unique + unique * PUBLISHED * (1 - np.exp(-(tokens[2:] / unique - 1) / PUBLISHED)))]
    assert law.effective(tokens, unique) == pytest.approx(expected, rel=1e-12)
    assert law.effective(4e13, unique) == pytest.approx((1 + PUBLISHED) * unique)
    assert law.effective(2 * unique, unique) / (2 * unique) > 0.98, "a second pass is nearly as good as new tokens"
    assert np.all(np.diff(law.effective(np.geomspace(1e9, 1e12, 50), unique)) > 0)


@pytest.mark.parametrize("unique", [np.inf, np.nan, 1e7, 1.0000001e7])
def test_tokens_that_are_not_repeated_stay_as_they_are(unique: float) -> None:
    tokens = np.array([1.0, 1e7 / 3, 1e7])
    assert np.array_equal(Repetition().effective(tokens, unique), tokens)


def test_without_repetition_nothing_changes() -> None:
    records = simulate(World(truth=SHARED, models=MODELS[:3], noise=0.01))
    few = ["chinchilla", "multiplicative"]
    plain, known = (fit(some, draws=20, forms=few) for some in (records, with_pairs(records, 10**9)))
    assert known.surface == plain.surface
    assert known.frontier([3e13, 1e15]) == plain.frontier([3e13, 1e15])
    assert (known.repetition, plain.repetition) == (Repetition(), Repetition())
    at = "full", 1e7, 5e6
    assert plain.predict(*at, unique_tokens=5e6) == plain.predict(*at)
    assert plain.interval(*at, unique_tokens=5e6) == plain.interval(*at)
    assert "repeat" not in plain.summary()


def test_the_reuse_is_recovered_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(0)
    truths = np.log(5) + np.log(8) * rng.random(30)
    found = [fit_repetition(repeating(float(np.exp(x)), seed), ("chinchilla",)) for seed, x in enumerate(truths)]
    errors = np.array([np.log(one.reuse) for one in found]) - truths
    sds = np.array([one.log_sd for one in found])
    assert abs(errors.mean()) < 0.1
    assert np.median(sds) < 0.5 * SPREAD, "the runs say more than the prior"
    assert 0.8 <= (np.abs(errors) < 1.645 * sds).mean() <= 1
    assert all(one.fitted for one in found)


def test_methods_with_exponents_of_their_own_do_not_move_the_reuse() -> None:
    truth = {"full": ONE["chinchilla"], "lora:32": Coefficients(E=1.8, A=900, a=0.42, B=90, b=0.33)}
    found = [fit_repetition(repeating(8.0, seed, 0.001, truth=truth), EVERY_FORM) for seed in range(3)]
    assert np.mean([np.log(one.reuse / 8) for one in found]) == pytest.approx(0, abs=0.15)


def test_what_cannot_be_known_stays_as_assumed() -> None:
    once = [cell.model_copy(update={"unique_tokens": 2 * cell.tokens}) for cell in repeating(8.0, 0)]
    assert fit_repetition(once, ("chinchilla",)) == Repetition()
    alike = [cell.model_copy(update={"unique_tokens": cell.tokens / 4}) for cell in once]
    found = fit_repetition(alike, ("chinchilla",))
    assert found.log_sd > 0.9 * SPREAD, "four passes everywhere are as many fresh tokens of another unit"
    assert np.log(found.reuse / REUSE) == pytest.approx(0, abs=0.3 * SPREAD)


def test_laws_are_those_of_effective_tokens(laws: Laws) -> None:
    truth, at = ONE["chinchilla"], (2e7, 2e7)
    assert laws.predict("full", *at) == pytest.approx(truth.loss(*at), rel=0.01)
    effective = float(Repetition(reuse=8.0).effective(at[1], 1e6))
    assert laws.predict("full", *at, unique_tokens=1e6) == pytest.approx(truth.loss(at[0], effective), rel=0.01)
    fresh, repeated = (laws.interval("full", *at, of="law", unique_tokens=u) for u in (None, 1e6))
    assert np.log(repeated[1] / repeated[0]) > np.log(fresh[1] / fresh[0]), "R is not known exactly"
    frame = laws.cells_frame()
    assert np.abs(np.log(frame.loss / frame.predicted_loss)).max() < 0.01
    assert "cells repeat their tokens, up to 12 passes" in laws.summary()


def test_draws_differ_by_the_reuse_only_where_tokens_are_repeated(laws: Laws) -> None:
    at = ["full", "full"], np.array([1e7, 1e7]), np.array([1e6, 3e7])
    logs, fresh = laws.on(1e6).log_draws(*at), laws.surface.log_draws(*at)
    assert np.array_equal(logs[:, 0], fresh[:, 0])
    effective = laws.repetition.effective(at[2], 1e6)
    same = laws.surface.log_draws(*at[:2], effective)
    assert logs[:, 1].mean() == pytest.approx(same[:, 1].mean(), abs=1e-9)
    assert logs[:, 1].std() > same[:, 1].std()


def test_the_law_errs_beyond_the_passes_that_were_measured(laws: Laws) -> None:
    assert laws.repetition.passes == pytest.approx(12)
    errors = laws.repetition.own_error([1e6, 1.2e7, 1.2e7 * np.e, 1.2e7 * np.e**2], 1e6)
    assert errors == pytest.approx([0, 0, BEYOND, 2 * BEYOND])
    widths = []
    for passes in (12.0, 12.0 * np.e**2):
        low, high = laws.interval("full", 1e8, 1e6 * passes, of="law", unique_tokens=1e6)
        widths.append(np.log(high / low) / 2)
    assert widths[1] > np.hypot(widths[0], 1.645 * 2 * BEYOND) * 0.99


@pytest.mark.parametrize("unique", [0.0, -1.0, float("inf"), float("nan")])
def test_unique_tokens_must_be_a_number_of_tokens(laws: Laws, unique: float) -> None:
    with pytest.raises(ConfigError, match=r"^unique_tokens must be finite and > 0, got"):
        laws.predict("full", 1e7, 1e6, unique_tokens=unique)


def test_laws_keep_the_reuse_in_their_file_and_assume_it_where_it_says_none(laws: Laws, tmp_path: Path) -> None:
    laws.save(tmp_path / "laws.json")
    assert Laws.load(tmp_path / "laws.json").repetition == laws.repetition != Repetition()
    data = laws.model_dump(mode="json")
    del data["repetition"]
    assert Laws.read(data, "laws.json").repetition == Repetition()


def test_the_reuse_of_500_runs_takes_two_seconds() -> None:
    grid = np.geomspace(1e6, 1e9, 25)
    law = ONE["chinchilla"]
    many = [
        Cell(model=f"N={n:.4g}", method="full", budget=6 * n * d, model_params=n, tokens=d, train_flops=6 * n * d,
             loss=law.loss(n, float(Repetition().effective(d, 5e7))), seeds=1, seed_squares=0, unique_tokens=5e7)
        for n in np.geomspace(1e7, 1e9, 20) for d in grid
    ]  # fmt: skip
    started = process_time()
    found = fit_repetition(many, EVERY_FORM)
    assert process_time() - started < 2
    assert found.reuse == pytest.approx(REUSE, rel=0.02)


@cache
def published() -> tuple[dict[str, str], ...]:
    with measurements("repeated_data.csv").open() as file:
        return tuple(csv.DictReader(file))


def table(folder: Path, kept: Callable[[float], bool]) -> RunTable:
    """The published runs of so many epochs."""
    rows = [row for row in published() if kept(float(row["epochs"]))]
    with (folder / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return RunTable.read(folder / "runs.csv", COLUMNS)


@pytest.mark.parametrize("most", [50, np.inf])
def test_the_published_reuse_is_found(tmp_path: Path, most: float) -> None:
    """Beyond 50 epochs many of these runs overfit, which no law of repetition describes."""
    found = fit_repetition(table(tmp_path, lambda epochs: epochs <= most).cells, EVERY_FORM)
    assert found.reuse == pytest.approx(PUBLISHED, rel=0.25)
    assert abs(np.log(found.reuse / PUBLISHED)) < 1.645 * found.log_sd


def test_many_epochs_are_forecast_from_few(tmp_path: Path) -> None:
    """Runs of 8 to 50 epochs from those of up to 4, of which some overfit, so that fewer than 90 % are inside."""
    laws = fit(table(tmp_path, lambda epochs: epochs <= 4))
    runs = [row for row in published() if 8 <= float(row["epochs"]) <= 50 and float(row["loss"]) > 0]
    sizes, tokens, unique, losses = _columns(runs, "params", "tokens", "unique", "loss")
    law, methods = laws.on(unique), ["full"] * len(runs)
    ratios = np.exp(law.log_draws(methods, sizes, tokens).mean(axis=0)) / losses
    fresh = np.exp(laws.surface.log_draws(methods, sizes, tokens).mean(axis=0)) / losses
    assert ratios.mean() == pytest.approx(1, abs=0.02)
    assert fresh.mean() < 0.94
    low, high = law.intervals(methods, sizes, tokens)
    assert ((low <= losses) & (losses <= high)).mean() > 0.7


def _columns(rows: Sequence[dict[str, str]], *names: str) -> tuple[Array, ...]:
    return tuple(np.array([float(row[name]) for row in rows]) for name in names)


def test_points_are_in_effective_tokens() -> None:
    measured = repeating(8.0, 0)
    points, fresh = Points.of(measured, Repetition(reuse=8.0)), Points.of(measured)
    assert (points.log_d <= fresh.log_d).all()
    assert (points.log_d < fresh.log_d).any()
    assert np.array_equal(points.budget, fresh.budget)
