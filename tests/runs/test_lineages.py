"""Which lineage is a run of, and when are two runs of one cell?"""

from pathlib import Path

import pytest

from embudget.design import World, simulate
from embudget.laws import Coefficients
from embudget.records import RunRecord, write_records_csv
from embudget.runs import RunTable

TRUTH = {"full": Coefficients(form="rectified", E=1.0, A=300, a=0.35, B=1500, b=0.55, D0=3e5)}
MODELS = ("smollm2-135m:1", "smollm2-135m:4")


def records(lineage: str | None = None, models: tuple[str, ...] = MODELS, seed: int = 0) -> list[RunRecord]:
    return simulate(World(truth=TRUTH, models=models, lineage=lineage), seed)


def test_records_that_do_not_say_it_have_the_lineage_of_their_known_models() -> None:
    table = RunTable.of([*records(), *records(models=("pythia-14m", "pythia-31m"))])
    assert {cell.model: cell.lineage for cell in table.cells} == dict.fromkeys(MODELS, "smollm2") | dict.fromkeys(
        ("pythia-14m", "pythia-31m"), "pythia"
    )


def test_one_lineage_that_nobody_names_leaves_the_cells_as_they_were() -> None:
    table = RunTable.of(records())
    assert {cell.lineage for cell in table.cells} == {None}
    assert table.lineages == ()
    assert table.of_lineages() == (table,)


def test_equal_sizes_of_two_lineages_are_different_cells() -> None:
    """A retriever cut to as many blocks as the base model it came from has its N, but not its loss."""
    table = RunTable.of([*records("smollm2"), *records("smollm2 retriever", seed=1)])
    assert len(table.cells) == 2 * len(RunTable.of(records()).cells)
    assert all(cell.seeds == 1 for cell in table.cells)


def test_each_lineage_has_a_table_of_its_own_facts() -> None:
    others = [one.model_copy(update={"tokens": 2 * (one.tokens or 0)}) for one in records("minilm retriever")[:3]]
    whole = RunTable.of([*records("smollm2"), *others])
    first, second = whole.of_lineages()
    assert (first.cells[0].lineage, second.cells[0].lineage) == ("smollm2", "minilm retriever"), "most cells first"
    assert (first.run_count, second.run_count) == (6, 3)
    assert second.tokens_per_pair == pytest.approx(2 * (first.tokens_per_pair or 0))
    assert set(first.cells) | set(second.cells) == set(whole.cells)


def test_the_loss_of_the_start_is_kept() -> None:
    cell = RunTable.of(records("minilm retriever")).cells[0]
    assert cell.base_loss == pytest.approx(TRUTH["full"].loss(cell.model_params, 0))


def test_a_csv_of_records_gives_the_same_cells(tmp_path: Path) -> None:
    every = [*records("smollm2"), *records("minilm retriever", seed=1)]
    write_records_csv(every, tmp_path / "runs.csv")
    assert RunTable.read(tmp_path / "runs.csv").cells == RunTable.of(every).cells


@pytest.mark.parametrize("column", ["lineage", "family"])
def test_a_table_may_say_it_in_either_column(tmp_path: Path, column: str) -> None:
    rows = [
        f"{size},{loss},{tokens},{name}"
        for name, shift in (("bert", 0.5), ("gte", 0.0))
        for size, tokens, loss in ((1e7, 1e6, 2.0 + shift), (2e7, 2e6, 1.8 + shift))
    ]
    (tmp_path / "runs.csv").write_text("\n".join([f"model_params,loss,tokens,{column}", *rows]))
    table = RunTable.read(tmp_path / "runs.csv")
    assert [one.name for one in table.lineages] == ["bert", "gte"]
    ignored = RunTable.read(tmp_path / "runs.csv", {column: ""})
    assert ignored.lineages == ()


def test_rows_that_do_not_say_it_beside_those_that_do_are_of_an_unknown_lineage(tmp_path: Path) -> None:
    """Given another's law without a word they would be predicted by runs of a different start."""
    (tmp_path / "runs.csv").write_text(
        "model_params,loss,tokens,lineage,model\n1e7,2.0,1e6,gte,a\n2e7,1.9,1e6,,b\n3e7,1.8,1e6,,smollm2-135m:4\n"
    )
    table = RunTable.read(tmp_path / "runs.csv", {})
    assert {cell.model: cell.lineage for cell in table.cells} == {
        "a": "gte",
        "b": "unknown",
        "smollm2-135m:4": "smollm2",
    }
