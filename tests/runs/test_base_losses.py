"""Runs that do not say the loss of their start before training: what they are given, and what is said of others."""

from collections.abc import Collection
from pathlib import Path

import pytest

from embudget.design import simulate
from embudget.laws import fit
from embudget.records import RunRecord
from embudget.runs import RunTable
from tests.laws.test_zero_shot import CUT, RETRIEVER, STARTS, cut


def told(records: list[RunRecord], hidden: Collection[int] = (), model: str = "") -> list[RunRecord]:
    return [
        one.model_copy(update={"base_loss": None}) if place in hidden or one.config.model == model else one
        for place, one in enumerate(records)
    ]


def test_a_run_that_does_not_say_it_has_that_of_the_others_of_its_model() -> None:
    table = RunTable.of(told(simulate(cut()), hidden={0, 5}))
    assert {cell.model: cell.base_loss for cell in table.cells} == pytest.approx({one: STARTS[one] for one in CUT})
    assert not [one for one in table.remarks if one.about == "base_loss"]
    assert fit(table, draws=20).noise < 0.02


def test_it_is_not_guessed_where_the_others_differ() -> None:
    records = told(simulate(cut()), hidden={0})
    other = next(place for place, one in enumerate(records) if place and one.config.model == records[0].config.model)
    records[other] = records[other].model_copy(update={"base_loss": 1.0})
    assert any(cell.base_loss is None for cell in RunTable.of(records).cells)


def test_a_member_whose_loss_before_training_nobody_says_is_named_with_what_to_do() -> None:
    """Without a word the law falls back to one in N alone, which misses the cuts by a quarter."""
    laws = fit(told(simulate(cut()), model=CUT[1]), draws=20)
    said = f"the loss before training of {CUT[1]} is not known, so that no law of {RETRIEVER} begins at it"
    assert any(text.startswith(said) for text in (one.text for one in laws.table.remarks))
    assert f"warning: {said}" in laws.summary()


def test_a_table_of_known_retrievers_needs_no_column_of_lineages(tmp_path: Path) -> None:
    names = ("minilm-l6:2", "minilm-l6:4", "minilm-l6:6")
    world = cut().model_copy(
        update={"models": names, "zero_shot": dict(zip(names, (4.4, 3.2, 1.5), strict=True)), "lineage": None}
    )
    rows = [
        f"{one.config.model},{one.config.method},{one.model_params},{one.tokens},{one.config.train_flops},{one.loss},"
        f"{one.base_loss}"
        for one in simulate(world)
    ]
    file = tmp_path / "runs.csv"
    file.write_text("model,method,model_params,tokens,train_flops,loss,start\n" + "\n".join(rows))
    laws = fit(RunTable.read(file, {"base_loss": "start"}), draws=20)
    assert max(laws.ranking, key=lambda one: one.weight).form.startswith("zero_shot")
    assert laws.lineages == ("minilm retriever",)
