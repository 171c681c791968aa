"""Policies that spend a budget on real runs of tiny models, and are set side by side."""

import json
from pathlib import Path

import pytest

from benchmarks.spend_policies import ASHA
from benchmarks.spend_policies.asha import asha
from benchmarks.spend_policies.scripts import policy_of
from benchmarks.spend_real import POLICIES, ROWS, add_row, read, seeded
from benchmarks.spend_real_table import Row, markdown, table_of
from embudget.pairs import Pairs
from embudget.records import RunRecord
from embudget.spending.allocation import Allocation, Decision, Measurement
from embudget.spending.run import SpentBudget
from embudget.study import Study
from tests.spending.spendings import spending, study_of

BUDGET = 3e9


@pytest.fixture(scope="module")
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return study_of(tiny_neox, tiny_pairs, methods=["full", "lora:32"])


@pytest.fixture(scope="module")
def out(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All policies with two seeds."""
    folder = tmp_path_factory.mktemp("real")
    for seed in (0, 1):
        for name in POLICIES:
            add_row(study, name, BUDGET, seed, folder, folder / "work")
    return folder


def rows_of(out: Path) -> dict[tuple[str, int], Row]:
    return {(row["policy"], row["seed"]): row for row in read(out / ROWS)}


def test_every_policy_trains_a_model_within_its_budget(out: Path) -> None:
    """With the seed that was asked for, and with all of the budget but a step."""
    rows = rows_of(out)
    assert len(rows) == 2 * len(POLICIES)
    for (_, seed), row in rows.items():
        record = RunRecord.model_validate(row["record"])
        assert record.config.seed == seed
        assert record.groups and record.train_flops and record.steps
        assert BUDGET - 2 * record.train_flops / record.steps < row["spent"] <= BUDGET
    assert rows["asha", 0]["runs"] > 1
    assert rows["largest", 0]["runs"] == rows["retriever", 0]["runs"] == 0


def test_a_row_that_is_there_is_not_made_again(study: Study, out: Path) -> None:
    before = (out / ROWS).read_text()
    add_row(study, "asha", BUDGET, 0, out, out / "elsewhere")
    assert (out / ROWS).read_text() == before
    assert not (out / "elsewhere").exists()


def test_the_row_of_a_folder_whose_budget_is_spent_costs_nothing(study: Study, out: Path, tmp_path: Path) -> None:
    """As after a kill between the final run and the row."""
    add_row(study, "asha", BUDGET, 0, tmp_path, out / "work")
    assert rows_of(tmp_path)["asha", 0] == rows_of(out)["asha", 0]


def test_asha_that_was_killed_goes_on_to_the_same_decisions(study: Study, tmp_path: Path) -> None:
    """A script remembers nothing of an earlier process: it has to be sent through what was bought."""
    script = lambda allocation: asha(allocation, ASHA[30])  # noqa: E731
    whole = spending(study, tmp_path / "whole", BUDGET, decide=seeded(policy_of(script)))
    plain, rounds = seeded(policy_of(script)), 2

    def killed(allocation: Allocation, measured: tuple[Measurement, ...]) -> Decision:
        if len(measured) == rounds:
            raise KeyboardInterrupt
        return plain(allocation, measured)

    with pytest.raises(KeyboardInterrupt):
        spending(study, tmp_path / "killed", BUDGET, decide=killed)
    resumed = spending(study, tmp_path / "killed", BUDGET, decide=seeded(policy_of(script)))
    assert len(whole.decisions) > rounds + 1
    assert bought(resumed) == bought(whole)
    assert resumed.record.loss == whole.record.loss


def bought(spent: SpentBudget) -> list[tuple[object, float]]:
    return [(one.purchase.setting, one.purchase.train_flops) for one, _ in spent.outcomes]


def test_differences_are_paired_by_groups_and_seeds(out: Path) -> None:
    rows = read(out / ROWS)
    (table,) = table_of(rows)
    losses = {name: [row["loss"] for row in rows if row["policy"] == name] for name in POLICIES}
    for name in POLICIES[1:]:
        against = table["policies"][name]["minus_spend"]
        by_seed = [one - ours for one, ours in zip(losses[name], losses["spend"], strict=True)]
        assert [one["difference"] for one in against["by_seed"]] == pytest.approx(by_seed, abs=1e-5)
        assert against["loss"]["difference"] == pytest.approx(sum(by_seed) / 2, abs=1e-5)
        assert against["loss"]["error"] >= against["loss"]["group_error"] > 0
    assert "minus_spend" not in table["policies"]["spend"]
    assert markdown([table]).count("| spend |") == 1
    json.dumps(table)


def test_a_seed_that_spend_lacks_is_not_compared(out: Path) -> None:
    rows = [row for row in read(out / ROWS) if (row["policy"], row["seed"]) != ("spend", 1)]
    (table,) = table_of(rows)
    assert table["policies"]["asha"]["seeds"] == [0, 1]
    assert len(table["policies"]["asha"]["minus_spend"]["by_seed"]) == 1


def test_the_decisions_of_spend_are_kept(out: Path) -> None:
    """By them the table can be explained."""
    kept = out / f"decisions-{BUDGET:g}-0.jsonl"
    assert json.loads(kept.read_text().splitlines()[-1])["decision"]["purchases"][0]["purpose"] == "final"
