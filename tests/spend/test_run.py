from pathlib import Path

import pytest

from embudget.pairs import Pairs
from embudget.spend.arms import allocation_of
from embudget.spend.run import SpentBudget, spend_budget
from embudget.study import Store, Study
from tests.spend.halving import RUNGS, halving
from tests.study.studies import tiny_study

BUDGET = 1.6e10


@pytest.fixture(scope="module")
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return tiny_study(tiny_neox, tiny_pairs, members=[f"{tiny_neox}:1", f"{tiny_neox}:2"], methods=["full", "lora:4"])


def spending(study: Study, out: Path, budget: float = BUDGET, **options: object) -> SpentBudget:
    from embudget.pairs import load_pairs

    allocation = allocation_of(study, load_pairs(study.pairs), budget)
    values = {"store": out / "runs.db", "decide": halving, "max_queries": 50} | options
    return spend_budget(allocation, study, out=out, **values)


def test_it_spends(study: Study, tmp_path: Path) -> None:
    spent = spending(study, tmp_path / "out")
    print(spent)
    for line in (tmp_path / "out" / "decisions.jsonl").read_text().splitlines():
        print(line)
