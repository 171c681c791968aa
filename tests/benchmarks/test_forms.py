"""The benchmark that leaves out each form of law and each way of sharing in turn."""

import numpy as np

from benchmarks import forms
from benchmarks.published_cuts import Run
from embudget.laws import weights
from embudget.laws.sharing import fit_jointly
from embudget.runs.cells import RunTable
from tests.laws.studies import BUDGETS, SHARED, WIDE, cells


def test_every_variant_is_held_against_the_same_runs() -> None:
    truth = {name: SHARED[name] for name in ("full", "lora:32")}
    made = cells(truth, 0.002, models=WIDE, budgets=BUDGETS)
    largest = max(cell.budget for cell in made)
    known = [cell for cell in made if cell.budget < largest]
    table = RunTable(cells=tuple(known), run_count=len(known))
    runs = [
        Run(cell.method, cell.model_params, cell.tokens, np.log(cell.loss), cell.budget)
        for cell in made
        if cell.budget == largest
    ]
    rows = {row.variant: row for row in forms.of_cut("one", table, runs, 10)}
    assert list(rows) == list(forms.variants())
    assert rows["all"].inside > 0.5
    assert rows["all"].error < 1
    summary = forms.summarised(list(rows.values()))
    assert summary["all groups, times"]["all"]["score"] == 1
    assert weights.SHARINGS == ("shared", "pooled")
    assert vars(weights)["fit_jointly"] is fit_jointly, "nothing stays replaced"
