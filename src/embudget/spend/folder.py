"""What lies in the folder of a budget, and whose is it?

start.json        the budget and its arms; by it a later start knows the folder for its own
decisions.jsonl   each round: what was believed, what was bought, why, and what it changed
runs.db           the records of all runs, unless another store was named
model/            the final model
recipe.yaml       how it was trained
laws.json         laws of all runs, where they suffice
evaluation.json   the model's retrieval scores
ledger.json       where the budget went
"""

import os
from collections.abc import Iterable
from pathlib import Path

from embudget.errors import ConfigError
from embudget.exports.folder import check_folder
from embudget.outputs import Input, check_added_to, shown_path

ASKED, DECISIONS, STORE = "start.json", "decisions.jsonl", "runs.db"
MODEL, RECIPE, LAWS, EVALUATION, LEDGER = "model", "recipe.yaml", "laws.json", "evaluation.json", "ledger.json"
CONTENTS = (DECISIONS, STORE, MODEL, RECIPE, LAWS, EVALUATION, LEDGER)


def check_free(out: Path, inputs: Iterable[Input] = (), also: Iterable[str] = ()) -> None:
    """Refuse, before anything is spent, a folder in which somebody's things would be replaced.

    Raises:
        ConfigError: it cannot be written, or holds results without the `start.json` of a spending.
        RunError: its model is somebody else's.
    """
    check_added_to(out, inputs)
    there = [name for name in (*CONTENTS, *also, ASKED) if os.path.lexists(out / name)]
    if there and not (out / ASKED).is_file():
        raise ConfigError(
            f"{shown_path(out)} holds {there[0]}, and no {ASKED} of `embudget spend`: name another folder"
        )
    if os.path.lexists(out / MODEL):
        check_folder(out / MODEL)
