"""What the laws say of themselves as text."""

from pathlib import Path

import pytest

from embudget.design import World, simulate
from embudget.laws import Laws, fit
from embudget.laws.summary import describe_surface
from tests.laws.studies import MODELS, SHARED

TRUTH = {method: SHARED[method] for method in ("full", "lora:32")}


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(World(truth=TRUTH, models=MODELS, noise=0.01)), draws=40)


def test_the_summary_names_what_was_found(laws: Laws) -> None:
    text = laws.summary()
    assert "18 runs in 18 cells" in text
    for one in laws.ranking:
        assert f"{one.form:<24} {one.sharing:<8}" in text
    assert all(line in text for line in describe_surface(laws.surface))
    assert f"noise of one run about the law: {100 * laws.noise:.2g} %" in text
    for row in laws.frontier():
        assert f"{row.measured_loss:.3f}" in text
    assert all(refusal.reason in text for refusal in laws.refusals if refusal.budget is None)
    assert "Error" not in text, "a class's name says nothing to a user"
    profiles = {(refusal.method, refusal.error) for refusal in laws.refusals if refusal.budget is not None}
    assert text.count("isoFLOP profile of ") == len(profiles), "those of a method that fail alike take one line"
    assert all(f"warning: {line}" in text for line in laws.diagnostics.warnings())


def test_the_summary_and_the_file_name_outlying_cells(tmp_path: Path) -> None:
    records = simulate(World(truth=TRUTH, models=MODELS, noise=0.01))
    records[4] = records[4].model_copy(update={"loss": (records[4].loss or 0) * 1.6})
    laws = fit(records, draws=5, forms=["chinchilla"])
    config = records[4].config
    named = f"warning: {config.model} {config.method} at {config.train_flops:.3g} FLOP is outlying, +"
    assert named in laws.summary()
    laws.save(tmp_path / "laws.json")
    assert [cell.model for cell in Laws.load(tmp_path / "laws.json").diagnostics.outlying] == [config.model]


def test_described_parameters_lie_within_their_brackets(laws: Laws) -> None:
    first, *lines, noise = describe_surface(laws.surface)
    assert "L = E + A/N^a + B/" in first
    assert [line.split()[0] for line in lines] == sorted(TRUTH)
    assert noise.startswith("noise of one run about the law: ")
    for line in lines:
        words = line.replace("[", " ").replace("]", " ").replace(",", " ").split()[1:]
        for name, middle, low, high in zip(*(words[start::4] for start in range(4)), strict=True):
            assert float(low) * 0.99 <= float(middle) <= float(high) * 1.01, name


def test_laws_of_a_file_have_the_same_summary(laws: Laws) -> None:
    """It prints what is stored, so that laws of a file are summarised at once and always alike."""
    text = laws.summary()
    assert Laws.model_validate_json(laws.model_dump_json()).summary() == text
