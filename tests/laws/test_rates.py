"""From cells to the law of the best rate, and what the summary says of rates."""

import re
from pathlib import Path

import pytest

from embudget.design import simulate
from embudget.laws import Laws, fit
from embudget.laws.diagnostics import MAX_LISTED, rate_warnings
from embudget.laws.rates import at_end, rate_law_of, rate_text
from embudget.laws.summary import describe_rates
from embudget.runs import Cell, RunTable
from tests.recipe.test_rates import WORLD

MEASURED = RunTable.read(Path(__file__).parents[2] / "results" / "rates" / "records.csv").cells


@pytest.fixture(scope="module")
def tuned() -> Laws:
    return fit(simulate(WORLD), draws=5, forms=["chinchilla"])


def test_the_law_of_a_tuned_study_follows_the_best_rates(tuned: Laws) -> None:
    law = tuned.rate_law
    assert law is not None
    assert law.methods == ("full", "lora:32")
    assert (law.model_params_slope, law.tokens_slope) == pytest.approx((-0.3, 0.2), abs=0.1)
    for method, truth in WORLD.rate_laws.items():
        assert law.predict(method, 1e7, 2e5) == pytest.approx(truth.best(1e7, 2e5), rel=0.1)


def test_the_losses_of_a_tuned_study_are_those_at_the_best_rate(tuned: Laws) -> None:
    for cell in tuned.cells:
        assert cell.loss == pytest.approx(WORLD.truth[cell.method].loss(cell.model_params, cell.tokens), rel=0.006)


def test_laws_with_rates_survive_their_file(tuned: Laws, tmp_path: Path) -> None:
    tuned.save(tmp_path / "laws.json")
    assert Laws.load(tmp_path / "laws.json") == tuned


def test_a_study_of_one_rate_says_nothing_of_rates() -> None:
    laws = fit(simulate(WORLD.model_copy(update={"rate_multiples": (1.0,)})), draws=5, forms=["chinchilla"])
    assert laws.rate_law is None
    assert rate_warnings(laws.cells) == describe_rates(laws.cells, None) == []
    assert not re.search(r"\brates?\b", laws.summary())


def test_a_best_rate_at_an_end_is_warned_of_and_counted_in_the_law() -> None:
    (warning,) = rate_warnings(MEASURED)
    assert warning == "smollm2-135m:1 freeze:0.5 at 5e+11 FLOP: best rate 1e-3 is the lowest tried"
    law = rate_law_of(MEASURED)
    assert law is not None
    assert law.envelopes == {"freeze:0.5": 2, "full": 3, "lora:32": 3}
    assert law.ends == {"freeze:0.5": 1, "full": 0, "lora:32": 0}
    assert "2 envelopes, 1 at an end, best rates 1e-3 to " in "\n".join(describe_rates(MEASURED, law))


def test_one_envelope_is_no_law() -> None:
    lora = [cell for cell in MEASURED if cell.method == "lora:32"]
    assert rate_law_of(lora[:1]) is None
    assert describe_rates(lora[:1], None)[2].startswith("  no law of the best rate: it needs 2 cells")
    assert rate_law_of(lora[:2]) is not None


def ended(rate: float) -> Cell:
    update = {"rate_inside": False, "learning_rate": rate, "lowest_rate": 1e-3, "highest_rate": 1e-2}
    return MEASURED[0].model_copy(update=update)


def test_ends_are_told_apart() -> None:
    ends = [at_end(ended(rate)) for rate in (1e-3, 3e-3, 1e-2)]
    assert ends == ["the lowest tried", "no clear minimum", "the highest tried"]
    assert at_end(MEASURED[1]) is None


def test_many_ends_are_counted() -> None:
    *listed, more = rate_warnings([ended(1e-2)] * (MAX_LISTED + 2))
    assert len(listed) == MAX_LISTED
    assert more == "and 2 more cells without a minimum between the rates tried"


def test_untuned_cells_beside_tuned_ones_are_warned_of() -> None:
    alone = {"rate_inside": None, "lowest_rate": None, "highest_rate": None}
    untuned = [cell.model_copy(update=alone) if cell.method == "lora:32" else cell for cell in MEASURED]
    assert rate_warnings(untuned)[-1] == (
        "one rate alone was tried in 3 of 9 cells (lora:32 3): beside tuned cells they may look worse than they are"
    )


@pytest.mark.parametrize(("rate", "text"), [(1e-3, "1e-3"), (2.13e-3, "2.1e-3"), (0.5, "5e-1"), (9.96e-4, "1e-3")])
def test_rates_are_written_short(rate: float, text: str) -> None:
    assert rate_text(rate) == text


def test_the_summary_has_the_law_of_the_rate(tuned: Laws) -> None:
    lines = tuned.summary().splitlines()
    start = lines.index("the laws describe tuned runs: 18 of 18 cells at the best of 3 or more learning rates")
    head, *methods = lines[start + 1 : start + 4]
    assert head.startswith("  best rate ~ N^-0.")
    assert "by the rate law of 18 envelopes, spread x1." in head
    assert [line.split()[0] for line in methods] == ["full", "lora:32"]
    assert all("9 envelopes, best rates " in line for line in methods)
    assert lines[start + 4] == ""
